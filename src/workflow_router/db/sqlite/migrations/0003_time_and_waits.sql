-- Time and waits: runs that are to stop, signs of life, schedules, waits for events, and what runs show and answer.

-- At due_ms the run is to stop, for the reason. given: its code has been told; then due_ms is the end of its grace.
CREATE TABLE stops (
  run_id   TEXT PRIMARY KEY,
  shard    INTEGER NOT NULL,
  reason   TEXT NOT NULL,
  due_ms   INTEGER NOT NULL,
  grace_ms INTEGER NOT NULL,
  given    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX stops_due ON stops (due_ms);

CREATE TABLE heartbeats (
  run_id   TEXT NOT NULL,
  step_key TEXT NOT NULL,
  details  TEXT NOT NULL,
  kept_ms  INTEGER NOT NULL,
  PRIMARY KEY (run_id, step_key)
) STRICT, WITHOUT ROWID;

-- How often a run was taken up after its process died, without having come further (mark) in between.
CREATE TABLE takeups (
  run_id TEXT PRIMARY KEY,
  mark   INTEGER NOT NULL,
  count  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- owner: the project that declares it. next_ms: the next moment, before jitter; NULL where there is none.
-- runs: those that its last firing started, as JSON.
CREATE TABLE schedules (
  name          TEXT PRIMARY KEY,
  owner         TEXT NOT NULL,
  specification TEXT NOT NULL,
  paused        INTEGER NOT NULL DEFAULT 0,
  next_ms       INTEGER,
  due_ms        INTEGER,
  claimed_ms    INTEGER NOT NULL DEFAULT 0,
  fired_ms      INTEGER,
  runs          TEXT NOT NULL DEFAULT '[]'
) STRICT, WITHOUT ROWID;
CREATE INDEX schedules_due ON schedules (due_ms) WHERE paused = 0;

-- What runs want to hear of: patterns by name, as JSON. version: when it was added, in the order of commits.
CREATE TABLE interests (
  run_id   TEXT NOT NULL,
  name     TEXT NOT NULL,
  tenant   TEXT NOT NULL,
  patterns TEXT NOT NULL,
  version  INTEGER NOT NULL,
  PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX interests_since ON interests (version);

CREATE TABLE interest_version (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL
) STRICT;
INSERT INTO interest_version (id, version) VALUES (1, 0);

CREATE TABLE run_states (
  run_id     TEXT PRIMARY KEY,
  state      TEXT NOT NULL,
  updated_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The answer to an update, which came as a signal of the same id.
CREATE TABLE update_answers (
  tenant      TEXT NOT NULL,
  id          TEXT NOT NULL,
  run_id      TEXT NOT NULL,
  output      TEXT,
  error       TEXT,
  answered_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
