-- name: let_go_bridge
UPDATE bridges SET owner = '', until_ms = 0 WHERE name = :name AND epoch = :epoch;

-- name: keep_mark
INSERT INTO bridge_mark (one, mark) VALUES (1, :mark) ON CONFLICT DO NOTHING;

-- name: bridge_mark
SELECT mark FROM bridge_mark;

-- name: settle_bridge
UPDATE bridges SET origin = :origin, settled = :position
 WHERE name = :bridge AND (origin IS NULL OR origin <> :origin OR settled < :position);

-- name: settle_inbox
DELETE FROM bridge_inbox WHERE bridge = :bridge AND (origin <> :origin OR position <= :position);

-- name: count_bridge
UPDATE bridges
   SET sent = sent + :sent, repeated = repeated + :repeated, received = received + :received,
       duplicates = duplicates + :duplicates, echoes = echoes + :echoes
 WHERE name = :name AND epoch = :epoch;

-- name: warn_bridge
UPDATE bridges SET warnings = :warnings WHERE name = :name AND epoch = :epoch;

-- name: fail_bridge
UPDATE bridges SET error = :error, error_ms = :error_ms WHERE name = :name AND epoch = :epoch;

-- name: bridge_states
SELECT name, owner, epoch, sent, repeated, received, duplicates, echoes, error, error_ms, warnings
  FROM bridges ORDER BY name;
