-- name: source_cursor
SELECT position FROM source_cursors WHERE source = :source;
