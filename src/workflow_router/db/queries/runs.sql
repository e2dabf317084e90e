-- name: insert_step
INSERT INTO steps (run_id, key, seq, name, kind, status, output, error, attempts, started_ms, finished_ms)
VALUES (:run_id, :key, :seq, :name, :kind, :status, :output, :error, :attempts, :started_ms, :finished_ms);

-- name: delete_timers
DELETE FROM timers WHERE run_id = :run_id;

-- name: delete_timer
DELETE FROM timers WHERE run_id = :run_id AND step_key = :step_key;

-- name: set_timer
-- The first moment stays, so that a replay after a crash does not begin to wait anew.
INSERT INTO timers (run_id, step_key, shard, due_ms) VALUES (:run_id, :step_key, :shard, :due_ms)
ON CONFLICT (run_id, step_key) DO UPDATE SET due_ms = timers.due_ms
RETURNING due_ms;

-- name: wake_run
UPDATE runs
   SET wakes = wakes + 1, updated_ms = :now_ms,
       error = CASE WHEN :resume AND status = 'suspended' THEN NULL ELSE error END,
       status = CASE WHEN status = 'waiting' OR (:resume AND status = 'suspended') THEN 'running' ELSE status END
 WHERE id = :id AND status NOT IN ('completed', 'faulted', 'cancelled', 'continued')
RETURNING id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms, wakes, parent;

-- name: run
SELECT id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms, wakes, parent
  FROM runs WHERE id = :id;

-- name: run_history
SELECT key, seq, name, kind, status, output, error, attempts, started_ms, finished_ms
  FROM steps WHERE run_id = :run_id ORDER BY seq;

-- name: list_runs
SELECT id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms, wakes, parent
  FROM runs
 WHERE tenant = :tenant AND id < :before ORDER BY id DESC LIMIT :limit;

-- name: run_counts
SELECT workflow, status, count(*) FROM runs WHERE tenant = :tenant GROUP BY workflow, status;

-- name: open_children
SELECT id FROM runs WHERE parent = :run_id AND status NOT IN ('completed', 'faulted', 'cancelled', 'continued') ORDER BY id;

-- name: has_open_waits
-- Whether it left something in the store that it waits for.
SELECT EXISTS (SELECT 1 FROM timers WHERE run_id = :run_id)
    OR EXISTS (SELECT 1 FROM approvals WHERE run_id = :run_id AND status = 'open')
    OR EXISTS (SELECT 1 FROM interests WHERE run_id = :run_id AND name LIKE '=%')
    OR EXISTS (SELECT 1 FROM runs WHERE parent = :run_id AND status NOT IN ('completed', 'faulted', 'cancelled', 'continued'));
