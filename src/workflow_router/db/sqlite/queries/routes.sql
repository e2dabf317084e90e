-- name: lock_routes
-- Whoever changes routes does so one after the other.
SELECT number FROM route_changes WHERE id = 1;
