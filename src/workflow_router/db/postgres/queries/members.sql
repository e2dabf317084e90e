-- name: note_member
INSERT INTO members (owner, workflows, lease_until_ms)
VALUES (:owner, :workflows, (extract(epoch FROM clock_timestamp()) * 1000)::bigint + :lease_ms)
ON CONFLICT (owner) DO UPDATE SET workflows = excluded.workflows, lease_until_ms = excluded.lease_until_ms;

-- name: live_members
-- Those whose lease has not run out, in one order for all.
SELECT owner FROM members
 WHERE lease_until_ms > (extract(epoch FROM clock_timestamp()) * 1000)::bigint ORDER BY owner;

-- name: forget_dead_members
-- Long after their lease, so that nobody waits here for a member that is just coming back.
DELETE FROM members
 WHERE lease_until_ms < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - 60000;

-- name: shards_that_know
-- The shards of live members that can execute a version of a workflow.
SELECT s.shard FROM shards AS s JOIN members AS m ON m.owner = s.owner
 WHERE m.lease_until_ms > (extract(epoch FROM clock_timestamp()) * 1000)::bigint AND m.workflows::jsonb ? :wanted
 ORDER BY s.shard;

-- name: move_run
UPDATE runs SET shard = :shard WHERE id = :id AND shard = :old_shard AND status NOT IN ('completed', 'faulted', 'cancelled', 'continued')
RETURNING id;
