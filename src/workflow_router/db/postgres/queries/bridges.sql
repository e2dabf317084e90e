-- name: hold_bridge
-- A process is there as long as it has a connection, which ends with it, however it ended.
INSERT INTO bridges (name, owner, epoch, until_ms) VALUES (:name, :owner, 1, :until_ms)
ON CONFLICT (name) DO UPDATE
   SET epoch = bridges.epoch + (bridges.owner <> excluded.owner)::int, owner = excluded.owner, until_ms = excluded.until_ms
 WHERE bridges.owner = excluded.owner OR bridges.until_ms <= :now_ms
    OR NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = 'workflow-router ' || bridges.owner)
RETURNING epoch;

-- name: bridge_epoch
-- Nobody takes it before this transaction has ended.
SELECT epoch, origin, settled FROM bridges WHERE name = :name FOR SHARE;

-- name: enter_inbox
INSERT INTO bridge_inbox (bridge, origin, position)
SELECT :bridge::text, :origin::text, value::bigint FROM json_array_elements_text(:positions::json) ORDER BY 3
ON CONFLICT DO NOTHING RETURNING position;
