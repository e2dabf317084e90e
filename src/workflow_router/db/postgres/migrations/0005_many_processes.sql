-- The processes that share the store, and large payloads by their content.

-- A member's lease runs by the clock of the database. workflows: a JSON array of "name@version" that it can execute.
CREATE TABLE members (
  owner          text COLLATE "C" PRIMARY KEY,
  workflows      text NOT NULL,
  lease_until_ms bigint NOT NULL
);

-- Each transaction of an owner begins here. Whoever takes a shard from an owner needs its lock exclusively, so a takeover
-- waits for a commit under way; and as each statement of a function sees what was committed before it, what is read after
-- the lock was had is what the last takeover left. A lock in memory costs neither a row version nor a line in the log.
CREATE FUNCTION held_shards(wanted text) RETURNS TABLE (shard bigint, epoch bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended(wanted, 5));
  RETURN QUERY SELECT s.shard, s.epoch FROM shards AS s WHERE s.owner = wanted;
END $$;

-- What is larger than the store's `blob_min_bytes` stands here once, under the SHA-256 of its text, and where it would have
-- stood is `@` and the hash, which no JSON begins with. used_ms: when it was last written, within an hour.
CREATE TABLE blobs (
  hash    text COLLATE "C" PRIMARY KEY,
  content text NOT NULL,
  used_ms bigint NOT NULL
);
CREATE INDEX blobs_used ON blobs (used_ms);

-- Which runs refer to it. A run that is deleted leaves its uses, which the next sweep removes.
CREATE TABLE blob_uses (
  hash   text COLLATE "C" NOT NULL,
  run_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (hash, run_id)
);
CREATE INDEX blob_uses_of_run ON blob_uses (run_id);
