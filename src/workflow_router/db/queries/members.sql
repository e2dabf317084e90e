-- name: forget_member
DELETE FROM members WHERE owner = :owner;

-- name: move_timers
UPDATE timers SET shard = :shard WHERE run_id = :id;

-- name: move_stops
UPDATE stops SET shard = :shard WHERE run_id = :id;
