-- name: aged_runs
-- Not children of open runs, which may be about to look at how they ended.
SELECT r.position, r.id, r.workflow, r.updated_ms FROM runs AS r
 WHERE r.position > :after AND r.position < :until AND r.updated_ms < :before_ms
   AND r.status IN ('completed', 'faulted', 'cancelled', 'continued') AND r.shard = ANY(ARRAY(SELECT value::bigint FROM json_array_elements_text(:shards::json)))
   AND NOT EXISTS (SELECT 1 FROM runs AS p WHERE p.id = r.parent AND p.status NOT IN ('completed', 'faulted', 'cancelled', 'continued'))
 ORDER BY r.position LIMIT :limit;

-- name: dump_runs
SELECT id, tenant, workflow, version, status, input, output, error, cause, correlation, parent, created_ms, updated_ms
  FROM runs WHERE id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY id;

-- name: dump_steps
SELECT run_id, key, seq, name, kind, status, output, error, attempts, started_ms, finished_ms
  FROM steps WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY run_id, seq;

-- name: dump_signals
SELECT run_id, id, name, value, workflow, key, cause, sent_ms, step_key
  FROM signals WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY position;

-- name: dump_approvals
SELECT run_id, id, step_key, name, status, form, context, roles, quorum, created_ms, due_ms, decisions
  FROM approvals WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY id;

-- name: dump_dispatches
SELECT run_id, id, route, status, target, step_key, caller, cause, correlation, attempts, considered, usage, facts, created_ms, finished_ms
  FROM dispatches WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY id;

-- name: dump_run_states
SELECT run_id, state, updated_ms, edits
  FROM run_states WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY run_id;

-- name: dump_run_attributes
SELECT run_id, name, kind, text, number
  FROM run_attributes WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY run_id, name;

-- name: dump_update_answers
SELECT run_id, id, output, error, answered_ms
  FROM update_answers WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY id;

-- name: dump_streams
SELECT run_id, name, last, bytes, ended
  FROM streams WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY run_id, name;

-- name: dump_stream_entries
SELECT run_id, name, first, last, step_key, since, chunks
  FROM stream_entries WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY run_id, name, last;

-- name: dump_chains
SELECT run_id, first, previous, number
  FROM chains WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY run_id;

-- name: dump_forks
SELECT run_id, source, step_key
  FROM forks WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) ORDER BY run_id;

-- name: remove_runs
DELETE FROM runs WHERE id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) AND status IN ('completed', 'faulted', 'cancelled', 'continued') RETURNING id;

-- name: remove_steps
DELETE FROM steps WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_signals
DELETE FROM signals WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_approvals
DELETE FROM approvals WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_dispatches
DELETE FROM dispatches WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_run_states
DELETE FROM run_states WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_run_attributes
DELETE FROM run_attributes WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_update_answers
DELETE FROM update_answers WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_streams
DELETE FROM streams WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_stream_entries
DELETE FROM stream_entries WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_stream_writers
DELETE FROM stream_writers WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_forks
DELETE FROM forks WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_correlations
DELETE FROM correlations WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_start_keys
DELETE FROM start_keys WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_blob_uses
DELETE FROM blob_uses WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json)));

-- name: remove_chains
-- The first run's id is what others know, so it leads to the newest as long as there is one.
DELETE FROM chains WHERE run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))) AND (run_id <> first
   OR NOT EXISTS (SELECT 1 FROM chains AS n JOIN runs AS r ON r.id = n.run_id WHERE n.first = chains.first));

-- name: remove_chains_that_ended
DELETE FROM chains WHERE number = 0 AND NOT EXISTS (SELECT 1 FROM runs AS r WHERE r.id = chains.run_id)
   AND first IN (SELECT c.first FROM chains AS c WHERE c.run_id = ANY(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))))
   AND NOT EXISTS (SELECT 1 FROM chains AS n WHERE n.first = chains.first AND n.number > 0 AND n.run_id <> ALL(ARRAY(SELECT value FROM json_array_elements_text(:runs::json))));

-- name: note_archived
INSERT INTO archived_runs (run_id, file, archived_ms) SELECT value, :file::text, :now_ms::bigint FROM json_array_elements_text(:runs::json) WHERE true
ON CONFLICT (run_id) DO UPDATE SET file = excluded.file, archived_ms = excluded.archived_ms;
