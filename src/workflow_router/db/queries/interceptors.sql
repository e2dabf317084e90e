-- name: count_interceptor_change
UPDATE interceptor_changes SET number = :number WHERE id = 1;

-- name: last_interceptor_version
SELECT max(version) FROM interceptors WHERE name = :name;

-- name: insert_interceptor
INSERT INTO interceptors (name, version, change, specification, stage, author, created_ms)
VALUES (:name, :version, :change, :specification, :stage, :author, :created_ms);

-- name: interceptors_changed
SELECT name, version, change, specification, stage, author, created_ms
  FROM interceptors WHERE change > :after ORDER BY change LIMIT :limit;

-- name: interceptor_history
SELECT name, version, change, specification, stage, author, created_ms
  FROM interceptors WHERE name = :name ORDER BY version;

-- name: held_done
UPDATE held SET done = 1 WHERE id = :id;

-- name: find_held
SELECT id, at, subject, tenant, interceptor, version, place, verdict, run_id, mark, cause, correlation, fields, changed, payload, status, on_due, due_ms, created_ms, settled_ms, settled_by, reason, done FROM held WHERE id = :id;

-- name: held_of_run
SELECT id, at, subject, tenant, interceptor, version, place, verdict, run_id, mark, cause, correlation, fields, changed, payload, status, on_due, due_ms, created_ms, settled_ms, settled_by, reason, done
  FROM held WHERE run_id = :run_id AND mark = :mark ORDER BY created_ms, place, interceptor;

-- name: list_held
SELECT h.id, h.at, h.subject, h.tenant, h.interceptor, h.version, h.place, h.verdict, h.run_id, h.mark, h.cause, h.correlation, h.fields, h.changed, h.payload, h.status, h.on_due, h.due_ms, h.created_ms, h.settled_ms, h.settled_by, h.reason, h.done
  FROM held AS h LEFT JOIN runs AS r ON r.id = h.run_id
 WHERE h.status = 'open' AND h.tenant = :tenant
   AND (h.run_id IS NULL OR r.status NOT IN ('completed', 'faulted', 'cancelled', 'continued'))
 ORDER BY h.created_ms, h.id LIMIT :limit;

-- name: held_due
SELECT id, at, subject, tenant, interceptor, version, place, verdict, run_id, mark, cause, correlation, fields, changed, payload, status, on_due, due_ms, created_ms, settled_ms, settled_by, reason, done
  FROM held WHERE run_id IS NULL AND done = 0 AND (status = 'released' OR (status = 'open' AND verdict <> 'ask' AND due_ms <= :now_ms))
 ORDER BY created_ms, id LIMIT :limit;

-- name: next_held_due
SELECT min(due_ms) FROM held WHERE run_id IS NULL AND done = 0 AND status = 'open' AND verdict <> 'ask';

-- name: prune_held
-- What was held long ago and is over: settled and done, or of a run that has ended.
DELETE FROM held WHERE id IN (
  SELECT h.id FROM held AS h LEFT JOIN runs AS r ON r.id = h.run_id
   WHERE h.created_ms < :before_ms
     AND ((h.run_id IS NULL AND h.done = 1 AND h.settled_ms < :before_ms)
       OR (h.run_id IS NOT NULL AND (r.id IS NULL OR r.status IN ('completed', 'faulted', 'cancelled', 'continued'))))
   LIMIT :limit)
RETURNING id;

-- name: held_in_runs
SELECT 1 FROM held WHERE run_id IS NOT NULL LIMIT 1;
