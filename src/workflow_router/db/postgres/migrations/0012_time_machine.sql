-- Runs that are to pause once what they have under way has committed. actor: who asked for it.
CREATE TABLE pauses (
  run_id text COLLATE "C" PRIMARY KEY,
  actor  text NOT NULL
);

-- What runs are searched by. A value is kept in the column of its kind: text, number (also of a bool, 0 or 1).
CREATE TABLE run_attributes (
  run_id text COLLATE "C" NOT NULL,
  name   text COLLATE "C" NOT NULL,
  kind   text COLLATE "C" NOT NULL,
  text   text COLLATE "C",
  number double precision,
  PRIMARY KEY (run_id, name)
);
CREATE INDEX attributes_by_text ON run_attributes (name, text, run_id) WHERE text IS NOT NULL;
CREATE INDEX attributes_by_number ON run_attributes (name, number, run_id) WHERE number IS NOT NULL;
