-- name: insert_subscription
INSERT INTO subscriptions (name, topic, cursor, cursor_bytes, urgent, declaration)
VALUES (:name, :topic, :cursor, :bytes, :cursor, :declaration)
    ON CONFLICT (name) DO UPDATE SET in_force = 1;

-- name: subscription_row
SELECT topic, cursor, in_force, declaration FROM subscriptions WHERE name = :name;

-- name: topic_row
SELECT number, head, bytes, declaration FROM topics WHERE name = :name;

-- name: declare_topic
UPDATE topics SET declaration = :declaration WHERE name = :name;

-- name: declare_subscription
UPDATE subscriptions SET declaration = :declaration WHERE name = :name;

-- name: drop_subscription
DELETE FROM subscriptions WHERE name = :name;

-- name: drop_deliveries
DELETE FROM deliveries WHERE subscription = :subscription;

-- name: drop_acknowledged
DELETE FROM acknowledged WHERE subscription = :subscription;

-- name: drop_topic
DELETE FROM topics WHERE name = :name;

-- name: declarations_of_topics
SELECT name, declaration FROM topics WHERE declaration IS NOT NULL ORDER BY name;

-- name: declarations_of_subscriptions
SELECT name, declaration FROM subscriptions WHERE declaration IS NOT NULL ORDER BY name;

-- name: position_at
-- The last message of a topic that was published before a time. Times follow positions closely enough to search by them.
SELECT position, bytes FROM messages
 WHERE position > :floor AND position <= :head AND published_ms < :time_ms ORDER BY position DESC LIMIT 1;

-- name: bytes_at
SELECT bytes FROM messages WHERE position <= :position AND position > :floor ORDER BY position DESC LIMIT 1;

-- name: seek_subscription
UPDATE subscriptions SET cursor = :cursor, cursor_bytes = :bytes, urgent = :cursor,
       floor = CASE WHEN floor > :cursor THEN :cursor ELSE floor END
 WHERE name = :name;

-- name: drop_open_after
DELETE FROM deliveries WHERE subscription = :subscription AND position > :cursor;

-- name: drop_open
DELETE FROM deliveries WHERE subscription = :subscription AND status != 'dead'
RETURNING position;

-- name: peek_messages
SELECT m.position, m.id, m.key, m.body, m.headers, m.tenant, m.cause, m.correlation, m.published_ms
  FROM messages AS m WHERE m.position > :cursor AND m.position <= :head ORDER BY m.position LIMIT :limit;

-- name: backlog_of
-- What the slowest subscription has not taken: messages and bytes.
SELECT max(t.head - s.cursor), max(t.bytes - s.cursor_bytes)
  FROM topics AS t JOIN subscriptions AS s ON s.topic = t.name AND s.in_force = 1 WHERE t.name = :name;

-- name: prune_messages
-- Messages that all subscriptions have taken, but for those still under way, waiting or dead.
DELETE FROM messages WHERE position IN (
  SELECT m.position FROM messages AS m
   WHERE m.position > :floor AND m.position <= :last AND m.published_ms <= :before_ms
     AND NOT EXISTS (SELECT 1 FROM deliveries AS d JOIN subscriptions AS s ON s.name = d.subscription
                      WHERE s.topic = :topic AND d.subscription = s.name AND d.position = m.position)
   ORDER BY m.position LIMIT :limit)
RETURNING position;

-- name: taken_by_all
SELECT min(s.cursor) FROM subscriptions AS s WHERE s.topic = :topic AND s.in_force = 1;

-- name: prune_deduplications
DELETE FROM deduplications WHERE until_ms <= :now_ms;

-- name: topic_counts
SELECT name, head - (number << 40) FROM topics;

-- name: delivery_counts
SELECT subscription, status, count(*) FROM deliveries GROUP BY subscription, status;

-- name: drop_messages
DELETE FROM messages WHERE position > :floor AND position <= :last;

-- name: position_of_bytes
SELECT position FROM messages
 WHERE position > :floor AND position <= :head AND bytes >= :bytes ORDER BY position LIMIT 1;

-- name: move_cursors
UPDATE subscriptions SET cursor = :cursor, cursor_bytes = :bytes
 WHERE topic = :topic AND in_force = 1 AND cursor < :cursor
RETURNING name;
