-- name: insert_run
INSERT INTO runs (id, tenant, workflow, version, status, shard, input, cause, correlation, parent, created_ms, updated_ms)
VALUES (:id, :tenant, :workflow, :version, 'running', :shard, :input, :cause, :correlation, :parent, :now_ms, :now_ms)
ON CONFLICT (id) DO NOTHING;

-- name: change_run_status
-- A run that has ended stays as it is, so the first end wins.
UPDATE runs SET status = :status, output = :output, error = :error, updated_ms = :now_ms
 WHERE id = :id AND status NOT IN ('completed', 'faulted', 'cancelled', 'continued');

-- name: park_run
-- Only if nothing has happened since the run looked, so that no wake is lost.
UPDATE runs SET status = 'waiting', updated_ms = :now_ms WHERE id = :id AND status = 'running' AND wakes = :wakes;

-- name: unpark_run
-- One that was suspended meanwhile stays so.
UPDATE runs SET status = 'running', updated_ms = :now_ms WHERE id = :id AND status IN ('waiting', 'running');

-- name: unfinished_runs
SELECT id, workflow, version, status, input, output, error, tenant, shard, cause, correlation, created_ms, updated_ms, wakes, parent
  FROM runs WHERE status = 'running' AND shard IN (SELECT value FROM json_each(:shards)) AND id > :after
 ORDER BY id LIMIT :limit;

-- name: running_runs
-- The last column: it has but started. What is in no history counts, too.
SELECT r.id, r.workflow, r.version, r.status, r.input, r.output, r.error, r.tenant, r.shard, r.cause, r.correlation, r.created_ms, r.updated_ms, r.wakes, r.parent,
       NOT (EXISTS (SELECT 1 FROM steps AS s WHERE s.run_id = r.id) OR EXISTS (SELECT 1 FROM stops AS s WHERE s.run_id = r.id)
            OR EXISTS (SELECT 1 FROM tries AS s WHERE s.run_id = r.id) OR EXISTS (SELECT 1 FROM heartbeats AS s WHERE s.run_id = r.id)
            OR EXISTS (SELECT 1 FROM chains AS s WHERE s.run_id = r.id) OR EXISTS (SELECT 1 FROM takeups AS s WHERE s.run_id = r.id)
            OR EXISTS (SELECT 1 FROM stream_writers AS s WHERE s.run_id = r.id) OR EXISTS (SELECT 1 FROM interests AS s WHERE s.run_id = r.id))
       AND (SELECT count(*) FROM (SELECT 1 FROM audit_log AS a WHERE a.run_id = r.id AND a.run_id IS DISTINCT FROM a.correlation
                                   UNION ALL SELECT 1 FROM audit_log AS a WHERE a.correlation = r.id AND a.run_id = r.id
                                   LIMIT 2) AS entries) = 1
  FROM runs AS r WHERE r.status = 'running' AND r.id IN (SELECT value FROM json_each(:ids));

-- name: timers
SELECT t.run_id, t.step_key, t.due_ms FROM timers AS t JOIN runs AS r ON r.id = t.run_id
 WHERE t.due_ms <= :before_ms AND r.status = 'waiting' AND t.shard IN (SELECT value FROM json_each(:shards))
 ORDER BY t.due_ms LIMIT :limit;

-- name: list_some_runs
-- The latest of each workflow and status that is wanted, and of these the latest: each look is one into the index.
WITH RECURSIVE names (name) AS (
  SELECT coalesce(:workflow, (SELECT min(workflow) FROM runs WHERE tenant = :tenant))
  UNION ALL
  SELECT (SELECT min(workflow) FROM runs WHERE tenant = :tenant AND workflow > names.name) FROM names
   WHERE names.name IS NOT NULL AND :workflow IS NULL
)
SELECT r.id, r.workflow, r.version, r.status, r.input, r.output, r.error, r.tenant, r.shard, r.cause, r.correlation, r.created_ms, r.updated_ms, r.wakes, r.parent
  FROM names CROSS JOIN json_each(:statuses) AS s CROSS JOIN runs AS r
 WHERE r.id IN (
    SELECT id FROM runs WHERE tenant = :tenant AND workflow = names.name AND status = s.value AND id < :before
     ORDER BY id DESC LIMIT :limit)
 ORDER BY r.id DESC LIMIT :limit;

-- name: open_waits
SELECT run_id, 'approval', name FROM approvals WHERE run_id IN (SELECT value FROM json_each(:ids)) AND status = 'open'
 UNION ALL
SELECT run_id, 'event', substr(name, 2) FROM interests WHERE run_id IN (SELECT value FROM json_each(:ids)) AND name LIKE '=%'
 UNION ALL
SELECT parent, 'run', id FROM runs WHERE parent IN (SELECT value FROM json_each(:ids)) AND status NOT IN ('completed', 'faulted', 'cancelled', 'continued')
 UNION ALL
SELECT run_id, 'timer', CAST(due_ms AS TEXT) FROM timers WHERE run_id IN (SELECT value FROM json_each(:ids));
