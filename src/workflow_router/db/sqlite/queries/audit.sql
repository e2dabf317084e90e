-- name: lock_audit_head
-- The chain's end. One process has the file, so no row lock is needed.
SELECT position, hash FROM audit_head;

-- name: move_audit_head
UPDATE audit_head SET position = :position, hash = :hash;

-- name: insert_audit_entry
INSERT INTO audit_log (position, time_ms, kind, subject, correlation, body, hash)
VALUES (:position, :time_ms, :kind, :subject, :correlation, :body, :hash);

-- name: audit_head
SELECT position, hash FROM audit_head;

-- name: audit_entries
SELECT position, time_ms, body, hash FROM audit_log WHERE position > :after ORDER BY position LIMIT :limit;

-- name: audit_entries_of
SELECT position, time_ms, body, hash FROM audit_log WHERE correlation = :correlation ORDER BY position LIMIT :limit;

-- name: audit_rows
-- Each entry with all that is said about it twice, to be compared.
SELECT position, time_ms, kind, subject, correlation, body, hash
  FROM audit_log WHERE position > :after ORDER BY position LIMIT :limit;
