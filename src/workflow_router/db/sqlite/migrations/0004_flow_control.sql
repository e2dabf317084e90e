-- What pacing keeps for a key: items that wait, and when they or their limit are due. `state` is JSON.
CREATE TABLE holds (
  kind   TEXT NOT NULL,
  tenant TEXT NOT NULL,
  scope  TEXT NOT NULL,
  key    TEXT NOT NULL,
  due_ms INTEGER,
  state  TEXT NOT NULL,
  PRIMARY KEY (kind, tenant, scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_due ON holds (kind, due_ms) WHERE due_ms IS NOT NULL;
