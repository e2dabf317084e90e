-- name: add_limit_counter
-- One that is there is locked by this.
INSERT INTO limit_counters (key, buckets, kept_until_ms) VALUES (:key, '{}', 0)
ON CONFLICT (key) DO UPDATE SET kept_until_ms = limit_counters.kept_until_ms;

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

-- name: insert_limit_reservation
INSERT INTO limit_reservations (id, owner, held, expiry, lease_until_ms)
VALUES (:id, :owner, :held, :expiry, :lease_until_ms);

-- name: delete_limit_reservation
DELETE FROM limit_reservations WHERE id = :id;

-- name: renew_limit_reservations
UPDATE limit_reservations SET lease_until_ms = :lease_until_ms WHERE owner = :owner AND expired = 0;

-- name: due_limit_reservations
SELECT id, held, expiry FROM limit_reservations
 WHERE expired = 0 AND lease_until_ms <= :now_ms ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED;

-- name: expire_limit_reservation
UPDATE limit_reservations SET expired = 1, lease_until_ms = :kept_until_ms WHERE id = :id;

-- name: forget_limit_reservations
DELETE FROM limit_reservations WHERE expired = 1 AND lease_until_ms <= :now_ms;

-- name: forget_limit_counters
DELETE FROM limit_counters WHERE kept_until_ms <= :now_ms;

-- name: count_limit_reservations
SELECT count(*) FROM limit_reservations WHERE expired = 0;
