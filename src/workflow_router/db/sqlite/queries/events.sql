-- name: insert_event
-- Returns a row only if it landed: the identity of an event is its tenant, source and id.
INSERT INTO events (id, tenant, source, event_id, type, attributes, data, matched, received_ms)
VALUES (:id, :tenant, :source, :event_id, :type, :attributes, :data, :matched, :received_ms)
ON CONFLICT (tenant, source, event_id) DO NOTHING;

-- name: event_id_taken
SELECT id FROM events WHERE tenant = :tenant AND source = :source AND event_id = :event_id;

-- name: event
SELECT id, tenant, source, event_id, type, attributes, data, matched, received_ms
  FROM events WHERE id = :id AND tenant = :tenant;

-- name: latest_events
SELECT id, tenant, source, event_id, type, attributes, data, matched, received_ms
  FROM events WHERE tenant = :tenant AND id < :before ORDER BY id DESC LIMIT :limit;

-- name: event_counts
SELECT count(*), count(*) FILTER (WHERE matched = '[]') FROM events WHERE tenant = :tenant;

-- name: latest_mapping
SELECT version, specification FROM mappings WHERE name = :name ORDER BY version DESC LIMIT 1;

-- name: insert_mapping
INSERT INTO mappings (name, version, specification, author, created_ms)
VALUES (:name, :version, :specification, :author, :created_ms)
ON CONFLICT (name, version) DO NOTHING
RETURNING version;
