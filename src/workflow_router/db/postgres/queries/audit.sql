-- name: lock_audit_head
-- The tree's end. Whoever comes next waits here until this transaction has ended, so positions are in commit order.
SELECT position, frontier FROM audit_head FOR UPDATE;

-- name: audit_gathered
-- Entries between two positions that tell of several messages at once, one of which has this id.
SELECT position, time_ms, body, private, salt, hash FROM audit_log
 WHERE position > :after AND position <= :last AND kind = 'message.published' AND correlation IS NULL AND strpos(private, :id) > 0
 ORDER BY position LIMIT :limit;

-- name: search_audit
SELECT position, time_ms, body, private, salt, hash
  FROM audit_log
 WHERE position > :after AND position <= :upto
   AND (:tenant::text IS NULL OR tenant = :tenant) AND (:kind::text IS NULL OR substr(kind, 1, length(:kind)) = :kind)
 ORDER BY position LIMIT :limit;

-- name: search_audit_of_run
-- A run that is the root of what it causes is found by that.
SELECT * FROM (
  SELECT position, time_ms, body, private, salt, hash FROM audit_log
   WHERE run_id = :run AND run_id IS DISTINCT FROM correlation AND position > :after AND position <= :upto AND (:actor::text IS NULL OR actor = :actor)
     AND (:tenant::text IS NULL OR tenant = :tenant) AND (:kind::text IS NULL OR substr(kind, 1, length(:kind)) = :kind)
   ORDER BY position LIMIT :limit) AS caused
UNION ALL
SELECT * FROM (
  SELECT position, time_ms, body, private, salt, hash FROM audit_log
   WHERE correlation = :run AND run_id = :run AND position > :after AND position <= :upto AND (:actor::text IS NULL OR actor = :actor)
     AND (:tenant::text IS NULL OR tenant = :tenant) AND (:kind::text IS NULL OR substr(kind, 1, length(:kind)) = :kind)
   ORDER BY position LIMIT :limit) AS roots
 ORDER BY position LIMIT :limit;

-- name: search_audit_of_actor
SELECT position, time_ms, body, private, salt, hash
  FROM audit_log
 WHERE actor = :actor AND position > :after AND position <= :upto
   AND (:tenant::text IS NULL OR tenant = :tenant) AND (:kind::text IS NULL OR substr(kind, 1, length(:kind)) = :kind)
 ORDER BY position LIMIT :limit;

-- name: move_audit_pruned
UPDATE audit_head SET pruned = :upto WHERE pruned < :upto RETURNING pruned;
