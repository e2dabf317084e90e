-- The process that has the store, and large payloads by their content.

CREATE TABLE members (
  owner          TEXT PRIMARY KEY,
  workflows      TEXT NOT NULL,
  lease_until_ms INTEGER NOT NULL
) STRICT;

-- What is larger than `blob_min_bytes` stands here once, under the SHA-256 of its text. used_ms: when it was last written.
CREATE TABLE blobs (
  hash    TEXT PRIMARY KEY,
  content TEXT NOT NULL,
  used_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX blobs_used ON blobs (used_ms);
