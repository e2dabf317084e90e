-- name: lock_limit_counters
-- In the order of their keys, in which every process locks them.
SELECT key, buckets FROM limit_counters WHERE key IN (SELECT value FROM json_each(:keys)) ORDER BY key;

-- name: put_limit_counter
UPDATE limit_counters SET buckets = :buckets, kept_until_ms = max(kept_until_ms, :kept_until_ms) WHERE key = :key;

-- name: limit_counters_like
SELECT key, buckets FROM limit_counters
 WHERE substr(key, 1, length(:prefix)) = :prefix ORDER BY key LIMIT :limit;

-- name: lock_limit_reservations
SELECT id, held, expiry, expired FROM limit_reservations
 WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY id;

-- name: due_limit_reservations
SELECT id, held, expiry FROM limit_reservations
 WHERE expired = 0 AND lease_until_ms <= :now_ms ORDER BY id LIMIT :limit;
