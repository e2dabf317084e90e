-- name: move_audit_head
UPDATE audit_head SET position = :position, frontier = :frontier;

-- name: insert_audit_entry
INSERT INTO audit_log (position, time_ms, kind, subject, tenant, run_id, correlation, actor, body, private, salt, hash)
VALUES (:position, :time_ms, :kind, :subject, :tenant, :run_id, :correlation, :actor, :body, :private, :salt, :hash);

-- name: insert_audit_tile
INSERT INTO audit_tiles (level, number, hashes, root) VALUES (:level, :number, :hashes, :root);

-- name: audit_tile
SELECT hashes FROM audit_tiles WHERE level = :level AND number = :number;

-- name: audit_tile_whole
SELECT hashes, root FROM audit_tiles WHERE level = :level AND number = :number;

-- name: audit_tile_roots
SELECT root FROM audit_tiles WHERE level = :level AND number >= :start AND number < :end ORDER BY number;

-- name: audit_hashes
-- Leaves from number `start` on, counted from 0, to before `end`.
SELECT hash FROM audit_log WHERE position > :start AND position <= :end ORDER BY position;

-- name: audit_head
SELECT position, frontier FROM audit_head;

-- name: audit_pruned
SELECT pruned FROM audit_head;

-- name: audit_entries
SELECT position, time_ms, body, private, salt, hash FROM audit_log WHERE position > :after ORDER BY position LIMIT :limit;

-- name: audit_entries_of
SELECT position, time_ms, body, private, salt, hash FROM audit_log WHERE correlation = :correlation ORDER BY position LIMIT :limit;

-- name: audit_time
-- When the first entry after a position was committed.
SELECT time_ms FROM audit_log WHERE position > :after ORDER BY position LIMIT 1;

-- name: audit_rows
-- Each entry with all that is said about it twice, to be compared.
SELECT position, time_ms, kind, subject, tenant, run_id, correlation, actor, body, private, salt, hash
  FROM audit_log WHERE position > :after ORDER BY position LIMIT :limit;

-- name: redact_audit_entry
-- What the entry's leaf only commits to goes; the leaf stays.
UPDATE audit_log SET actor = NULL, private = NULL, salt = NULL WHERE position = :position AND private IS NOT NULL
RETURNING position;

-- name: prune_audit_entries
-- Their hashes live on in the tiles.
DELETE FROM audit_log WHERE position <= :upto;

-- name: insert_audit_checkpoint
INSERT INTO audit_checkpoints (position, time_ms, note) VALUES (:position, :time_ms, :note)
ON CONFLICT (position) DO NOTHING;

-- name: audit_checkpoint
SELECT position, time_ms, note FROM audit_checkpoints ORDER BY position DESC LIMIT 1;
