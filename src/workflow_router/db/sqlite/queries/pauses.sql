-- name: pauses_asked
SELECT p.run_id, p.actor FROM pauses AS p JOIN runs AS r ON r.id = p.run_id
 WHERE r.shard IN (SELECT value FROM json_each(:shards)) ORDER BY p.run_id LIMIT :limit;
