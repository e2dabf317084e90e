-- Failed attempts of steps that are tried again: how many there were, and when the next is due. They go with their run.
CREATE TABLE tries (
  run_id   TEXT NOT NULL,
  step_key TEXT NOT NULL,
  name     TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  began_ms INTEGER NOT NULL,
  due_ms   INTEGER NOT NULL,
  PRIMARY KEY (run_id, step_key)
) STRICT, WITHOUT ROWID;
