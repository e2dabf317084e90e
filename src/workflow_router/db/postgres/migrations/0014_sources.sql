-- Which mappings led to a run or a message, kept while events come of these; and the types of our own events, now one space.
CREATE TABLE mapping_chains (
  id      TEXT PRIMARY KEY,
  chain   TEXT NOT NULL,
  made_ms BIGINT NOT NULL
);
CREATE INDEX mapping_chains_by_age ON mapping_chains (made_ms);

UPDATE events SET type = 'dev.workflow-router.join.completed' WHERE type = 'router.join.completed';
