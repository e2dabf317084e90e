-- Runs that are to pause once what they have under way has committed. actor: who asked for it.
CREATE TABLE pauses (
  run_id TEXT PRIMARY KEY,
  actor  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What runs are searched by. A value is kept in the column of its kind: text, number (also of a bool, 0 or 1).
CREATE TABLE run_attributes (
  run_id TEXT NOT NULL,
  name   TEXT NOT NULL,
  kind   TEXT NOT NULL,
  text   TEXT,
  number REAL,
  PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX attributes_by_text ON run_attributes (name, text, run_id) WHERE text IS NOT NULL;
CREATE INDEX attributes_by_number ON run_attributes (name, number, run_id) WHERE number IS NOT NULL;
