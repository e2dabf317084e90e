-- Failed attempts of steps that are tried again: how many there were, and when the next is due. They go with their run.
CREATE TABLE tries (
  run_id   text COLLATE "C" NOT NULL,
  step_key text COLLATE "C" NOT NULL,
  name     text COLLATE "C" NOT NULL,
  attempts bigint NOT NULL,
  began_ms bigint NOT NULL,
  due_ms   bigint NOT NULL,
  PRIMARY KEY (run_id, step_key)
);
