-- name: set_in_force
UPDATE subscriptions SET in_force = CASE WHEN declaration IS NOT NULL THEN 1
       WHEN name IN (SELECT value FROM json_each(:names)) THEN 1 ELSE 0 END;

-- name: subscription_counts
SELECT s.name, s.topic, t.head - s.cursor, t.bytes - s.cursor_bytes,
       (SELECT coalesce(sum(count), 0) FROM acknowledged AS a WHERE a.subscription = s.name),
       (SELECT published_ms FROM messages AS m WHERE m.position > s.cursor AND m.position <= t.head
         ORDER BY m.position LIMIT 1)
  FROM subscriptions AS s JOIN topics AS t ON t.name = s.topic;
