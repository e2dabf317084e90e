-- Bridges to other message servers: who has each, and what happened on it. Up to `settled` all of `origin` is ours.
CREATE TABLE bridges (
  name       TEXT PRIMARY KEY,
  owner      TEXT NOT NULL,
  epoch      INTEGER NOT NULL,
  until_ms   INTEGER NOT NULL,
  sent       INTEGER NOT NULL DEFAULT 0,
  repeated   INTEGER NOT NULL DEFAULT 0,
  received   INTEGER NOT NULL DEFAULT 0,
  duplicates INTEGER NOT NULL DEFAULT 0,
  echoes     INTEGER NOT NULL DEFAULT 0,
  origin     TEXT,
  settled    INTEGER NOT NULL DEFAULT 0,
  warnings   TEXT NOT NULL DEFAULT '[]',
  error      TEXT,
  error_ms   INTEGER
) STRICT, WITHOUT ROWID;

-- Messages from other servers that are ours already and may come again.
CREATE TABLE bridge_inbox (
  bridge   TEXT NOT NULL,
  origin   TEXT NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (bridge, origin, position)
) STRICT, WITHOUT ROWID;

-- By which messages of this store are known again when they come back.
CREATE TABLE bridge_mark (
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  mark TEXT NOT NULL
) STRICT;
