-- name: first_young_run
-- Runs are removed in the order of their start, so the first that is too young for it comes soon.
SELECT position FROM runs WHERE created_ms >= :before_ms ORDER BY position LIMIT 1;

-- name: archive_of_run
SELECT file FROM archived_runs WHERE run_id = :run_id;
