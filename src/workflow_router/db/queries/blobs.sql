-- name: put_blob
-- Its time is renewed seldom, as that may write the whole content again; the row is locked against a sweep all the same.
INSERT INTO blobs (hash, content, used_ms) VALUES (:hash, :content, :now_ms)
ON CONFLICT (hash) DO UPDATE SET used_ms = excluded.used_ms WHERE blobs.used_ms < excluded.used_ms - 3600000;

-- name: use_blob
INSERT INTO blob_uses (hash, run_id) VALUES (:hash, :run_id) ON CONFLICT (hash, run_id) DO NOTHING;

-- name: copy_blob_uses
INSERT INTO blob_uses (hash, run_id) SELECT hash, :run_id FROM blob_uses WHERE run_id = :source
ON CONFLICT (hash, run_id) DO NOTHING;

-- name: next_blob_uses
-- A page of the uses, and whether the run is still there.
SELECT u.hash, u.run_id, EXISTS (SELECT 1 FROM runs AS r WHERE r.id = u.run_id)
  FROM blob_uses AS u WHERE (u.hash, u.run_id) > (:hash, :run_id) ORDER BY u.hash, u.run_id LIMIT :limit;

-- name: forget_blob_use
DELETE FROM blob_uses WHERE hash = :hash AND run_id = :run_id;

-- name: delete_unused_blobs
DELETE FROM blobs WHERE used_ms < :before_ms AND hash IN (
  SELECT b.hash FROM blobs AS b
   WHERE b.used_ms < :before_ms AND NOT EXISTS (SELECT 1 FROM blob_uses AS u WHERE u.hash = b.hash)
   ORDER BY b.used_ms LIMIT :limit)
RETURNING hash;

-- name: count_blobs
SELECT count(*) FROM blobs;
