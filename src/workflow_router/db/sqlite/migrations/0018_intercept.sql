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

-- What happened, as an interface of its own: see docs/howto/sql.md. Columns may be added, none is renamed.
CREATE VIEW wr_runs AS
  SELECT id, tenant, workflow, version, status, cause, correlation, parent, input, output, error, created_ms, updated_ms
    FROM runs;
CREATE VIEW wr_steps AS
  SELECT s.run_id AS run, r.tenant, r.workflow, s.key, s.seq, s.name, s.kind, s.status, s.attempts, s.output, s.error,
         s.started_ms, s.finished_ms, s.finished_ms - s.started_ms AS took_ms
    FROM steps AS s JOIN runs AS r ON r.id = s.run_id;
CREATE VIEW wr_dispatches AS
  SELECT id, tenant, route, target, status, run_id AS run, step_key, caller, cause, correlation, attempts, usage,
         created_ms, finished_ms, finished_ms - created_ms AS took_ms
    FROM dispatches;
CREATE VIEW wr_messages AS
  SELECT m.id, m.tenant, t.name AS topic, m.key, m.body, m.headers, m.cause, m.correlation, m.published_ms, m.priority
    FROM messages AS m JOIN topics AS t ON t.number = (m.position >> 40);
