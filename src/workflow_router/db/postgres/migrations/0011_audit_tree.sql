-- The audit log as a Merkle tree. Entries of the chain that stood here before stay readable under another name.

ALTER TABLE audit_log RENAME TO audit_log_chained;
DROP INDEX audit_of_correlation;
DROP TABLE audit_head;

-- body: what the leaf covers. private, salt: actor and detail, which body only commits to; gone once redacted.
CREATE TABLE audit_log (
  position    bigint PRIMARY KEY,
  time_ms     bigint NOT NULL,
  kind        text COLLATE "C" NOT NULL,
  subject     text COLLATE "C" NOT NULL,
  tenant      text COLLATE "C" NOT NULL,
  run_id      text COLLATE "C",
  correlation text COLLATE "C",
  actor       text COLLATE "C",
  body        text NOT NULL,
  private     text,
  salt        bytea,
  hash        bytea NOT NULL
);
CREATE INDEX audit_of_correlation ON audit_log (correlation) WHERE correlation IS NOT NULL;
CREATE INDEX audit_of_run ON audit_log (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX audit_of_actor ON audit_log (actor) WHERE actor IS NOT NULL;

-- Complete subtrees of 256: the hashes below it, and its root. Entries that were pruned live on in those of level 0.
CREATE TABLE audit_tiles (
  level  bigint NOT NULL,
  number bigint NOT NULL,
  hashes bytea NOT NULL,
  root   bytea NOT NULL,
  PRIMARY KEY (level, number)
);

-- frontier: roots of the complete subtrees the tree consists of. pruned: how many entries retention has taken away.
CREATE TABLE audit_head (
  id       bigint PRIMARY KEY CHECK (id = 1),
  position bigint NOT NULL,
  frontier bytea NOT NULL,
  pruned   bigint NOT NULL DEFAULT 0
);
INSERT INTO audit_head (id, position, frontier) VALUES (1, 0, '');

CREATE TABLE audit_checkpoints (
  position bigint PRIMARY KEY,
  time_ms  bigint NOT NULL,
  note     text NOT NULL
);
