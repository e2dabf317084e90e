-- name: continue_run
-- One that is suspended meanwhile does not go on.
UPDATE runs SET status = 'continued', updated_ms = :now_ms WHERE id = :id AND status IN ('running', 'waiting')
RETURNING id;

-- name: insert_successor
-- Its parent is what the store says, as the parent may have gone on as another, too.
INSERT INTO runs (id, tenant, workflow, version, status, shard, input, cause, correlation, parent, created_ms, updated_ms)
SELECT :id::text, r.tenant, r.workflow, :version::text, 'running', :shard::bigint, :input::text, r.id, r.correlation, r.parent, :now_ms::bigint, :now_ms::bigint
  FROM runs AS r WHERE r.id = :previous
RETURNING id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms, wakes, parent;

-- name: begin_chain
INSERT INTO chains (run_id, first, number) VALUES (:run_id, :run_id, 0) ON CONFLICT (run_id) DO NOTHING;

-- name: extend_chain
INSERT INTO chains (run_id, first, previous, number)
SELECT :run_id::text, c.first, c.run_id, c.number + 1 FROM chains AS c WHERE c.run_id = :previous;

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

-- name: copy_state
INSERT INTO run_states (run_id, state, updated_ms, edits)
SELECT :run_id::text, s.state, s.updated_ms, s.edits FROM run_states AS s WHERE s.run_id = :source;

-- name: copy_attributes
INSERT INTO run_attributes (run_id, name, kind, text, number)
SELECT :run_id::text, a.name, a.kind, a.text, a.number FROM run_attributes AS a WHERE a.run_id = :source;

-- name: newest_of_chain
SELECT n.run_id FROM chains AS c JOIN chains AS n ON n.first = c.first WHERE c.run_id = :run_id
 ORDER BY n.number DESC LIMIT 1;

-- name: chain_of_run
SELECT c.first, c.number, c.previous, n.run_id
  FROM chains AS c LEFT JOIN chains AS n ON n.first = c.first AND n.number = c.number + 1 WHERE c.run_id = :run_id;
