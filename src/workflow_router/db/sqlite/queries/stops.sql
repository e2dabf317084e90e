-- name: give_stop
UPDATE stops SET given = 1, due_ms = :due_ms WHERE run_id = :run_id AND given = 0;

-- name: stops_due
SELECT run_id, reason, due_ms, grace_ms, given FROM stops
 WHERE due_ms <= :before_ms AND shard IN (SELECT value FROM json_each(:shards)) ORDER BY due_ms LIMIT :limit;

-- name: note_takeups
-- A run has come further if it has committed more steps, or was woken.
INSERT INTO takeups (run_id, mark, count)
SELECT r.id, r.wakes + (SELECT count(*) FROM steps AS s WHERE s.run_id = r.id), 1
  FROM runs AS r WHERE r.id IN (SELECT value FROM json_each(:runs))
ON CONFLICT (run_id) DO UPDATE
   SET count = CASE WHEN takeups.mark = excluded.mark THEN takeups.count + 1 ELSE 1 END, mark = excluded.mark
RETURNING run_id, count;
