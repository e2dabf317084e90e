-- name: upsert_dispatch
INSERT INTO dispatches (id, route, status, target, run_id, step_key, tenant, caller, cause, correlation,
                        attempts, considered, usage, created_ms, finished_ms, facts)
VALUES (:id, :route, :status, :target, :run_id, :step_key, :tenant, :caller, :cause, :correlation,
        :attempts, :considered, :usage, :created_ms, :finished_ms, :facts)
ON CONFLICT (id) DO UPDATE
   SET status = excluded.status, target = excluded.target, attempts = excluded.attempts,
       considered = excluded.considered, usage = excluded.usage, finished_ms = excluded.finished_ms,
       facts = coalesce(excluded.facts, dispatches.facts);

-- name: dispatch
SELECT id, route, status, target, run_id, step_key, tenant, caller, cause, correlation,
       attempts, considered, usage, created_ms, finished_ms, facts
  FROM dispatches WHERE id = :id;

-- name: insert_dispatch_bodies
INSERT INTO dispatch_bodies (dispatch_id, tenant, request, answer, note, readers, created_ms, expires_ms)
VALUES (:dispatch_id, :tenant, :request, :answer, :note, :readers, :created_ms, :expires_ms)
ON CONFLICT (dispatch_id) DO NOTHING;

-- name: dispatch_bodies
SELECT dispatch_id, tenant, request, answer, note, readers, created_ms, expires_ms
  FROM dispatch_bodies WHERE dispatch_id = :dispatch_id;

-- name: delete_dispatch_bodies
DELETE FROM dispatch_bodies WHERE dispatch_id IN (
  SELECT dispatch_id FROM dispatch_bodies WHERE expires_ms <= :now_ms ORDER BY expires_ms LIMIT :limit)
RETURNING dispatch_id;
