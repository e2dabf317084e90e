-- Runs that go on as another, streams that runs write, runs that were archived, and edits of published state.

-- Which runs are one chain: each goes on where `previous` ended. number: 0 is the first.
CREATE TABLE chains (
  run_id   text COLLATE "C" PRIMARY KEY,
  first    text COLLATE "C" NOT NULL,
  previous text COLLATE "C",
  number   bigint NOT NULL,
  UNIQUE (first, number)
);
CREATE INDEX correlations_of_run ON correlations (run_id);

-- What a run writes for others to read while it goes on. last: number of its last entry; bytes: of all of them.
CREATE TABLE streams (
  run_id text COLLATE "C" NOT NULL,
  name   text COLLATE "C" NOT NULL,
  last   bigint NOT NULL,
  bytes  bigint NOT NULL,
  ended  bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (run_id, name)
);

-- Entries first to last of a stream: JSON of chunks that came together, or that those of a step since `since` are void.
CREATE TABLE stream_entries (
  run_id   text COLLATE "C" NOT NULL,
  name     text COLLATE "C" NOT NULL,
  last     bigint NOT NULL,
  first    bigint NOT NULL,
  step_key text COLLATE "C" NOT NULL,
  since    bigint,
  chunks   text NOT NULL,
  PRIMARY KEY (run_id, name, last)
);

-- Steps whose attempt under way has written to a stream, with the first entry of it.
CREATE TABLE stream_writers (
  run_id   text COLLATE "C" NOT NULL,
  name     text COLLATE "C" NOT NULL,
  step_key text COLLATE "C" NOT NULL,
  since    bigint NOT NULL,
  PRIMARY KEY (run_id, name, step_key)
);

-- Where runs are that are not here any more. file: below the archive's folder.
CREATE TABLE archived_runs (
  run_id      text COLLATE "C" PRIMARY KEY,
  file        text COLLATE "C" NOT NULL,
  archived_ms bigint NOT NULL
);
CREATE INDEX signals_by_run ON signals (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX approvals_of_run ON approvals (run_id);
CREATE INDEX update_answers_of_run ON update_answers (run_id);

-- What people changed of a state that the run has not published anew since: a JSON object.
ALTER TABLE run_states ADD COLUMN edits text;
