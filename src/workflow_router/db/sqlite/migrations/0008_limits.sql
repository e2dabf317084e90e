-- Limits: counters, what is reserved on them, and what was declared over the API.

-- buckets: JSON, amount by the time the bucket begins. kept_until_ms: from then on nobody asks for it.
CREATE TABLE limit_counters (
  key           TEXT PRIMARY KEY,
  buckets       TEXT NOT NULL,
  kept_until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX limit_counters_past ON limit_counters (kept_until_ms);

-- held: JSON list of counter, unit, amount and bucket. One that has expired stays for a while, for a late settlement.
CREATE TABLE limit_reservations (
  id             TEXT PRIMARY KEY,
  owner          TEXT NOT NULL,
  held           TEXT NOT NULL,
  expiry         TEXT NOT NULL,
  lease_until_ms INTEGER NOT NULL,
  expired        INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX limit_reservations_due ON limit_reservations (expired, lease_until_ms);
CREATE INDEX limit_reservations_of ON limit_reservations (owner) WHERE expired = 0;

-- Who asked by which key, tokens, cost, what was reserved: JSON.
ALTER TABLE dispatches ADD COLUMN facts TEXT;

-- What is declared over the API: limits, virtual keys. specification: JSON.
CREATE TABLE live_rules (
  kind          TEXT NOT NULL,
  name          TEXT NOT NULL,
  specification TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Counts changes, so that a process sees that another one made some.
CREATE TABLE live_changes (
  kind   TEXT PRIMARY KEY,
  number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
