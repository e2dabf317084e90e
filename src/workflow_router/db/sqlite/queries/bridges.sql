-- name: hold_bridge
-- Nobody else can have the store open, so whoever else had it is gone.
INSERT INTO bridges (name, owner, epoch, until_ms) VALUES (:name, :owner, 1, :until_ms)
ON CONFLICT (name) DO UPDATE
   SET epoch = bridges.epoch + (bridges.owner <> excluded.owner), owner = excluded.owner, until_ms = excluded.until_ms
 WHERE :now_ms >= 0
RETURNING epoch;

-- name: bridge_epoch
SELECT epoch, origin, settled FROM bridges WHERE name = :name;

-- name: enter_inbox
INSERT INTO bridge_inbox (bridge, origin, position)
SELECT :bridge, :origin, value FROM json_each(:positions) WHERE true
ON CONFLICT DO NOTHING RETURNING position;
