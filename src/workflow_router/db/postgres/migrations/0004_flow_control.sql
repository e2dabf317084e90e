-- What pacing keeps for a key: items that wait, and when they or their limit are due. `state` is JSON.
CREATE TABLE holds (
  kind   text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  scope  text COLLATE "C" NOT NULL,
  key    text COLLATE "C" NOT NULL,
  due_ms bigint,
  state  text NOT NULL,
  PRIMARY KEY (kind, tenant, scope, key)
);
CREATE INDEX holds_due ON holds (kind, due_ms) WHERE due_ms IS NOT NULL;
