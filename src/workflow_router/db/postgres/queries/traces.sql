-- name: trace_steps
SELECT run_id, key, kind, started_ms, finished_ms FROM steps WHERE run_id = ANY(ARRAY(SELECT jsonb_array_elements_text(:runs::jsonb))) LIMIT :limit;

-- name: trace_calls
SELECT id, attempts, step_key FROM dispatches WHERE id = ANY(ARRAY(SELECT jsonb_array_elements_text(:dispatches::jsonb)));

-- name: trace_asked
SELECT id, step_key FROM approvals WHERE id = ANY(ARRAY(SELECT jsonb_array_elements_text(:approvals::jsonb)));
