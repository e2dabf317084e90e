-- Bodies of calls, redacted, for routes that say so; they are deleted when their time is over.
CREATE TABLE dispatch_bodies (
  dispatch_id TEXT PRIMARY KEY,
  tenant      TEXT NOT NULL,
  request     TEXT,
  answer      TEXT,
  note        TEXT NOT NULL,
  readers     TEXT NOT NULL,
  created_ms  INTEGER NOT NULL,
  expires_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX dispatch_bodies_due ON dispatch_bodies (expires_ms);
