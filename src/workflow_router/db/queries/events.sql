-- name: event_id_taken
SELECT id FROM events WHERE tenant = :tenant AND source = :source AND event_id = :event_id;

-- name: event
SELECT id, tenant, source, event_id, type, attributes, data, matched, received_ms, decision
  FROM events WHERE id = :id AND tenant = :tenant;

-- name: event_counts
SELECT count(*), count(*) FILTER (WHERE matched = '[]') FROM events WHERE tenant = :tenant;
