-- name: blobs
SELECT hash, content FROM blobs WHERE hash IN (SELECT value FROM json_each(:hashes));
