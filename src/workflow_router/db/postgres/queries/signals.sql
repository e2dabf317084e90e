-- name: lock_correlation
-- Whoever sends to a key and whoever takes it must see one another; the key may have no row yet.
SELECT pg_advisory_xact_lock(hashtextextended(:name, 0));

-- name: insert_signal
INSERT INTO signals (id, tenant, run_id, workflow, key, name, value, cause, sent_ms)
VALUES (:id, :tenant, :run_id, :workflow, :key, :name, :value, :cause, :sent_ms)
ON CONFLICT (tenant, id) DO NOTHING
RETURNING id;

-- name: receive_signal
UPDATE signals SET step_key = :step_key WHERE run_id = :run_id AND id = :id AND step_key IS NULL
RETURNING id;
