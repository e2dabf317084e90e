-- name: lately_minutes
SELECT time_ms / 60000 AS minute, kind, count(*) FROM audit_log
 WHERE position > :after AND position <= :upto AND kind IN (SELECT value FROM json_each(:kinds))
 GROUP BY minute, kind;

-- name: lately_rules
-- What was done to mappings, routes, interceptors, limits, keys, topics, subscriptions, schedules.
SELECT position, time_ms, body, private, salt, hash FROM audit_log
 WHERE position > :after AND position <= :upto
   AND substr(kind, instr(kind, '.') + 1) IN ('changed', 'created', 'deleted', 'removed', 'disabled', 'enabled', 'purged', 'sought', 'retired')
   AND kind NOT LIKE 'run.%' AND kind NOT LIKE 'step.%' AND kind NOT LIKE 'message.%'
 ORDER BY position DESC LIMIT :limit;

-- name: lately_calls
-- Ids go up with time, so the newest are at the end of the index of ids.
SELECT route, target, status, created_ms, finished_ms, coalesce(facts ->> 'cost', 0),
       CASE WHEN json_array_length(attempts) > 1 THEN attempts END
  FROM dispatches
 WHERE id > :since AND tenant = :tenant AND finished_ms IS NOT NULL ORDER BY id DESC LIMIT :limit;
