-- name: blobs
SELECT hash, content FROM blobs WHERE hash = ANY(ARRAY(SELECT value FROM json_array_elements_text(:hashes::json)));
