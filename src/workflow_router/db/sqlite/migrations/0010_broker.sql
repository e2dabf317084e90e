-- A topic is a log and a subscription a cursor in it: to publish costs one row however many subscriptions there are, and
-- what nobody has taken yet costs nothing more. Only what is taken, waits or died has a row in `deliveries`.
ALTER TABLE messages RENAME TO messages_before;
ALTER TABLE deliveries RENAME TO deliveries_before;
DROP INDEX messages_of_topic;
DROP INDEX deliveries_due;
DROP INDEX deliveries_leased;
DROP INDEX deliveries_key;

-- `head`: position of the last message; `bytes`: of all messages ever published; `urgent`: position of the last message
-- with a priority; `declaration`: JSON of one that was made while running.
CREATE TABLE topics (
  name        TEXT PRIMARY KEY,
  number      INTEGER NOT NULL UNIQUE,
  head        INTEGER NOT NULL,
  bytes       INTEGER NOT NULL DEFAULT 0,
  urgent      INTEGER NOT NULL DEFAULT 0,
  declaration TEXT
) STRICT, WITHOUT ROWID;

-- `position` is the topic's number × 2^40 + 1, 2, 3 … in commit order. `bytes`: of the topic's messages up to this one.
CREATE TABLE messages (
  position     INTEGER PRIMARY KEY,
  id           TEXT NOT NULL,
  key          TEXT,
  body         TEXT NOT NULL,
  headers      TEXT,
  tenant       TEXT NOT NULL,
  cause        TEXT,
  correlation  TEXT,
  published_ms INTEGER NOT NULL,
  due_ms       INTEGER,
  expires_ms   INTEGER,
  priority     INTEGER NOT NULL,
  bytes        INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_urgent ON messages (position) WHERE priority > 0;

-- Up to `cursor` everything was taken, and with a priority up to `urgent`; `cursor_bytes` is that of the message there.
CREATE TABLE subscriptions (
  name         TEXT PRIMARY KEY,
  topic        TEXT NOT NULL,
  cursor       INTEGER NOT NULL,
  cursor_bytes INTEGER NOT NULL DEFAULT 0,
  urgent       INTEGER NOT NULL DEFAULT 0,
  in_force     INTEGER NOT NULL DEFAULT 1,
  declaration  TEXT
) STRICT, WITHOUT ROWID;

-- For a leased delivery, due_ms is the end of its lease: from then on it is due again. Acknowledged ones have no row.
CREATE TABLE deliveries (
  subscription TEXT NOT NULL,
  position     INTEGER NOT NULL,
  key          TEXT,
  status       TEXT NOT NULL,
  attempt      INTEGER NOT NULL DEFAULT 0,
  due_ms       INTEGER NOT NULL,
  token        TEXT NOT NULL DEFAULT '',
  holder       TEXT NOT NULL DEFAULT '',
  error        TEXT,
  history      TEXT,
  PRIMARY KEY (subscription, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (subscription, due_ms, position) WHERE status IN ('ready', 'leased');
CREATE INDEX deliveries_key ON deliveries (subscription, key, position)
  WHERE key IS NOT NULL AND status IN ('ready', 'leased');
CREATE INDEX deliveries_dead ON deliveries (subscription, position) WHERE status = 'dead';

-- How many each subscription has acknowledged. A slot is for one process at a time, so that none waits for another.
CREATE TABLE acknowledged (
  subscription TEXT NOT NULL,
  slot         INTEGER NOT NULL,
  count        INTEGER NOT NULL,
  PRIMARY KEY (subscription, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE deduplications (
  topic      TEXT NOT NULL,
  id         TEXT NOT NULL,
  message_id TEXT NOT NULL,
  until_ms   INTEGER NOT NULL,
  PRIMARY KEY (topic, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deduplications_over ON deduplications (until_ms);

CREATE TABLE replies (
  request  TEXT PRIMARY KEY,
  body     TEXT,
  error    TEXT,
  until_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX replies_over ON replies (until_ms);

INSERT INTO topics (name, number, head, bytes)
SELECT topic, row_number() OVER (ORDER BY topic), (row_number() OVER (ORDER BY topic) << 40) + n, b
  FROM (SELECT topic, count(*) AS n, sum(length(CAST(body AS BLOB))) AS b FROM messages_before GROUP BY topic);
INSERT INTO messages (position, id, key, body, headers, tenant, cause, correlation, published_ms, priority, bytes)
SELECT (t.number << 40) + row_number() OVER (PARTITION BY m.topic ORDER BY m.position), m.id, m.key, m.body, m.headers,
       m.tenant, m.cause, m.correlation, m.published_ms, 0,
       sum(length(CAST(m.body AS BLOB))) OVER (PARTITION BY m.topic ORDER BY m.position)
  FROM messages_before AS m JOIN topics AS t ON t.name = m.topic;
CREATE INDEX messages_by_id ON messages (id);
INSERT INTO subscriptions (name, topic, cursor, cursor_bytes)
SELECT d.subscription, t.name, t.head, t.bytes
  FROM deliveries_before AS d JOIN messages_before AS m ON m.id = d.message_id JOIN topics AS t ON t.name = m.topic
 GROUP BY d.subscription;
INSERT INTO deliveries (subscription, position, key, status, attempt, due_ms, token, error)
SELECT d.subscription, m.position, d.key, d.status, d.attempt, d.due_ms, d.token, d.error
  FROM deliveries_before AS d JOIN messages AS m ON m.id = d.message_id WHERE d.status != 'acked';
INSERT INTO acknowledged (subscription, slot, count)
SELECT subscription, 0, count(*) FROM deliveries_before WHERE status = 'acked' GROUP BY subscription;
DROP INDEX messages_by_id;
DROP TABLE deliveries_before;
DROP TABLE messages_before;
