-- Bridges to other message servers: who has each, and what happened on it. Up to `settled` all of `origin` is ours.
CREATE TABLE bridges (
  name       TEXT PRIMARY KEY,
  owner      TEXT NOT NULL,
  epoch      BIGINT NOT NULL,
  until_ms   BIGINT NOT NULL,
  sent       BIGINT NOT NULL DEFAULT 0,
  repeated   BIGINT NOT NULL DEFAULT 0,
  received   BIGINT NOT NULL DEFAULT 0,
  duplicates BIGINT NOT NULL DEFAULT 0,
  echoes     BIGINT NOT NULL DEFAULT 0,
  origin     TEXT,
  settled    BIGINT NOT NULL DEFAULT 0,
  warnings   TEXT NOT NULL DEFAULT '[]',
  error      TEXT,
  error_ms   BIGINT
);

-- Messages from other servers that are ours already and may come again.
CREATE TABLE bridge_inbox (
  bridge   TEXT NOT NULL,
  origin   TEXT NOT NULL,
  position BIGINT NOT NULL,
  PRIMARY KEY (bridge, origin, position)
);

-- By which messages of this store are known again when they come back.
CREATE TABLE bridge_mark (
  one  BIGINT PRIMARY KEY CHECK (one = 1),
  mark TEXT NOT NULL
);
