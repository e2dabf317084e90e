-- name: advance_topic
-- Positions for new messages: those up to the new head.
UPDATE topics
   SET head = head + :count, bytes = bytes + :bytes, urgent = CASE WHEN :urgent = 1 THEN head + :count ELSE urgent END
 WHERE name = :name
RETURNING head, bytes;

-- name: insert_topic
INSERT INTO topics (name, number, head)
SELECT :name, coalesce(max(number), 0) + 1, (coalesce(max(number), 0) + 1) << 40 FROM topics WHERE true
    ON CONFLICT (name) DO NOTHING;

-- name: claim_deduplication
-- Returns a row where the id is new within its window.
INSERT INTO deduplications (topic, id, message_id, until_ms) VALUES (:topic, :id, :message_id, :until_ms)
    ON CONFLICT (topic, id) DO UPDATE SET message_id = excluded.message_id, until_ms = excluded.until_ms
 WHERE deduplications.until_ms <= :now_ms
RETURNING message_id;

-- name: deduplicated
SELECT message_id FROM deduplications WHERE topic = :topic AND id = :id;

-- name: is_due
SELECT 1 FROM deliveries
 WHERE subscription = :subscription AND status = 'ready' AND due_ms <= :now_ms AND position >= :floor LIMIT 1;

-- name: open_from
SELECT min(position) FROM deliveries
 WHERE subscription = :subscription AND position >= :floor AND status IN ('ready', 'leased');

-- name: note_checked
UPDATE subscriptions SET checked_ms = :now_ms, floor = :floor WHERE name = :name;

-- name: lower_floor
UPDATE subscriptions SET floor = CASE WHEN floor > :position THEN :position ELSE floor END WHERE name = :name;

-- name: more_are_due
-- Whether more are due than `due_deliveries` looks at.
SELECT 1 FROM deliveries
 WHERE subscription = :subscription AND status = 'ready' AND due_ms <= :now_ms AND position >= :floor
 ORDER BY due_ms, position LIMIT 1 OFFSET :window;

-- name: leased_now
SELECT count(*) FROM deliveries WHERE subscription = :subscription AND status = 'leased' AND due_ms > :now_ms;

-- name: held_now
SELECT count(*) FROM deliveries
 WHERE subscription = :subscription AND status = 'leased' AND due_ms > :now_ms AND holder = :holder;

-- name: lease_delivery
UPDATE deliveries SET status = 'leased', attempt = :attempt, token = :token, due_ms = :until_ms, holder = :holder
 WHERE subscription = :subscription AND position = :position;

-- name: next_messages
SELECT m.position, m.id, m.key, m.body, m.headers, m.tenant, m.cause, m.correlation, m.published_ms,
       m.expires_ms, m.due_ms, m.priority, m.bytes
  FROM messages AS m WHERE m.position > :cursor AND m.position <= :head ORDER BY m.position LIMIT :limit;

-- name: urgent_messages
SELECT m.position, m.id, m.key, m.body, m.headers, m.tenant, m.cause, m.correlation, m.published_ms,
       m.expires_ms, m.due_ms, m.priority, m.bytes
  FROM messages AS m WHERE m.position > :cursor AND m.position <= :head AND m.priority > 0
 ORDER BY m.position LIMIT :limit;

-- name: move_cursor
UPDATE subscriptions SET cursor = :cursor, cursor_bytes = coalesce(CAST(:bytes AS bigint), cursor_bytes) WHERE name = :name;

-- name: move_urgent_cursor
UPDATE subscriptions SET urgent = :cursor WHERE name = :name;

-- name: count_acknowledged
INSERT INTO acknowledged (subscription, slot, count) VALUES (:subscription, :slot, :count)
    ON CONFLICT (subscription, slot) DO UPDATE SET count = acknowledged.count + excluded.count;

-- name: look_again
-- Leases ended before their time.
UPDATE subscriptions SET checked_ms = -1000 WHERE name = :name;

-- name: extend_held
UPDATE deliveries SET status = 'leased', due_ms = :until_ms
 WHERE subscription = :subscription AND holder = :holder AND status IN ('ready', 'leased');

-- name: drop_delivery
DELETE FROM deliveries WHERE subscription = :subscription AND position = :position;

-- name: dead_deliveries
SELECT m.position, m.id, m.key, m.body, m.headers, m.tenant, m.cause, m.correlation, m.published_ms,
       d.attempt, d.error, d.history
  FROM deliveries AS d JOIN messages AS m ON m.position = d.position
 WHERE d.subscription = :subscription AND d.status = 'dead' AND d.position > :after ORDER BY d.position LIMIT :limit;

-- name: next_due
SELECT min(due_ms) FROM (
  SELECT min(due_ms) AS due_ms FROM deliveries
   WHERE subscription = :subscription AND status = 'ready' AND position >= :floor
  UNION ALL
  SELECT min(due_ms) FROM deliveries WHERE subscription = :subscription AND status = 'leased' AND due_ms > :after_ms) AS due;

-- name: lag_of
SELECT t.head - s.cursor, t.urgent - s.urgent, s.checked_ms, s.floor
  FROM subscriptions AS s JOIN topics AS t ON t.name = s.topic WHERE s.name = :name;

-- name: insert_reply
INSERT INTO replies (request, body, error, until_ms) VALUES (:request, :body, :error, :until_ms)
    ON CONFLICT (request) DO NOTHING;

-- name: reply_of
SELECT body, error FROM replies WHERE request = :request;

-- name: prune_replies
DELETE FROM replies WHERE until_ms <= :now_ms;
