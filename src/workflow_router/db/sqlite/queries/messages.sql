-- name: insert_message
INSERT INTO messages (id, topic, key, body, headers, tenant, cause, correlation, published_ms)
VALUES (:id, :topic, :key, :body, :headers, :tenant, :cause, :correlation, :published_ms);

-- name: insert_delivery
INSERT INTO deliveries (subscription, message_id, key, status, due_ms)
VALUES (:subscription, :message_id, :key, 'ready', :due_ms);

-- name: bury_exhausted
-- Leases that ran out on a message's last delivery: its consumer died with it too often.
UPDATE deliveries SET status = 'dead', error = 'The lease ran out on the last delivery.'
 WHERE subscription = :subscription AND status = 'leased' AND due_ms <= :now_ms AND attempt >= :max_deliveries
RETURNING message_id;

-- name: due_deliveries
-- Of the first that are due, those that may be leased now: the oldest open one of its key, or without a key. Positions
-- are in order of publishing.
SELECT d.message_id, d.attempt, m.topic, m.key, m.body, m.headers, m.tenant, m.cause, m.correlation, m.published_ms
  FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
 WHERE d.position IN (SELECT position FROM deliveries
                       WHERE subscription = :subscription AND status IN ('ready', 'leased') AND due_ms <= :now_ms
                       ORDER BY due_ms, position LIMIT :window)
   AND (d.key IS NULL OR NOT EXISTS (
         SELECT 1 FROM deliveries AS earlier
          WHERE earlier.subscription = d.subscription AND earlier.key = d.key
            AND earlier.status IN ('ready', 'leased') AND earlier.position < d.position))
 ORDER BY d.due_ms, d.position LIMIT :limit;

-- name: more_are_due
-- Whether more are due than `due_deliveries` looks at.
SELECT 1 FROM deliveries
 WHERE subscription = :subscription AND status IN ('ready', 'leased') AND due_ms <= :now_ms
 ORDER BY due_ms, position LIMIT 1 OFFSET :window;

-- name: due_heads
-- The same, where many wait behind few keys: goes from key to key, so it costs by the number of keys, not of messages.
-- The sum keeps the planner from going through all that is due.
WITH RECURSIVE keys (key) AS (
  SELECT min(key) FROM deliveries
   WHERE subscription = :subscription AND key IS NOT NULL AND status IN ('ready', 'leased')
  UNION ALL
  SELECT (SELECT min(key) FROM deliveries
           WHERE subscription = :subscription AND key > keys.key AND status IN ('ready', 'leased'))
    FROM keys WHERE keys.key IS NOT NULL),
heads (position) AS (
  SELECT (SELECT min(position) FROM deliveries
           WHERE subscription = :subscription AND key = keys.key AND status IN ('ready', 'leased'))
    FROM keys WHERE keys.key IS NOT NULL),
keyless (position) AS (
  SELECT position FROM deliveries
   WHERE subscription = :subscription AND key IS NULL AND status IN ('ready', 'leased') AND due_ms + 0 <= :now_ms
   ORDER BY position LIMIT :limit)
SELECT d.message_id, d.attempt, m.topic, m.key, m.body, m.headers, m.tenant, m.cause, m.correlation, m.published_ms
  FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
 WHERE d.position IN (SELECT position FROM heads UNION ALL SELECT position FROM keyless)
   AND d.due_ms <= :now_ms AND d.status IN ('ready', 'leased')
 ORDER BY d.due_ms, d.position LIMIT :limit;

-- name: lease_delivery
UPDATE deliveries SET status = 'leased', attempt = :attempt, token = :token, due_ms = :until_ms
 WHERE subscription = :subscription AND message_id = :message_id;

-- name: acknowledge_delivery
UPDATE deliveries SET status = 'acked', error = NULL
 WHERE subscription = :subscription AND message_id = :message_id AND status = 'leased' AND token = :token;

-- name: return_delivery
UPDATE deliveries
   SET status = CASE WHEN attempt >= :max_deliveries THEN 'dead' ELSE 'ready' END, due_ms = :due_ms, error = :error
 WHERE subscription = :subscription AND message_id = :message_id AND status = 'leased' AND token = :token
RETURNING status, attempt;

-- name: extend_delivery
UPDATE deliveries SET due_ms = :until_ms
 WHERE subscription = :subscription AND message_id = :message_id AND status = 'leased' AND token = :token;

-- name: dead_deliveries
SELECT d.message_id, d.attempt, m.topic, m.key, m.body, m.headers, m.tenant, m.cause, m.correlation, m.published_ms,
       d.error
  FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
 WHERE d.subscription = :subscription AND d.status = 'dead' ORDER BY d.position LIMIT :limit;

-- name: redrive_delivery
UPDATE deliveries SET status = 'ready', attempt = 0, due_ms = :now_ms, token = ''
 WHERE subscription = :subscription AND message_id = :message_id AND status = 'dead';

-- name: next_due
SELECT min(due_ms) FROM deliveries WHERE subscription = :subscription AND status IN ('ready', 'leased');

-- name: message_counts
SELECT topic, count(*) FROM messages WHERE tenant = :tenant GROUP BY topic;

-- name: delivery_counts
SELECT m.topic, d.status, count(*)
  FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
 WHERE m.tenant = :tenant GROUP BY m.topic, d.status;
