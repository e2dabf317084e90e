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
