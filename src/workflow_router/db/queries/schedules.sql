-- name: learn_schedule
-- One that is as it was goes on where it stands.
INSERT INTO schedules (name, owner, specification, next_ms, due_ms)
VALUES (:name, :owner, :specification, :next_ms, :due_ms)
ON CONFLICT (name) DO UPDATE
   SET owner = excluded.owner,
       next_ms = CASE WHEN schedules.specification = excluded.specification THEN schedules.next_ms ELSE excluded.next_ms END,
       due_ms = CASE WHEN schedules.specification = excluded.specification THEN schedules.due_ms ELSE excluded.due_ms END,
       specification = excluded.specification
 WHERE schedules.specification <> excluded.specification OR schedules.owner <> excluded.owner
RETURNING name;

-- name: schedules
SELECT specification, paused, next_ms, due_ms, fired_ms, runs FROM schedules ORDER BY name;

-- name: claim_schedule
UPDATE schedules SET claimed_ms = :until_ms
 WHERE name = :name AND paused = 0 AND due_ms <= :now_ms AND claimed_ms <= :now_ms
RETURNING specification, paused, next_ms, due_ms, fired_ms, runs;

-- name: advance_schedule
-- Only from where it stood, so that who was too slow changes nothing.
UPDATE schedules SET next_ms = :next_ms, due_ms = :due_ms, runs = :runs, fired_ms = :fired_ms, claimed_ms = 0
 WHERE name = :name AND next_ms = :was_ms;

-- name: postpone_schedule
UPDATE schedules SET due_ms = :due_ms WHERE name = :name;
