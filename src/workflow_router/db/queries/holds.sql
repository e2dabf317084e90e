-- name: keep_hold
INSERT INTO holds (kind, tenant, scope, key, due_ms, state) VALUES (:kind, :tenant, :scope, :key, :due_ms, :state)
ON CONFLICT (kind, tenant, scope, key) DO UPDATE SET due_ms = excluded.due_ms, state = excluded.state;

-- name: forget_hold
DELETE FROM holds WHERE kind = :kind AND tenant = :tenant AND scope = :scope AND key = :key;

-- name: next_hold
SELECT min(due_ms) FROM holds WHERE kind = :kind AND due_ms IS NOT NULL;
