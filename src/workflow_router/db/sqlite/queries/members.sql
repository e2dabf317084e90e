-- name: note_member
INSERT INTO members (owner, workflows, lease_until_ms) VALUES (:owner, :workflows, :now_ms + :lease_ms)
ON CONFLICT (owner) DO UPDATE SET workflows = excluded.workflows, lease_until_ms = excluded.lease_until_ms;

-- name: live_members
SELECT owner FROM members WHERE lease_until_ms > :now_ms ORDER BY owner;

-- name: forget_dead_members
DELETE FROM members WHERE lease_until_ms < :now_ms - 60000;

-- name: shards_that_know
SELECT s.shard FROM shards AS s JOIN members AS m ON m.owner = s.owner
 WHERE m.lease_until_ms > :now_ms AND EXISTS (SELECT 1 FROM json_each(m.workflows) WHERE value = :wanted)
 ORDER BY s.shard;

-- name: move_run
UPDATE runs SET shard = :shard WHERE id = :id AND shard = :old_shard AND status NOT IN ('completed', 'faulted', 'cancelled', 'continued');
