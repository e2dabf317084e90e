-- name: lock_correlation
-- Whoever sends to a key and whoever takes it must see one another. One process has the file, so no lock is needed.
SELECT :name;

-- name: insert_signal
INSERT INTO signals (id, tenant, run_id, workflow, key, name, value, cause, sent_ms)
VALUES (:id, :tenant, :run_id, :workflow, :key, :name, :value, :cause, :sent_ms)
ON CONFLICT (tenant, id) DO NOTHING;

-- name: receive_signal
UPDATE signals SET step_key = :step_key WHERE run_id = :run_id AND id = :id AND step_key IS NULL;
