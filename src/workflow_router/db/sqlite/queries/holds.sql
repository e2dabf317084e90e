-- name: lock_hold
-- One process has the file, so no lock is needed.
SELECT :name;

-- name: hold
SELECT state FROM holds WHERE kind = :kind AND tenant = :tenant AND scope = :scope AND key = :key;

-- name: due_holds
SELECT tenant, scope, key, state FROM holds WHERE kind = :kind AND due_ms <= :now_ms ORDER BY due_ms LIMIT :limit;
