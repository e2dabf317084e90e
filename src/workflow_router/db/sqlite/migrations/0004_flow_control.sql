-- What pacing keeps for a key: items that wait, and when they or their limit are due. `state` is JSON.
CREATE TABLE holds (
  kind   TEXT NOT NULL,
  tenant TEXT NOT NULL,
  scope  TEXT NOT NULL,
  key    TEXT NOT NULL,
  due_ms INTEGER,
  state  TEXT NOT NULL,
  PRIMARY KEY (kind, tenant, scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_due ON holds (kind, due_ms) WHERE due_ms IS NOT NULL;

-- A start under flow control, until its run ends. `lane`: the full one that it waits for; `lanes` is JSON.
CREATE TABLE starts (
  position  INTEGER PRIMARY KEY,
  run_id    TEXT NOT NULL UNIQUE,
  workflow  TEXT NOT NULL,
  tenant    TEXT NOT NULL,
  lanes     TEXT NOT NULL,
  singleton TEXT,
  priority  INTEGER NOT NULL,
  weight    REAL NOT NULL,
  share     REAL NOT NULL,
  lane      TEXT,
  why       TEXT NOT NULL
) STRICT;
CREATE INDEX starts_of_lane ON starts (lane, priority DESC, share, position) WHERE lane IS NOT NULL;
CREATE INDEX starts_of_singleton ON starts (singleton, position) WHERE singleton IS NOT NULL;

-- Slots that are taken, by a run or by one of its steps.
CREATE TABLE slots (
  lane     TEXT NOT NULL,
  run_id   TEXT NOT NULL,
  step_key TEXT NOT NULL,
  PRIMARY KEY (lane, run_id, step_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX slots_of_run ON slots (run_id);

-- How far each tenant got in its share of a workflow; the tenant '' is the workflow's own clock.
CREATE TABLE shares (
  workflow TEXT NOT NULL,
  tenant   TEXT NOT NULL,
  finish   REAL NOT NULL,
  PRIMARY KEY (workflow, tenant)
) STRICT, WITHOUT ROWID;

-- Idempotency keys of starts; `digest` is SHA-256 of the input, hex.
CREATE TABLE start_keys (
  tenant   TEXT NOT NULL,
  workflow TEXT NOT NULL,
  key      TEXT NOT NULL,
  run_id   TEXT NOT NULL,
  digest   TEXT NOT NULL,
  PRIMARY KEY (tenant, workflow, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX start_keys_of_run ON start_keys (run_id);

-- Runs that began with the history of another, up to a step.
CREATE TABLE forks (
  run_id   TEXT PRIMARY KEY,
  source   TEXT NOT NULL,
  step_key TEXT
) STRICT, WITHOUT ROWID;
