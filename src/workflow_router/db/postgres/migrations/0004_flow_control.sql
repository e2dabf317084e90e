-- What pacing keeps for a key: items that wait, and when they or their limit are due. `state` is JSON.
CREATE TABLE holds (
  kind   text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  scope  text COLLATE "C" NOT NULL,
  key    text COLLATE "C" NOT NULL,
  due_ms bigint,
  state  text NOT NULL,
  PRIMARY KEY (kind, tenant, scope, key)
);
CREATE INDEX holds_due ON holds (kind, due_ms) WHERE due_ms IS NOT NULL;

-- A start under flow control, until its run ends. `lane`: the full one that it waits for; `lanes` is JSON.
CREATE TABLE starts (
  position  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id    text COLLATE "C" NOT NULL UNIQUE,
  workflow  text COLLATE "C" NOT NULL,
  tenant    text COLLATE "C" NOT NULL,
  lanes     text COLLATE "C" NOT NULL,
  singleton text COLLATE "C",
  priority  bigint NOT NULL,
  weight    double precision NOT NULL,
  share     double precision NOT NULL,
  lane      text COLLATE "C",
  why       text COLLATE "C" NOT NULL
);
CREATE INDEX starts_of_lane ON starts (lane, priority DESC, share, position) WHERE lane IS NOT NULL;
CREATE INDEX starts_of_singleton ON starts (singleton, position) WHERE singleton IS NOT NULL;

-- Slots that are taken, by a run or by one of its steps.
CREATE TABLE slots (
  lane     text COLLATE "C" NOT NULL,
  run_id   text COLLATE "C" NOT NULL,
  step_key text COLLATE "C" NOT NULL,
  PRIMARY KEY (lane, run_id, step_key)
);
CREATE INDEX slots_of_run ON slots (run_id);

-- How far each tenant got in its share of a workflow; the tenant '' is the workflow's own clock.
CREATE TABLE shares (
  workflow text COLLATE "C" NOT NULL,
  tenant   text COLLATE "C" NOT NULL,
  finish   double precision NOT NULL,
  PRIMARY KEY (workflow, tenant)
);

-- Idempotency keys of starts; `digest` is SHA-256 of the input, hex.
CREATE TABLE start_keys (
  tenant   text COLLATE "C" NOT NULL,
  workflow text COLLATE "C" NOT NULL,
  key      text COLLATE "C" NOT NULL,
  run_id   text COLLATE "C" NOT NULL,
  digest   text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, workflow, key)
);
CREATE INDEX start_keys_of_run ON start_keys (run_id);

-- Runs that began with the history of another, up to a step.
CREATE TABLE forks (
  run_id   text COLLATE "C" PRIMARY KEY,
  source   text COLLATE "C" NOT NULL,
  step_key text COLLATE "C"
);
