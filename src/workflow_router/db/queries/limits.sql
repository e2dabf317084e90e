-- name: add_limit_counter
-- One that is there is locked by this.
INSERT INTO limit_counters (key, buckets, kept_until_ms) VALUES (:key, '{}', 0)
ON CONFLICT (key) DO UPDATE SET kept_until_ms = limit_counters.kept_until_ms;

-- name: insert_limit_reservation
INSERT INTO limit_reservations (id, owner, held, expiry, lease_until_ms)
VALUES (:id, :owner, :held, :expiry, :lease_until_ms);

-- name: delete_limit_reservation
DELETE FROM limit_reservations WHERE id = :id;

-- name: renew_limit_reservations
UPDATE limit_reservations SET lease_until_ms = :lease_until_ms WHERE owner = :owner AND expired = 0;

-- name: expire_limit_reservation
UPDATE limit_reservations SET expired = 1, lease_until_ms = :kept_until_ms WHERE id = :id;

-- name: forget_limit_reservations
DELETE FROM limit_reservations WHERE expired = 1 AND lease_until_ms <= :now_ms;

-- name: forget_limit_counters
DELETE FROM limit_counters WHERE kept_until_ms <= :now_ms;

-- name: count_limit_reservations
SELECT count(*) FROM limit_reservations WHERE expired = 0;
