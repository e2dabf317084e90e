-- The store as it began. Ids are UUIDv7 text; times are milliseconds since the epoch; JSON is text.
-- What is compared or sorted collates as "C", so that ids and keys are in byte order, whatever the locale of the server.

CREATE TABLE shards (
  shard          bigint PRIMARY KEY,
  owner          text COLLATE "C",
  epoch          bigint NOT NULL DEFAULT 0,
  lease_until_ms bigint NOT NULL DEFAULT 0
);

CREATE TABLE events (
  position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id          text COLLATE "C" NOT NULL UNIQUE,
  tenant      text COLLATE "C" NOT NULL,
  source      text COLLATE "C" NOT NULL,
  event_id    text COLLATE "C" NOT NULL,
  type        text COLLATE "C" NOT NULL,
  attributes  text NOT NULL,
  data        bytea,
  matched     text NOT NULL,
  received_ms bigint NOT NULL,
  UNIQUE (tenant, source, event_id)
);

CREATE TABLE mappings (
  name          text COLLATE "C" NOT NULL,
  version       bigint NOT NULL,
  specification text NOT NULL,
  author        text NOT NULL,
  created_ms    bigint NOT NULL,
  PRIMARY KEY (name, version)
);

CREATE TABLE runs (
  position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id          text COLLATE "C" NOT NULL UNIQUE,
  tenant      text COLLATE "C" NOT NULL,
  workflow    text COLLATE "C" NOT NULL,
  version     text NOT NULL,
  status      text COLLATE "C" NOT NULL,
  shard       bigint NOT NULL,
  input       text NOT NULL,
  output      text,
  error       text,
  cause       text,
  correlation text COLLATE "C",
  created_ms  bigint NOT NULL,
  updated_ms  bigint NOT NULL,
  wakes       bigint NOT NULL DEFAULT 0
);
CREATE INDEX runs_open ON runs (shard, id) WHERE status = 'running';
CREATE INDEX runs_by_workflow ON runs (workflow, status);

CREATE TABLE steps (
  run_id      text COLLATE "C" NOT NULL,
  key         text COLLATE "C" NOT NULL,
  seq         bigint NOT NULL,
  name        text NOT NULL,
  kind        text NOT NULL,
  status      text COLLATE "C" NOT NULL,
  output      text,
  error       text,
  attempts    bigint NOT NULL,
  started_ms  bigint NOT NULL,
  finished_ms bigint NOT NULL,
  UNIQUE (run_id, key),
  UNIQUE (run_id, seq)
);

CREATE TABLE timers (
  run_id   text COLLATE "C" NOT NULL,
  step_key text COLLATE "C" NOT NULL,
  shard    bigint NOT NULL,
  due_ms   bigint NOT NULL,
  PRIMARY KEY (run_id, step_key)
);
CREATE INDEX timers_due ON timers (due_ms);

CREATE TABLE approvals (
  id         text COLLATE "C" PRIMARY KEY,
  run_id     text COLLATE "C" NOT NULL,
  step_key   text COLLATE "C" NOT NULL,
  name       text NOT NULL,
  status     text COLLATE "C" NOT NULL,
  form       text NOT NULL,
  context    text NOT NULL,
  roles      text NOT NULL,
  quorum     bigint NOT NULL,
  tenant     text COLLATE "C" NOT NULL,
  created_ms bigint NOT NULL,
  due_ms     bigint,
  decisions  text NOT NULL
);
CREATE INDEX approvals_open ON approvals (tenant, id) WHERE status = 'open';

CREATE TABLE dispatches (
  id          text COLLATE "C" PRIMARY KEY,
  route       text COLLATE "C" NOT NULL,
  status      text COLLATE "C" NOT NULL,
  target      text COLLATE "C",
  run_id      text COLLATE "C",
  step_key    text COLLATE "C",
  tenant      text COLLATE "C" NOT NULL,
  caller      text,
  cause       text,
  correlation text COLLATE "C",
  attempts    text NOT NULL,
  considered  text NOT NULL,
  usage       text,
  created_ms  bigint NOT NULL,
  finished_ms bigint
);
CREATE INDEX dispatches_of_run ON dispatches (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE messages (
  position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id           text COLLATE "C" NOT NULL UNIQUE,
  topic        text COLLATE "C" NOT NULL,
  key          text COLLATE "C",
  body         text NOT NULL,
  headers      text NOT NULL,
  tenant       text COLLATE "C" NOT NULL,
  cause        text,
  correlation  text COLLATE "C",
  published_ms bigint NOT NULL
);
CREATE INDEX messages_of_topic ON messages (topic);

CREATE TABLE deliveries (
  position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subscription text COLLATE "C" NOT NULL,
  message_id   text COLLATE "C" NOT NULL,
  key          text COLLATE "C",
  status       text COLLATE "C" NOT NULL,
  attempt      bigint NOT NULL DEFAULT 0,
  due_ms       bigint NOT NULL,
  token        text NOT NULL DEFAULT '',
  error        text,
  UNIQUE (subscription, message_id)
);
-- For a leased delivery, due_ms is the end of its lease: from then on it is due again.
CREATE INDEX deliveries_due ON deliveries (subscription, due_ms, position) WHERE status IN ('ready', 'leased');
CREATE INDEX deliveries_leased ON deliveries (subscription, due_ms) WHERE status = 'leased';
CREATE INDEX deliveries_key ON deliveries (subscription, key, position) WHERE status IN ('ready', 'leased');

CREATE TABLE audit_log (
  position    bigint PRIMARY KEY,
  time_ms     bigint NOT NULL,
  kind        text NOT NULL,
  subject     text COLLATE "C" NOT NULL,
  correlation text COLLATE "C",
  body        text NOT NULL,
  hash        bytea NOT NULL
);
CREATE INDEX audit_of_correlation ON audit_log (correlation) WHERE correlation IS NOT NULL;

CREATE TABLE audit_head (
  id       bigint PRIMARY KEY CHECK (id = 1),
  position bigint NOT NULL,
  hash     bytea NOT NULL
);
INSERT INTO audit_head (id, position, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));
