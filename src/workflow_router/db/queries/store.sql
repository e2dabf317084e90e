-- name: savepoint
SAVEPOINT unit;

-- name: release_savepoint
RELEASE unit;

-- name: rollback_to_savepoint
ROLLBACK TO unit;

-- name: shard_count
SELECT count(*) FROM shards;

-- name: release_shards
UPDATE shards SET owner = NULL, lease_until_ms = 0 WHERE owner = :owner;

-- name: applied_migrations
SELECT number, checksum, name FROM migrations;

-- name: free_all_shards
UPDATE shards SET owner = NULL, lease_until_ms = 0;
