-- name: retire_schedules
-- Those of other projects stay.
DELETE FROM schedules WHERE owner = :owner AND name <> ALL(ARRAY(SELECT value FROM json_array_elements_text(:names::json))) RETURNING name;

-- name: pause_schedule
UPDATE schedules SET paused = :paused WHERE name = :name AND paused <> :paused RETURNING name;
