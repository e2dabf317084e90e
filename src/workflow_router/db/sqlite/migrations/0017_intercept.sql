-- Interceptors that change while the router runs, as routes do: stage is live, disabled, or deleted.

CREATE TABLE interceptors (
  name          TEXT NOT NULL,
  version       INTEGER NOT NULL,
  change        INTEGER NOT NULL UNIQUE,
  specification TEXT NOT NULL,
  stage         TEXT NOT NULL,
  author        TEXT NOT NULL,
  created_ms    INTEGER NOT NULL,
  PRIMARY KEY (name, version)
) STRICT;

-- The number of the last change: whoever changes an interceptor locks it.
CREATE TABLE interceptor_changes (
  id     INTEGER PRIMARY KEY CHECK (id = 1),
  number INTEGER NOT NULL
) STRICT;
INSERT INTO interceptor_changes (id, number) VALUES (1, 0);

-- Transitions that are held until somebody releases or denies them. run_id and mark: the place in a run that waits;
-- payload: what is performed on release of what comes from outside; done: 1 when nothing is left to be performed.
CREATE TABLE held (
  id          TEXT PRIMARY KEY,
  at          TEXT NOT NULL,
  subject     TEXT NOT NULL,
  tenant      TEXT NOT NULL,
  interceptor TEXT NOT NULL,
  version     INTEGER NOT NULL,
  place       INTEGER NOT NULL,
  verdict     TEXT NOT NULL,
  run_id      TEXT,
  mark        TEXT,
  cause       TEXT,
  correlation TEXT,
  fields      TEXT NOT NULL,
  changed     TEXT NOT NULL,
  payload     TEXT,
  status      TEXT NOT NULL,
  on_due      TEXT NOT NULL,
  due_ms      INTEGER,
  created_ms  INTEGER NOT NULL,
  settled_ms  INTEGER,
  settled_by  TEXT,
  reason      TEXT NOT NULL DEFAULT '',
  done        INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX held_by_run ON held (run_id, mark) WHERE run_id IS NOT NULL;
CREATE INDEX held_open ON held (created_ms, id) WHERE status = 'open';
CREATE INDEX held_outside ON held (due_ms) WHERE run_id IS NULL AND done = 0;
