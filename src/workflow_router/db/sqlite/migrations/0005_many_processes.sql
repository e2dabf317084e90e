-- The process that has the store, and large payloads by their content.

CREATE TABLE members (
  owner          TEXT PRIMARY KEY,
  workflows      TEXT NOT NULL,
  lease_until_ms INTEGER NOT NULL
) STRICT;

-- What is larger than the store's `blob_min_bytes` stands here once, under the SHA-256 of its text, and where it would have
-- stood is `@` and the hash, which no JSON begins with. used_ms: when it was last written, within an hour.
CREATE TABLE blobs (
  hash    TEXT PRIMARY KEY,
  content TEXT NOT NULL,
  used_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX blobs_used ON blobs (used_ms);

-- Which runs refer to it. A run that is deleted leaves its uses, which the next sweep removes.
CREATE TABLE blob_uses (
  hash   TEXT NOT NULL,
  run_id TEXT NOT NULL,
  PRIMARY KEY (hash, run_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_uses_of_run ON blob_uses (run_id);
