-- name: held_shards
-- The shards this owner holds. One process has the file, so no row lock is needed.
SELECT shard, epoch FROM shards WHERE owner = :owner;

-- name: claim_shards
UPDATE shards
   SET owner = :owner, epoch = epoch + 1, lease_until_ms = :now_ms + :lease_ms
 WHERE shard IN (SELECT shard FROM shards
                  WHERE owner IS NULL OR (owner <> :owner AND lease_until_ms <= :now_ms) LIMIT :limit)
RETURNING shard, epoch;

-- name: renew_shards
UPDATE shards SET lease_until_ms = :now_ms + :lease_ms WHERE owner = :owner;

-- name: release_some_shards
UPDATE shards SET owner = NULL, lease_until_ms = 0
 WHERE owner = :owner AND shard IN (SELECT value FROM json_each(:shards));

-- name: create_migrations
CREATE TABLE IF NOT EXISTS migrations (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_ms INTEGER NOT NULL
) STRICT;

-- name: note_migration
INSERT INTO migrations (number, name, checksum, applied_ms)
VALUES (:number, :name, :checksum, CAST(unixepoch('subsec') * 1000 AS INTEGER));

-- name: insert_shards
-- The number of shards is fixed when the store is made. One process has the file, so one shard is enough.
INSERT INTO shards (shard) VALUES (0) ON CONFLICT DO NOTHING;
