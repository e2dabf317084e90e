-- Signals to runs, the keys by which events find their run, and runs that belong to another run.

ALTER TABLE runs ADD COLUMN parent text COLLATE "C";
CREATE INDEX runs_of_parent ON runs (parent) WHERE parent IS NOT NULL;

-- A signal belongs to a run, or waits under a workflow's key until a run takes that key. step_key: where it was received.
CREATE TABLE signals (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id       text COLLATE "C" NOT NULL,
  tenant   text COLLATE "C" NOT NULL,
  run_id   text COLLATE "C",
  workflow text COLLATE "C",
  key      text COLLATE "C",
  name     text COLLATE "C" NOT NULL,
  value    text NOT NULL,
  cause    text,
  sent_ms  bigint NOT NULL,
  step_key text COLLATE "C",
  UNIQUE (tenant, id)
);
CREATE INDEX signals_of_run ON signals (run_id, name, position) WHERE step_key IS NULL;
CREATE INDEX signals_of_key ON signals (tenant, workflow, key) WHERE run_id IS NULL;

CREATE TABLE correlations (
  tenant   text COLLATE "C" NOT NULL,
  workflow text COLLATE "C" NOT NULL,
  key      text COLLATE "C" NOT NULL,
  run_id   text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, workflow, key)
);
