-- name: insert_event
-- Returns a row only if it landed: the identity of an event is its tenant, source and id.
INSERT INTO events (id, tenant, source, event_id, type, attributes, data, matched, received_ms, decision)
VALUES (:id, :tenant, :source, :event_id, :type, :attributes, :data, :matched, :received_ms, :decision)
ON CONFLICT (tenant, source, event_id) DO NOTHING
RETURNING position;

-- name: latest_events
SELECT id, tenant, source, event_id, type, attributes, data, matched, received_ms, decision
  FROM events WHERE tenant = :tenant AND id < :before ORDER BY id DESC LIMIT :limit;

-- name: filtered_events
-- Of the newest :seen events those that fit, so that a filter that nothing fits costs no more than that.
SELECT id, tenant, source, event_id, type, attributes, data, matched, received_ms, decision
  FROM (SELECT id, tenant, source, event_id, type, attributes, data, matched, received_ms, decision
          FROM events WHERE tenant = :tenant AND id < :before ORDER BY id DESC LIMIT :seen) AS newest
 WHERE (:type::text IS NULL OR substr(type, 1, length(:type)) = :type)
   AND (:mapping::text IS NULL OR position(:mapping in matched) > 0)
   AND (:text::text IS NULL OR position(:text in attributes) > 0 OR position(:text in source) > 0 OR event_id = :text)
 ORDER BY id DESC LIMIT :limit;

-- name: event_after
-- The id of the event so many places down from one.
SELECT id FROM events WHERE tenant = :tenant AND id < :before ORDER BY id DESC LIMIT 1 OFFSET :skipped;

-- name: events_between
SELECT id, tenant, source, event_id, type, attributes, data, matched, received_ms, decision
  FROM events WHERE tenant = :tenant AND id > :after AND id < :before ORDER BY id LIMIT :limit;

-- name: count_events_between
SELECT count(*) FROM events WHERE tenant = :tenant AND id > :after AND id < :before;

-- name: prune_events
DELETE FROM events WHERE position IN (SELECT position FROM events WHERE id < :before ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING id;
