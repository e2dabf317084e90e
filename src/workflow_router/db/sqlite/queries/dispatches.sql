-- name: insert_dispatch
INSERT INTO dispatches (id, route, status, target, run_id, step_key, tenant, caller, cause, correlation,
                        attempts, considered, usage, created_ms, finished_ms)
VALUES (:id, :route, :status, :target, :run_id, :step_key, :tenant, :caller, :cause, :correlation,
        :attempts, :considered, :usage, :created_ms, :finished_ms)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: upsert_dispatch
INSERT INTO dispatches (id, route, status, target, run_id, step_key, tenant, caller, cause, correlation,
                        attempts, considered, usage, created_ms, finished_ms)
VALUES (:id, :route, :status, :target, :run_id, :step_key, :tenant, :caller, :cause, :correlation,
        :attempts, :considered, :usage, :created_ms, :finished_ms)
ON CONFLICT (id) DO UPDATE
   SET status = excluded.status, target = excluded.target, attempts = excluded.attempts,
       considered = excluded.considered, usage = excluded.usage, finished_ms = excluded.finished_ms;

-- name: dispatch
SELECT id, route, status, target, run_id, step_key, tenant, caller, cause, correlation,
       attempts, considered, usage, created_ms, finished_ms
  FROM dispatches WHERE id = :id;

-- name: latest_dispatches
SELECT id, route, status, target, run_id, step_key, tenant, caller, cause, correlation,
       attempts, considered, usage, created_ms, finished_ms
  FROM dispatches WHERE tenant = :tenant AND (:run IS NULL OR run_id = :run) ORDER BY id DESC LIMIT :limit;

-- name: dispatch_attempts
-- Every attempt of every finished dispatch: where it went and how it ended.
SELECT json_extract(attempt.value, '$.target'), json_extract(attempt.value, '$.ok'), count(*)
  FROM dispatches, json_each(dispatches.attempts) AS attempt
 WHERE tenant = :tenant GROUP BY 1, 2;

-- name: dispatch_counts
SELECT status, count(*), count(*) FILTER (WHERE json_array_length(attempts) > 1)
  FROM dispatches WHERE tenant = :tenant GROUP BY status;
