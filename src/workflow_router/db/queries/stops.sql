-- name: ask_stop
-- The earlier moment counts, and its reason; a stop that was given stays.
INSERT INTO stops (run_id, shard, reason, due_ms, grace_ms) VALUES (:run_id, :shard, :reason, :due_ms, :grace_ms)
ON CONFLICT (run_id) DO UPDATE SET reason = excluded.reason, due_ms = excluded.due_ms, grace_ms = excluded.grace_ms
 WHERE stops.given = 0 AND excluded.due_ms < stops.due_ms;

-- name: stop_of
SELECT run_id, reason, due_ms, grace_ms, given FROM stops WHERE run_id = :run_id;

-- name: forget_stop
DELETE FROM stops WHERE run_id = :run_id;

-- name: forget_heartbeats
DELETE FROM heartbeats WHERE run_id = :run_id;

-- name: forget_tries
DELETE FROM tries WHERE run_id = :run_id;

-- name: forget_takeups
DELETE FROM takeups WHERE run_id = :run_id;

-- name: forget_interests
DELETE FROM interests WHERE run_id = :run_id;

-- name: keep_heartbeat
INSERT INTO heartbeats (run_id, step_key, details, kept_ms) VALUES (:run_id, :step_key, :details, :now_ms)
ON CONFLICT (run_id, step_key) DO UPDATE SET details = excluded.details, kept_ms = excluded.kept_ms;

-- name: heartbeat
SELECT details FROM heartbeats WHERE run_id = :run_id AND step_key = :step_key;

-- name: drop_heartbeat
DELETE FROM heartbeats WHERE run_id = :run_id AND step_key = :step_key;

-- name: keep_try
INSERT INTO tries (run_id, step_key, name, attempts, began_ms, due_ms)
VALUES (:run_id, :step_key, :name, :attempts, :began_ms, :due_ms)
ON CONFLICT (run_id, step_key) DO UPDATE
   SET name = excluded.name, attempts = excluded.attempts, began_ms = excluded.began_ms, due_ms = excluded.due_ms;

-- name: tries
SELECT step_key, name, attempts, began_ms, due_ms FROM tries WHERE run_id = :run_id;
