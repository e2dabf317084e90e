-- name: interest_version
SELECT version FROM interest_version WHERE id = 1;

-- name: raise_interest_version
-- Its row stays locked until the commit, so that versions come in the order of commits.
UPDATE interest_version SET version = version + 1 WHERE id = 1 RETURNING version;

-- name: open_interest
INSERT INTO interests (run_id, name, tenant, patterns, version) VALUES (:run_id, :name, :tenant, :patterns, :version)
ON CONFLICT (run_id, name) DO NOTHING;

-- name: close_interest
DELETE FROM interests WHERE run_id = :run_id AND name = :name;

-- name: interests_since
SELECT run_id, name, tenant, patterns, version FROM interests WHERE version > :version ORDER BY version;

-- name: publish_state
INSERT INTO run_states (run_id, state, updated_ms) VALUES (:run_id, :state, :now_ms)
ON CONFLICT (run_id) DO UPDATE SET state = excluded.state, updated_ms = excluded.updated_ms, edits = NULL;

-- name: state_of_run
SELECT state, updated_ms FROM run_states WHERE run_id = :run_id;

-- name: insert_update_answer
INSERT INTO update_answers (tenant, id, run_id, output, error, answered_ms)
VALUES (:tenant, :id, :run_id, :output, :error, :now_ms)
ON CONFLICT (tenant, id) DO NOTHING;

-- name: update_answer
SELECT output, error FROM update_answers WHERE tenant = :tenant AND id = :id;

-- name: published_states
-- Of runs that have not ended, those published last first; by the run's key where it has one.
SELECT r.workflow, COALESCE(c.key, r.id), s.state
FROM run_states AS s JOIN runs AS r ON r.id = s.run_id LEFT JOIN correlations AS c ON c.run_id = r.id
WHERE r.tenant = :tenant AND r.status NOT IN ('completed', 'faulted', 'cancelled', 'continued')
ORDER BY s.updated_ms DESC, r.id
LIMIT :limit;

-- name: edit_state
INSERT INTO run_states (run_id, state, updated_ms, edits) VALUES (:run_id, :state, :now_ms, :edits)
ON CONFLICT (run_id) DO UPDATE SET state = excluded.state, updated_ms = excluded.updated_ms, edits = excluded.edits;

-- name: edits_of_state
SELECT edits FROM run_states WHERE run_id = :run_id;
