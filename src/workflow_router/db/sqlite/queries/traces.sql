-- name: trace_steps
SELECT run_id, key, kind, started_ms, finished_ms FROM steps WHERE run_id IN (SELECT value FROM json_each(:runs)) LIMIT :limit;

-- name: trace_calls
SELECT id, attempts, step_key FROM dispatches WHERE id IN (SELECT value FROM json_each(:dispatches));

-- name: trace_asked
SELECT id, step_key FROM approvals WHERE id IN (SELECT value FROM json_each(:approvals));
