-- A topic is a log and a subscription a cursor in it: to publish costs one row however many subscriptions there are, and
-- what nobody has taken yet costs nothing more. Only what is taken, waits or died has a row in `deliveries`.
ALTER TABLE messages RENAME TO messages_before;
ALTER TABLE deliveries RENAME TO deliveries_before;
ALTER TABLE messages_before DROP CONSTRAINT messages_pkey, DROP CONSTRAINT messages_id_key;
ALTER TABLE deliveries_before DROP CONSTRAINT deliveries_pkey, DROP CONSTRAINT deliveries_subscription_message_id_key;
DROP INDEX messages_of_topic;
DROP INDEX deliveries_due;
DROP INDEX deliveries_leased;
DROP INDEX deliveries_key;

-- `head`: position of the last message; `bytes`: of all messages ever published; `urgent`: position of the last message
-- with a priority; `declaration`: JSON of one that was made while running.
CREATE TABLE topics (
  name        text COLLATE "C" PRIMARY KEY,
  number      bigint NOT NULL UNIQUE,
  head        bigint NOT NULL,
  bytes       bigint NOT NULL DEFAULT 0,
  urgent      bigint NOT NULL DEFAULT 0,
  declaration text
);

-- `position` is the topic's number × 2^40 + 1, 2, 3 … in commit order. `bytes`: of the topic's messages up to this one.
CREATE TABLE messages (
  position     bigint PRIMARY KEY,
  id           text COLLATE "C" NOT NULL,
  key          text COLLATE "C",
  body         text NOT NULL,
  headers      text,
  tenant       text COLLATE "C" NOT NULL,
  cause        text,
  correlation  text,
  published_ms bigint NOT NULL,
  due_ms       bigint,
  expires_ms   bigint,
  priority     bigint NOT NULL,
  bytes        bigint NOT NULL
);
CREATE INDEX messages_urgent ON messages (position) WHERE priority > 0;

-- Up to `cursor` everything was taken, and with a priority up to `urgent`; `cursor_bytes` is that of the message there.
CREATE TABLE subscriptions (
  name         text COLLATE "C" PRIMARY KEY,
  topic        text COLLATE "C" NOT NULL,
  cursor       bigint NOT NULL,
  cursor_bytes bigint NOT NULL DEFAULT 0,
  urgent       bigint NOT NULL DEFAULT 0,
  in_force     bigint NOT NULL DEFAULT 1,
  declaration  text
);

-- For a leased delivery, due_ms is the end of its lease: from then on it is due again. Acknowledged ones have no row.
CREATE TABLE deliveries (
  subscription text COLLATE "C" NOT NULL,
  position     bigint NOT NULL,
  key          text COLLATE "C",
  status       text COLLATE "C" NOT NULL,
  attempt      bigint NOT NULL DEFAULT 0,
  due_ms       bigint NOT NULL,
  token        text NOT NULL DEFAULT '',
  holder       text NOT NULL DEFAULT '',
  error        text,
  history      text,
  PRIMARY KEY (subscription, position)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
CREATE INDEX deliveries_due ON deliveries (subscription, due_ms, position) WHERE status IN ('ready', 'leased');
CREATE INDEX deliveries_key ON deliveries (subscription, key, position)
  WHERE key IS NOT NULL AND status IN ('ready', 'leased');
CREATE INDEX deliveries_dead ON deliveries (subscription, position) WHERE status = 'dead';

-- How many each subscription has acknowledged. A slot is for one process at a time, so that none waits for another.
CREATE TABLE acknowledged (
  subscription text COLLATE "C" NOT NULL,
  slot         bigint NOT NULL,
  count        bigint NOT NULL,
  PRIMARY KEY (subscription, slot)
);

CREATE TABLE deduplications (
  topic      text COLLATE "C" NOT NULL,
  id         text COLLATE "C" NOT NULL,
  message_id text NOT NULL,
  until_ms   bigint NOT NULL,
  PRIMARY KEY (topic, id)
);
CREATE INDEX deduplications_over ON deduplications (until_ms);

CREATE TABLE replies (
  request  text PRIMARY KEY,
  body     text,
  error    text,
  until_ms bigint NOT NULL
);
CREATE INDEX replies_over ON replies (until_ms);

INSERT INTO topics (name, number, head, bytes)
SELECT topic, row_number() OVER (ORDER BY topic), (row_number() OVER (ORDER BY topic) << 40) + n, b
  FROM (SELECT topic, count(*) AS n, sum(octet_length(body)) AS b FROM messages_before GROUP BY topic) AS found;
INSERT INTO messages (position, id, key, body, headers, tenant, cause, correlation, published_ms, priority, bytes)
SELECT (t.number << 40) + row_number() OVER (PARTITION BY m.topic ORDER BY m.position), m.id, m.key, m.body, m.headers,
       m.tenant, m.cause, m.correlation, m.published_ms, 0,
       sum(octet_length(m.body)) OVER (PARTITION BY m.topic ORDER BY m.position)
  FROM messages_before AS m JOIN topics AS t ON t.name = m.topic;
CREATE INDEX messages_by_id ON messages (id);
INSERT INTO subscriptions (name, topic, cursor, cursor_bytes)
SELECT d.subscription, t.name, t.head, t.bytes
  FROM deliveries_before AS d JOIN messages_before AS m ON m.id = d.message_id JOIN topics AS t ON t.name = m.topic
 GROUP BY d.subscription, t.name, t.head, t.bytes;
INSERT INTO deliveries (subscription, position, key, status, attempt, due_ms, token, error)
SELECT d.subscription, m.position, d.key, d.status, d.attempt, d.due_ms, d.token, d.error
  FROM deliveries_before AS d JOIN messages AS m ON m.id = d.message_id WHERE d.status != 'acked';
INSERT INTO acknowledged (subscription, slot, count)
SELECT subscription, 0, count(*) FROM deliveries_before WHERE status = 'acked' GROUP BY subscription;
DROP INDEX messages_by_id;
DROP TABLE deliveries_before;
DROP TABLE messages_before;
