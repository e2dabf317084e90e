-- name: insert_successor
-- Its parent is what the store says, as the parent may have gone on as another, too.
INSERT INTO runs (id, tenant, workflow, version, status, shard, input, cause, correlation, parent, created_ms, updated_ms)
SELECT :id::text, r.tenant, r.workflow, :version::text, 'running', :shard::bigint, :input::text, r.id, r.correlation, r.parent, :now_ms::bigint, :now_ms::bigint
  FROM runs AS r WHERE r.id = :previous
RETURNING id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms, wakes, parent;

-- name: extend_chain
INSERT INTO chains (run_id, first, previous, number)
SELECT :run_id::text, c.first, c.run_id, c.number + 1 FROM chains AS c WHERE c.run_id = :previous;

-- name: copy_state
INSERT INTO run_states (run_id, state, updated_ms, edits)
SELECT :run_id::text, s.state, s.updated_ms, s.edits FROM run_states AS s WHERE s.run_id = :source;

-- name: copy_attributes
INSERT INTO run_attributes (run_id, name, kind, text, number)
SELECT :run_id::text, a.name, a.kind, a.text, a.number FROM run_attributes AS a WHERE a.run_id = :source;
