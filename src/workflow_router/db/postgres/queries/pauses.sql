-- name: pauses_asked
SELECT p.run_id, p.actor FROM pauses AS p JOIN runs AS r ON r.id = p.run_id
 WHERE r.shard = ANY(ARRAY(SELECT value::bigint FROM json_array_elements_text(:shards::json))) ORDER BY p.run_id LIMIT :limit;
