-- name: grow_stream
INSERT INTO streams (run_id, name, last, bytes) VALUES (:run_id, :name, :count, :size)
ON CONFLICT (run_id, name) DO UPDATE SET last = streams.last + excluded.last, bytes = streams.bytes + excluded.bytes
RETURNING last, bytes, ended;

-- name: insert_stream_entry
INSERT INTO stream_entries (run_id, name, last, first, step_key, since, chunks)
VALUES (:run_id, :name, :last, :first, :step_key, :since, :chunks);

-- name: begin_stream_writer
INSERT INTO stream_writers (run_id, name, step_key, since) VALUES (:run_id, :name, :step_key, :since)
ON CONFLICT (run_id, name, step_key) DO NOTHING;

-- name: end_stream_writer
DELETE FROM stream_writers WHERE run_id = :run_id AND name = :name AND step_key = :step_key RETURNING since;

-- name: end_stream
INSERT INTO streams (run_id, name, last, bytes, ended) VALUES (:run_id, :name, 0, 0, 1)
ON CONFLICT (run_id, name) DO UPDATE SET ended = 1;

-- name: stream_writers_left
-- Of steps that were under way when their process died.
SELECT w.name, w.step_key FROM stream_writers AS w
 WHERE w.run_id = :run_id
   AND NOT EXISTS (SELECT 1 FROM steps AS s WHERE s.run_id = w.run_id AND s.key = w.step_key)
 ORDER BY w.name, w.step_key;

-- name: stream_entries
SELECT last, first, step_key, since, chunks FROM stream_entries
 WHERE run_id = :run_id AND name = :name AND last > :after ORDER BY last LIMIT :limit;

-- name: streams_of_run
SELECT name, last, bytes, ended FROM streams WHERE run_id = :run_id ORDER BY name;
