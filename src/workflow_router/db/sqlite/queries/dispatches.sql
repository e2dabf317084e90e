-- name: insert_dispatch
INSERT INTO dispatches (id, route, status, target, run_id, step_key, tenant, caller, cause, correlation,
                        attempts, considered, usage, created_ms, finished_ms, facts)
VALUES (:id, :route, :status, :target, :run_id, :step_key, :tenant, :caller, :cause, :correlation,
        :attempts, :considered, :usage, :created_ms, :finished_ms, :facts)
ON CONFLICT (id) DO NOTHING;

-- name: latest_dispatches
SELECT id, route, status, target, run_id, step_key, tenant, caller, cause, correlation,
       attempts, considered, usage, created_ms, finished_ms, facts
  FROM dispatches WHERE tenant = :tenant AND (:run IS NULL OR run_id = :run) ORDER BY id DESC LIMIT :limit;

-- name: attempt_counts
-- Of each target: attempts that succeeded, attempts that failed, and attempts after which the call moved to another.
WITH attempts AS (
  SELECT attempt.value ->> 'target' AS target,
         attempt.value ->> 'error' IS NULL AND coalesce(attempt.value ->> 'status', 500) < 400 AS succeeded,
         lead(attempt.value ->> 'target') OVER (PARTITION BY dispatches.id ORDER BY attempt.key) AS next_target
    FROM dispatches, json_each(dispatches.attempts) AS attempt
   WHERE dispatches.tenant = :tenant)
SELECT target, count(*) FILTER (WHERE succeeded), count(*) FILTER (WHERE NOT succeeded),
       count(*) FILTER (WHERE next_target <> target)
  FROM attempts GROUP BY target;
