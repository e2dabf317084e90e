-- The store as it began. Ids are UUIDv7 text; times are milliseconds since the epoch; JSON is text.

CREATE TABLE shards (
  shard          INTEGER PRIMARY KEY,
  owner          TEXT,
  epoch          INTEGER NOT NULL DEFAULT 0,
  lease_until_ms INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE events (
  position    INTEGER PRIMARY KEY,
  id          TEXT NOT NULL UNIQUE,
  tenant      TEXT NOT NULL,
  source      TEXT NOT NULL,
  event_id    TEXT NOT NULL,
  type        TEXT NOT NULL,
  attributes  TEXT NOT NULL,
  data        BLOB,
  matched     TEXT NOT NULL,
  received_ms INTEGER NOT NULL,
  UNIQUE (tenant, source, event_id)
) STRICT;

CREATE TABLE mappings (
  name          TEXT NOT NULL,
  version       INTEGER NOT NULL,
  specification TEXT NOT NULL,
  author        TEXT NOT NULL,
  created_ms    INTEGER NOT NULL,
  PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  position    INTEGER PRIMARY KEY,
  id          TEXT NOT NULL UNIQUE,
  tenant      TEXT NOT NULL,
  workflow    TEXT NOT NULL,
  version     TEXT NOT NULL,
  status      TEXT NOT NULL,
  shard       INTEGER NOT NULL,
  input       TEXT NOT NULL,
  output      TEXT,
  error       TEXT,
  cause       TEXT,
  correlation TEXT,
  created_ms  INTEGER NOT NULL,
  updated_ms  INTEGER NOT NULL,
  wakes       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX runs_open ON runs (shard, id) WHERE status = 'running';
CREATE INDEX runs_by_workflow ON runs (workflow, status);

CREATE TABLE steps (
  run_id      TEXT NOT NULL,
  key         TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  name        TEXT NOT NULL,
  kind        TEXT NOT NULL,
  status      TEXT NOT NULL,
  output      TEXT,
  error       TEXT,
  attempts    INTEGER NOT NULL,
  started_ms  INTEGER NOT NULL,
  finished_ms INTEGER NOT NULL,
  UNIQUE (run_id, key),
  UNIQUE (run_id, seq)
) STRICT;

CREATE TABLE timers (
  run_id   TEXT NOT NULL,
  step_key TEXT NOT NULL,
  shard    INTEGER NOT NULL,
  due_ms   INTEGER NOT NULL,
  PRIMARY KEY (run_id, step_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX timers_due ON timers (due_ms);

CREATE TABLE approvals (
  id         TEXT PRIMARY KEY,
  run_id     TEXT NOT NULL,
  step_key   TEXT NOT NULL,
  name       TEXT NOT NULL,
  status     TEXT NOT NULL,
  form       TEXT NOT NULL,
  context    TEXT NOT NULL,
  roles      TEXT NOT NULL,
  quorum     INTEGER NOT NULL,
  tenant     TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  due_ms     INTEGER,
  decisions  TEXT NOT NULL
) STRICT;
CREATE INDEX approvals_open ON approvals (tenant, id) WHERE status = 'open';

CREATE TABLE dispatches (
  id          TEXT PRIMARY KEY,
  route       TEXT NOT NULL,
  status      TEXT NOT NULL,
  target      TEXT,
  run_id      TEXT,
  step_key    TEXT,
  tenant      TEXT NOT NULL,
  caller      TEXT,
  cause       TEXT,
  correlation TEXT,
  attempts    TEXT NOT NULL,
  considered  TEXT NOT NULL,
  usage       TEXT,
  created_ms  INTEGER NOT NULL,
  finished_ms INTEGER
) STRICT;
CREATE INDEX dispatches_of_run ON dispatches (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE messages (
  position     INTEGER PRIMARY KEY,
  id           TEXT NOT NULL UNIQUE,
  topic        TEXT NOT NULL,
  key          TEXT,
  body         TEXT NOT NULL,
  headers      TEXT NOT NULL,
  tenant       TEXT NOT NULL,
  cause        TEXT,
  correlation  TEXT,
  published_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_of_topic ON messages (topic);

CREATE TABLE deliveries (
  position     INTEGER PRIMARY KEY,
  subscription TEXT NOT NULL,
  message_id   TEXT NOT NULL,
  key          TEXT,
  status       TEXT NOT NULL,
  attempt      INTEGER NOT NULL DEFAULT 0,
  due_ms       INTEGER NOT NULL,
  token        TEXT NOT NULL DEFAULT '',
  error        TEXT,
  UNIQUE (subscription, message_id)
) STRICT;
-- For a leased delivery, due_ms is the end of its lease: from then on it is due again.
CREATE INDEX deliveries_due ON deliveries (subscription, due_ms, position) WHERE status IN ('ready', 'leased');
CREATE INDEX deliveries_leased ON deliveries (subscription, due_ms) WHERE status = 'leased';
CREATE INDEX deliveries_key ON deliveries (subscription, key, position) WHERE status IN ('ready', 'leased');

CREATE TABLE audit_log (
  position    INTEGER PRIMARY KEY,
  time_ms     INTEGER NOT NULL,
  kind        TEXT NOT NULL,
  subject     TEXT NOT NULL,
  correlation TEXT,
  body        TEXT NOT NULL,
  hash        BLOB NOT NULL
) STRICT;
CREATE INDEX audit_of_correlation ON audit_log (correlation) WHERE correlation IS NOT NULL;

CREATE TABLE audit_head (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  position INTEGER NOT NULL,
  hash     BLOB NOT NULL
) STRICT;
INSERT INTO audit_head (id, position, hash) VALUES (1, 0, zeroblob(32));
