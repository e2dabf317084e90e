-- Signals to runs, the keys by which events find their run, and runs that belong to another run.

ALTER TABLE runs ADD COLUMN parent TEXT;
CREATE INDEX runs_of_parent ON runs (parent) WHERE parent IS NOT NULL;

-- A signal belongs to a run, or waits under a workflow's key until a run takes that key. step_key: where it was received.
CREATE TABLE signals (
  position INTEGER PRIMARY KEY,
  id       TEXT NOT NULL,
  tenant   TEXT NOT NULL,
  run_id   TEXT,
  workflow TEXT,
  key      TEXT,
  name     TEXT NOT NULL,
  value    TEXT NOT NULL,
  cause    TEXT,
  sent_ms  INTEGER NOT NULL,
  step_key TEXT,
  UNIQUE (tenant, id)
) STRICT;
CREATE INDEX signals_of_run ON signals (run_id, name, position) WHERE step_key IS NULL;
CREATE INDEX signals_of_key ON signals (tenant, workflow, key) WHERE run_id IS NULL;

CREATE TABLE correlations (
  tenant   TEXT NOT NULL,
  workflow TEXT NOT NULL,
  key      TEXT NOT NULL,
  run_id   TEXT NOT NULL,
  PRIMARY KEY (tenant, workflow, key)
) STRICT, WITHOUT ROWID;
