-- name: correlated_run
-- The run that has the key, as long as it has not ended.
SELECT c.run_id FROM correlations AS c JOIN runs AS r ON r.id = c.run_id
 WHERE c.tenant = :tenant AND c.workflow = :workflow AND c.key = :key
   AND r.status NOT IN ('completed', 'faulted', 'cancelled', 'continued');

-- name: correlate
INSERT INTO correlations (tenant, workflow, key, run_id) VALUES (:tenant, :workflow, :key, :run_id)
ON CONFLICT (tenant, workflow, key) DO UPDATE SET run_id = excluded.run_id;

-- name: adopt_signals
-- What came before the run took the key.
UPDATE signals SET run_id = :run_id WHERE tenant = :tenant AND workflow = :workflow AND key = :key AND run_id IS NULL;

-- name: open_signals
SELECT id, tenant, run_id, workflow, key, name, value, cause, sent_ms FROM signals
 WHERE run_id = :run_id AND name = :name AND step_key IS NULL ORDER BY position LIMIT :limit;
