-- Interceptors that change while the router runs, as routes do: stage is live, disabled, or deleted.

CREATE TABLE interceptors (
  name          text NOT NULL,
  version       bigint NOT NULL,
  change        bigint NOT NULL UNIQUE,
  specification text NOT NULL,
  stage         text NOT NULL,
  author        text NOT NULL,
  created_ms    bigint NOT NULL,
  PRIMARY KEY (name, version)
);

-- The number of the last change: whoever changes an interceptor locks it.
CREATE TABLE interceptor_changes (
  id     bigint PRIMARY KEY CHECK (id = 1),
  number bigint NOT NULL
);
INSERT INTO interceptor_changes (id, number) VALUES (1, 0);

-- Transitions that are held until somebody releases or denies them. run_id and mark: the place in a run that waits;
-- payload: what is performed on release of what comes from outside; done: 1 when nothing is left to be performed.
CREATE TABLE held (
  id          text PRIMARY KEY,
  at          text NOT NULL,
  subject     text NOT NULL,
  tenant      text NOT NULL,
  interceptor text NOT NULL,
  version     bigint NOT NULL,
  place       bigint NOT NULL,
  verdict     text NOT NULL,
  run_id      text,
  mark        text,
  cause       text,
  correlation text,
  fields      text NOT NULL,
  changed     text NOT NULL,
  payload     text,
  status      text NOT NULL,
  on_due      text NOT NULL,
  due_ms      bigint,
  created_ms  bigint NOT NULL,
  settled_ms  bigint,
  settled_by  text,
  reason      text NOT NULL DEFAULT '',
  done        bigint NOT NULL DEFAULT 0
);
CREATE INDEX held_by_run ON held (run_id, mark) WHERE run_id IS NOT NULL;
CREATE INDEX held_open ON held (created_ms, id) WHERE status = 'open';
CREATE INDEX held_outside ON held (due_ms) WHERE run_id IS NULL AND done = 0;
