-- name: lock_flow
-- Slots and starts change one transaction after the other; the number is "flow" in ASCII.
SELECT pg_advisory_xact_lock(x'666c6f77'::bigint);

-- name: start_reasons
SELECT run_id, why FROM starts WHERE run_id = ANY(ARRAY(SELECT jsonb_array_elements_text(:runs::jsonb))) AND why <> '';

-- name: admit_run
UPDATE runs SET status = 'running', input = coalesce(:input::text, input), updated_ms = :now_ms
 WHERE id = :id AND status = 'pending'
RETURNING id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms, wakes, parent;

-- name: move_share_clock
-- The clock of a workflow's shares stands where the run stood that was admitted last.
INSERT INTO shares (workflow, tenant, finish) SELECT workflow, '', share FROM starts WHERE run_id = :run_id
ON CONFLICT (workflow, tenant) DO UPDATE SET finish = greatest(shares.finish, excluded.finish);

-- name: free_slots
DELETE FROM slots WHERE run_id = :run_id AND (:step_key::text IS NULL OR step_key = :step_key::text) RETURNING lane;
