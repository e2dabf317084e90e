-- What a trace begins with where it is asked for by a message or event that is not the root of its tree.
CREATE INDEX audit_of_caused ON audit_log (subject)
  WHERE kind IN ('message.published', 'event.accepted') AND subject <> correlation;

-- What `wr sql` reads: an interface, with the same columns on each store, and no payloads.
CREATE VIEW wr_runs AS
SELECT id, tenant, workflow, version, status, parent, cause, correlation, error, created_ms, updated_ms FROM runs;

CREATE VIEW wr_steps AS
SELECT run_id, key, seq, name, kind, status, attempts, error, started_ms, finished_ms FROM steps;

CREATE VIEW wr_dispatches AS
SELECT id, tenant, route, status, target, run_id, step_key, caller, cause, correlation, usage, created_ms, finished_ms
  FROM dispatches;

CREATE VIEW wr_messages AS
SELECT m.id, m.tenant, t.name AS topic, m.key, m.priority, m.cause, m.correlation, m.published_ms, m.due_ms, m.expires_ms
  FROM messages AS m JOIN topics AS t ON t.number = m.position >> 40;
