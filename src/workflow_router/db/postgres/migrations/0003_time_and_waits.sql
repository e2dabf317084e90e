-- Time and waits: runs that are to stop, signs of life, schedules, waits for events, and what runs show and answer.

-- At due_ms the run is to stop, for the reason. given: its code has been told; then due_ms is the end of its grace.
CREATE TABLE stops (
  run_id   text COLLATE "C" PRIMARY KEY,
  shard    bigint NOT NULL,
  reason   text COLLATE "C" NOT NULL,
  due_ms   bigint NOT NULL,
  grace_ms bigint NOT NULL,
  given    bigint NOT NULL DEFAULT 0
);
CREATE INDEX stops_due ON stops (due_ms);

CREATE TABLE heartbeats (
  run_id   text COLLATE "C" NOT NULL,
  step_key text COLLATE "C" NOT NULL,
  details  text COLLATE "C" NOT NULL,
  kept_ms  bigint NOT NULL,
  PRIMARY KEY (run_id, step_key)
);

-- How often a run was taken up after its process died, without having come further (mark) in between.
CREATE TABLE takeups (
  run_id text COLLATE "C" PRIMARY KEY,
  mark   bigint NOT NULL,
  count  bigint NOT NULL
);

-- owner: the project that declares it. next_ms: the next moment, before jitter; NULL where there is none.
-- runs: those that its last firing started, as JSON.
CREATE TABLE schedules (
  name          text COLLATE "C" PRIMARY KEY,
  owner         text COLLATE "C" NOT NULL,
  specification text COLLATE "C" NOT NULL,
  paused        bigint NOT NULL DEFAULT 0,
  next_ms       bigint,
  due_ms        bigint,
  claimed_ms    bigint NOT NULL DEFAULT 0,
  fired_ms      bigint,
  runs          text COLLATE "C" NOT NULL DEFAULT '[]'
);
CREATE INDEX schedules_due ON schedules (due_ms) WHERE paused = 0;

-- What runs want to hear of: patterns by name, as JSON. version: when it was added, in the order of commits.
CREATE TABLE interests (
  run_id   text COLLATE "C" NOT NULL,
  name     text COLLATE "C" NOT NULL,
  tenant   text COLLATE "C" NOT NULL,
  patterns text COLLATE "C" NOT NULL,
  version  bigint NOT NULL,
  PRIMARY KEY (run_id, name)
);
CREATE INDEX interests_since ON interests (version);

CREATE TABLE interest_version (
  id      bigint PRIMARY KEY CHECK (id = 1),
  version bigint NOT NULL
);
INSERT INTO interest_version (id, version) VALUES (1, 0);

CREATE TABLE run_states (
  run_id     text COLLATE "C" PRIMARY KEY,
  state      text COLLATE "C" NOT NULL,
  updated_ms bigint NOT NULL
);

-- The answer to an update, which came as a signal of the same id.
CREATE TABLE update_answers (
  tenant      text COLLATE "C" NOT NULL,
  id          text COLLATE "C" NOT NULL,
  run_id      text COLLATE "C" NOT NULL,
  output      text COLLATE "C",
  error       text COLLATE "C",
  answered_ms bigint NOT NULL,
  PRIMARY KEY (tenant, id)
);
