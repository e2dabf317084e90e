-- name: lock_limit_counters
-- In the order of their keys, in which every process locks them.
SELECT key, buckets FROM limit_counters WHERE key = ANY(ARRAY(SELECT json_array_elements_text(:keys::json))) ORDER BY key FOR UPDATE;

-- name: put_limit_counter
UPDATE limit_counters SET buckets = :buckets, kept_until_ms = greatest(kept_until_ms, :kept_until_ms) WHERE key = :key;

-- name: limit_counters_like
SELECT key, buckets FROM limit_counters
 WHERE starts_with(key, :prefix) ORDER BY key LIMIT :limit;

-- name: lock_limit_reservations
SELECT id, held, expiry, expired FROM limit_reservations
 WHERE id = ANY(ARRAY(SELECT json_array_elements_text(:ids::json))) ORDER BY id FOR UPDATE;

-- name: due_limit_reservations
SELECT id, held, expiry FROM limit_reservations
 WHERE expired = 0 AND lease_until_ms <= :now_ms ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED;
