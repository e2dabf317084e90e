-- name: continue_run
-- One that is suspended meanwhile does not go on.
UPDATE runs SET status = 'continued', updated_ms = :now_ms WHERE id = :id AND status IN ('running', 'waiting')
RETURNING id;

-- name: begin_chain
INSERT INTO chains (run_id, first, number) VALUES (:run_id, :run_id, 0) ON CONFLICT (run_id) DO NOTHING;

-- name: pass_signals
UPDATE signals SET run_id = :run_id WHERE run_id = :source AND step_key IS NULL;

-- name: pass_correlations
UPDATE correlations SET run_id = :run_id WHERE run_id = :source;

-- name: pass_children
UPDATE runs SET parent = :run_id
 WHERE parent = :source AND status NOT IN ('completed', 'faulted', 'cancelled', 'continued');

-- name: pass_start
UPDATE starts SET run_id = :run_id WHERE run_id = :source;

-- name: pass_slots
-- Not those of its steps, which it leaves.
UPDATE slots SET run_id = :run_id WHERE run_id = :source AND step_key = '';

-- name: pass_pause
UPDATE pauses SET run_id = :run_id WHERE run_id = :source;

-- name: pass_stop
-- Each run has its own time; only what somebody asked for goes on.
UPDATE stops SET run_id = :run_id, shard = :shard WHERE run_id = :source AND reason = 'cancelled';

-- name: has_expectations
SELECT 1 FROM interests WHERE run_id = :run_id AND name NOT LIKE '=%' LIMIT 1;

-- name: pass_interests
-- Not those of a single wait, which ends with the run.
UPDATE interests SET run_id = :run_id, version = :version WHERE run_id = :source AND name NOT LIKE '=%';

-- name: newest_of_chain
SELECT n.run_id FROM chains AS c JOIN chains AS n ON n.first = c.first WHERE c.run_id = :run_id
 ORDER BY n.number DESC LIMIT 1;

-- name: chain_of_run
SELECT c.first, c.number, c.previous, n.run_id
  FROM chains AS c LEFT JOIN chains AS n ON n.first = c.first AND n.number = c.number + 1 WHERE c.run_id = :run_id;
