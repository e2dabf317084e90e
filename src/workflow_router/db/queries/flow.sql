-- name: insert_run_as
INSERT INTO runs (id, tenant, workflow, version, status, shard, input, error, cause, correlation, parent, created_ms, updated_ms)
VALUES (:id, :tenant, :workflow, :version, :status, :shard, :input, :error, :cause, :correlation, :parent, :now_ms, :now_ms)
RETURNING id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms, wakes, parent;

-- name: insert_start
INSERT INTO starts (run_id, workflow, tenant, lanes, singleton, priority, weight, share, lane, why)
VALUES (:run_id, :workflow, :tenant, :lanes, :singleton, :priority, :weight, :share, :lane, :why);

-- name: start
SELECT run_id, workflow, tenant, lanes, singleton, priority, weight, lane FROM starts WHERE run_id = :run_id;

-- name: move_start
UPDATE starts SET lane = :lane, why = :why WHERE run_id = :run_id;

-- name: delete_start
DELETE FROM starts WHERE run_id = :run_id;

-- name: next_start
-- Higher priority first, then the tenant that has had the least of its share, then age.
SELECT run_id, workflow, tenant, lanes, singleton, priority, weight, lane FROM starts
 WHERE lane = :lane ORDER BY priority DESC, share, position LIMIT 1;

-- name: single_runs
SELECT run_id FROM starts WHERE singleton = :singleton ORDER BY position LIMIT 1000;

-- name: open_lanes
SELECT DISTINCT lane FROM starts WHERE lane IS NOT NULL ORDER BY lane LIMIT 10000;

-- name: give_input
UPDATE runs SET input = :input, updated_ms = :now_ms WHERE id = :id AND status = 'pending'
RETURNING id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms, wakes, parent;

-- name: withdraw_run
UPDATE runs SET status = 'cancelled', updated_ms = :now_ms WHERE id = :id AND status = 'pending'
RETURNING id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms, wakes, parent;

-- name: shares
SELECT tenant, finish FROM shares WHERE workflow = :workflow AND tenant IN ('', :tenant);

-- name: keep_share
INSERT INTO shares (workflow, tenant, finish) VALUES (:workflow, :tenant, :finish)
ON CONFLICT (workflow, tenant) DO UPDATE SET finish = excluded.finish;

-- name: taken_slots
SELECT count(*) FROM slots WHERE lane = :lane;

-- name: take_slot
INSERT INTO slots (lane, run_id, step_key) VALUES (:lane, :run_id, :step_key) ON CONFLICT DO NOTHING;

-- name: has_slot
SELECT 1 FROM slots WHERE lane = :lane AND run_id = :run_id AND step_key = :step_key;

-- name: holders
SELECT run_id FROM slots WHERE lane = :lane ORDER BY run_id LIMIT 10000;

-- name: sweep_slots
DELETE FROM slots WHERE NOT EXISTS (
  SELECT 1 FROM runs AS r WHERE r.id = slots.run_id AND r.status NOT IN ('completed', 'faulted', 'cancelled', 'continued'));

-- name: sweep_starts
DELETE FROM starts WHERE NOT EXISTS (
  SELECT 1 FROM runs AS r WHERE r.id = starts.run_id AND r.status NOT IN ('completed', 'faulted', 'cancelled', 'continued'));

-- name: start_key
SELECT run_id, digest FROM start_keys WHERE tenant = :tenant AND workflow = :workflow AND key = :key;

-- name: insert_start_key
INSERT INTO start_keys (tenant, workflow, key, run_id, digest) VALUES (:tenant, :workflow, :key, :run_id, :digest);

-- name: copy_steps
-- History up to a step, as the history of another run.
INSERT INTO steps (run_id, key, seq, name, kind, status, output, error, attempts, started_ms, finished_ms)
SELECT :run_id, key, seq, name, kind, status, output, error, attempts, started_ms, finished_ms
  FROM steps WHERE run_id = :source AND seq < :before_seq;

-- name: edit_step
UPDATE steps SET output = :output, error = NULL, status = 'completed' WHERE run_id = :run_id AND key = :key;

-- name: note_fork
INSERT INTO forks (run_id, source, step_key) VALUES (:run_id, :source, :step_key);

-- name: forked_from
SELECT source, step_key FROM forks WHERE run_id = :run_id;
