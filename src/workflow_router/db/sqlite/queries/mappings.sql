-- name: lock_mappings
-- Whoever learns or changes mappings does so one after the other.
SELECT number FROM mapping_changes WHERE id = 1;
