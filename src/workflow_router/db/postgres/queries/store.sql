-- name: held_shards
-- The shards this owner holds. A takeover passes them over until this transaction has ended.
SELECT shard, epoch FROM held_shards(:owner);

-- name: claim_shards
-- Leases run by the clock of the database, so that the clocks of its clients may differ. Of another owner a shard is taken
-- only while that owner is not within a transaction.
UPDATE shards
   SET owner = :owner, epoch = epoch + 1,
       lease_until_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + :lease_ms
 WHERE shard IN (SELECT shard FROM shards
                  WHERE owner IS NULL
                     OR (owner <> :owner AND lease_until_ms <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint
                         AND pg_try_advisory_xact_lock(hashtextextended(owner, 5)))
                  ORDER BY shard LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING shard, epoch;

-- name: renew_shards
UPDATE shards SET lease_until_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + :lease_ms
 WHERE owner = :owner;

-- name: release_some_shards
UPDATE shards SET owner = NULL, lease_until_ms = 0
 WHERE owner = :owner AND shard = ANY(ARRAY(SELECT value::bigint FROM json_array_elements_text(:shards::json)));

-- name: create_migrations
-- Processes that migrate do so one after the other; the number is "workflow" in ASCII.
SELECT pg_advisory_xact_lock(x'776f726b666c6f77'::bigint);
CREATE TABLE IF NOT EXISTS migrations (
  number bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_ms bigint NOT NULL
);

-- name: note_migration
INSERT INTO migrations (number, name, checksum, applied_ms)
VALUES (:number, :name, :checksum, (extract(epoch FROM clock_timestamp()) * 1000)::bigint);

-- name: insert_shards
-- The number of shards is fixed when the store is made.
INSERT INTO shards (shard) SELECT generate_series(0, 63) ON CONFLICT DO NOTHING;
