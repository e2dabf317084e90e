-- name: insert_messages
INSERT INTO messages (position, id, key, body, headers, tenant, cause, correlation, published_ms, due_ms, expires_ms, priority, bytes)
VALUES (:position, :id, :key, :body, :headers, :tenant, :cause, :correlation, :published_ms, :due_ms, :expires_ms, :priority, :bytes);

-- name: insert_plain_messages
-- Those without a key, headers, a cause or options.
INSERT INTO messages (position, id, body, tenant, published_ms, priority, bytes)
VALUES (:position, :id, :body, :tenant, :published_ms, 0, :bytes);

-- name: take_cursor
-- A subscription's place in its topic.
SELECT s.cursor, s.urgent, t.head, t.urgent, s.checked_ms, s.floor
  FROM subscriptions AS s JOIN topics AS t ON t.name = s.topic WHERE s.name = :name;

-- name: bury_exhausted
-- Leases that ran out on a message's last delivery: its consumer died with it too often.
UPDATE deliveries SET status = 'dead', error = :error,
       history = CASE WHEN json_extract(history, '$[#-1].attempt') = attempt THEN history
         ELSE json_insert(coalesce(history, '[]'), '$[#]', json_object('attempt', attempt, 'error', :error, 'time_ms', :now_ms)) END
 WHERE subscription = :subscription AND position IN (
         SELECT position FROM deliveries
          WHERE subscription = :subscription AND status = 'leased' AND due_ms > :after_ms AND due_ms <= :now_ms AND attempt >= :max_deliveries)
RETURNING position;

-- name: free_expired
-- Leases that ran out. Their holder may still acknowledge them, until somebody else has them.
UPDATE deliveries SET status = 'ready', key = CASE WHEN :park = 1 THEN NULL ELSE key END,
       history = CASE WHEN json_extract(history, '$[#-1].attempt') = attempt THEN history
         ELSE json_insert(coalesce(history, '[]'), '$[#]', json_object('attempt', attempt, 'error', :error, 'time_ms', :now_ms)) END
 WHERE subscription = :subscription AND status = 'leased' AND due_ms > :after_ms AND due_ms <= :now_ms;

-- name: due_deliveries
-- Of the first that are due, those that may be leased now: the oldest open one of its key, or without a key.
SELECT m.position, m.id, m.key, m.body, m.headers, m.tenant, m.cause, m.correlation, m.published_ms,
       m.expires_ms, d.attempt, d.key
  FROM deliveries AS d JOIN messages AS m ON m.position = d.position
 WHERE d.subscription = :subscription AND d.position IN (
         SELECT position FROM deliveries
          WHERE subscription = :subscription AND status = 'ready' AND due_ms <= :now_ms AND position >= :floor
          ORDER BY due_ms, position LIMIT :window)
   AND (d.key IS NULL OR NOT EXISTS (
         SELECT 1 FROM deliveries AS earlier
          WHERE earlier.subscription = d.subscription AND earlier.key = d.key
            AND earlier.status IN ('ready', 'leased')
            AND earlier.position >= :floor AND earlier.position < d.position))
 ORDER BY d.due_ms, d.position LIMIT :limit;

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
   WHERE subscription = :subscription AND key IS NULL AND status = 'ready' AND due_ms + 0 <= :now_ms
   ORDER BY position LIMIT :limit)
SELECT m.position, m.id, m.key, m.body, m.headers, m.tenant, m.cause, m.correlation, m.published_ms,
       m.expires_ms, d.attempt, d.key
  FROM deliveries AS d JOIN messages AS m ON m.position = d.position
 WHERE d.subscription = :subscription
   AND d.position IN (SELECT position FROM heads UNION ALL SELECT position FROM keyless)
   AND d.due_ms <= :now_ms AND d.status = 'ready'
 ORDER BY d.due_ms, d.position LIMIT :limit;

-- name: busy_keys
SELECT DISTINCT key FROM deliveries
 WHERE subscription = :subscription AND status IN ('ready', 'leased') AND position >= :floor
   AND key IN (SELECT value FROM json_each(:keys));

-- name: insert_deliveries
INSERT INTO deliveries (subscription, position, key, status, attempt, due_ms, token, holder)
VALUES (:subscription, :position, :key, :status, :attempt, :due_ms, :token, :holder);

-- name: acknowledge_deliveries
DELETE FROM deliveries
 WHERE subscription = :subscription AND position IN (SELECT value FROM json_each(:positions)) AND token = :token
   AND status IN ('ready', 'leased')
RETURNING position;

-- name: message_roots
-- What the audit log is told of messages of which only the position is known.
SELECT position, id, tenant, cause, coalesce(correlation, id) FROM messages
 WHERE position IN (SELECT value FROM json_each(:positions));

-- name: return_delivery
UPDATE deliveries
   SET status = CASE WHEN attempt >= :max_deliveries THEN 'dead' ELSE 'ready' END, due_ms = :due_ms, error = :error,
       key = CASE WHEN :park = 1 THEN NULL ELSE key END, token = '', holder = '',
       history = json_insert(coalesce(history, '[]'), '$[#]',
         json_object('attempt', attempt, 'error', :error, 'time_ms', :now_ms))
 WHERE subscription = :subscription AND position = :position AND status IN ('ready', 'leased') AND token = :token
RETURNING status, attempt;

-- name: extend_delivery
UPDATE deliveries SET status = 'leased', due_ms = :until_ms
 WHERE subscription = :subscription AND position = :position AND status IN ('ready', 'leased') AND token = :token;

-- name: release_held
-- Their holder is gone: the leases end now, and what follows is what follows where they run out.
UPDATE deliveries SET due_ms = :now_ms,
       history = CASE WHEN json_extract(history, '$[#-1].attempt') = attempt THEN history
         ELSE json_insert(coalesce(history, '[]'), '$[#]', json_object('attempt', attempt, 'error', :error, 'time_ms', :now_ms)) END
 WHERE subscription = :subscription AND status = 'leased' AND holder = :holder AND due_ms > :now_ms
RETURNING position;

-- name: gone_holders
-- Nobody else can have the store open, so all but our own are gone.
SELECT DISTINCT subscription, holder FROM deliveries
 WHERE status = 'leased' AND holder != '' AND substr(holder, 1, 36) != :owner;

-- name: redrive_delivery
UPDATE deliveries SET status = 'ready', attempt = 0, due_ms = :due_ms, token = '', holder = ''
 WHERE subscription = :subscription AND position = :position AND status = 'dead';
