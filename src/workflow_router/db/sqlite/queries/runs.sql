-- name: insert_run
INSERT INTO runs (id, tenant, workflow, version, status, shard, input, cause, correlation, created_ms, updated_ms)
VALUES (:id, :tenant, :workflow, :version, 'running', :shard, :input, :cause, :correlation, :now_ms, :now_ms)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: insert_step
INSERT INTO steps (run_id, key, seq, name, kind, status, output, error, attempts, started_ms, finished_ms)
VALUES (:run_id, :key, :seq, :name, :kind, :status, :output, :error, :attempts, :started_ms, :finished_ms);

-- name: change_run_status
-- A run that has ended stays as it is, so the first end wins.
UPDATE runs SET status = :status, output = :output, error = :error, updated_ms = :now_ms
 WHERE id = :id AND status NOT IN ('completed', 'faulted', 'cancelled')
RETURNING id;

-- name: delete_timers
DELETE FROM timers WHERE run_id = :run_id;

-- name: delete_timer
DELETE FROM timers WHERE run_id = :run_id AND step_key = :step_key;

-- name: insert_timer
INSERT INTO timers (run_id, step_key, shard, due_ms) VALUES (:run_id, :step_key, :shard, :due_ms)
ON CONFLICT (run_id, step_key) DO NOTHING;

-- name: run
SELECT id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms
  FROM runs WHERE id = :id;

-- name: run_history
SELECT key, seq, name, kind, status, output, error, attempts, started_ms, finished_ms
  FROM steps WHERE run_id = :run_id ORDER BY seq;

-- name: unfinished_runs
SELECT id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms
  FROM runs WHERE status = 'running' AND shard IN (SELECT value FROM json_each(:shards)) AND id > :after
 ORDER BY id LIMIT :limit;

-- name: timers_due
SELECT run_id, step_key, due_ms FROM timers
 WHERE due_ms <= :before_ms AND shard IN (SELECT value FROM json_each(:shards)) ORDER BY due_ms LIMIT :limit;

-- name: list_runs
SELECT id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms
  FROM runs
 WHERE tenant = :tenant AND (:workflow IS NULL OR workflow = :workflow) AND (:status IS NULL OR status = :status)
   AND id < :before
 ORDER BY position DESC LIMIT :limit;

-- name: run_counts
SELECT workflow, status, count(*) FROM runs WHERE tenant = :tenant GROUP BY workflow, status;
