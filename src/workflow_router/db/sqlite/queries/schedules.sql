-- name: retire_schedules
-- Those of other projects stay.
DELETE FROM schedules WHERE owner = :owner AND name NOT IN (SELECT value FROM json_each(:names)) RETURNING name;

-- name: pause_schedule
UPDATE schedules SET paused = :paused WHERE name = :name AND paused <> :paused;
