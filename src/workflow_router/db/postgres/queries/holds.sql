-- name: lock_hold
-- Whoever takes a place waits for the one that has it; the place may have no row yet.
SELECT pg_advisory_xact_lock(hashtextextended(:name, 0));

-- name: hold
SELECT state FROM holds WHERE kind = :kind AND tenant = :tenant AND scope = :scope AND key = :key FOR UPDATE;

-- name: due_holds
-- What another process has taken or claimed is passed over.
SELECT tenant, scope, key, state FROM holds WHERE kind = :kind AND due_ms <= :now_ms ORDER BY due_ms LIMIT :limit
   FOR UPDATE SKIP LOCKED;
