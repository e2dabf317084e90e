-- The audit log as a Merkle tree. Entries of the chain that stood here before stay readable under another name.

ALTER TABLE audit_log RENAME TO audit_log_chained;
DROP INDEX audit_of_correlation;
DROP TABLE audit_head;

-- body: what the leaf covers. private, salt: actor and detail, which body only commits to; gone once redacted.
CREATE TABLE audit_log (
  position    INTEGER PRIMARY KEY,
  time_ms     INTEGER NOT NULL,
  kind        TEXT NOT NULL,
  subject     TEXT NOT NULL,
  tenant      TEXT NOT NULL,
  run_id      TEXT,
  correlation TEXT,
  actor       TEXT,
  body        TEXT NOT NULL,
  private     TEXT,
  salt        BLOB,
  hash        BLOB NOT NULL
) STRICT;
CREATE INDEX audit_of_correlation ON audit_log (correlation) WHERE correlation IS NOT NULL;
CREATE INDEX audit_of_run ON audit_log (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX audit_of_actor ON audit_log (actor) WHERE actor IS NOT NULL;

-- Complete subtrees of 256: the hashes below it, and its root. Entries that were pruned live on in those of level 0.
CREATE TABLE audit_tiles (
  level  INTEGER NOT NULL,
  number INTEGER NOT NULL,
  hashes BLOB NOT NULL,
  root   BLOB NOT NULL,
  PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;

-- frontier: roots of the complete subtrees the tree consists of. pruned: how many entries retention has taken away.
CREATE TABLE audit_head (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  position INTEGER NOT NULL,
  frontier BLOB NOT NULL,
  pruned   INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO audit_head (id, position, frontier) VALUES (1, 0, x'');

CREATE TABLE audit_checkpoints (
  position INTEGER PRIMARY KEY,
  time_ms  INTEGER NOT NULL,
  note     TEXT NOT NULL
) STRICT;
