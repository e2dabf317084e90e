-- Idempotency keys of what mappings did, and how far the sources were read that the router reads by itself.
CREATE TABLE effects (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  claimed_ms BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX effects_by_age ON effects (claimed_ms);

CREATE TABLE source_cursors (
  source   TEXT PRIMARY KEY,
  position BIGINT NOT NULL
);
