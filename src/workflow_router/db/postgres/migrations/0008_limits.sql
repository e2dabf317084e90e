-- Limits: counters, what is reserved on them, and what was declared over the API.

-- buckets: JSON, amount by the time the bucket begins. kept_until_ms: from then on nobody asks for it.
CREATE TABLE limit_counters (
  key           text COLLATE "C" PRIMARY KEY,
  buckets       text NOT NULL,
  kept_until_ms bigint NOT NULL
);
CREATE INDEX limit_counters_past ON limit_counters (kept_until_ms);

-- held: JSON list of counter, unit, amount and bucket. One that has expired stays for a while, for a late settlement.
CREATE TABLE limit_reservations (
  id             text COLLATE "C" PRIMARY KEY,
  owner          text COLLATE "C" NOT NULL,
  held           text NOT NULL,
  expiry         text NOT NULL,
  lease_until_ms bigint NOT NULL,
  expired        bigint NOT NULL DEFAULT 0
);
CREATE INDEX limit_reservations_due ON limit_reservations (expired, lease_until_ms);
CREATE INDEX limit_reservations_of ON limit_reservations (owner) WHERE expired = 0;

-- Who asked by which key, tokens, cost, what was reserved: JSON.
ALTER TABLE dispatches ADD COLUMN facts text;

-- What is declared over the API: limits, virtual keys. specification: JSON.
CREATE TABLE live_rules (
  kind          text COLLATE "C" NOT NULL,
  name          text COLLATE "C" NOT NULL,
  specification text NOT NULL,
  PRIMARY KEY (kind, name)
);

-- Counts changes, so that a process sees that another one made some.
CREATE TABLE live_changes (
  kind   text COLLATE "C" PRIMARY KEY,
  number bigint NOT NULL
);
