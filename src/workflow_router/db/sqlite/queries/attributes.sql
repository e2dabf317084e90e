-- name: runs_by_text
SELECT r.id, r.workflow, r.version, r.status, r.input, r.output, r.error, r.tenant, r.shard, r.cause, r.correlation, r.created_ms, r.updated_ms, r.wakes, r.parent
  FROM run_attributes AS a JOIN runs AS r ON r.id = a.run_id
 WHERE a.name = :name AND a.text = :value AND a.kind = :kind AND a.run_id < :before
   AND r.tenant = :tenant AND (:workflow IS NULL OR r.workflow = :workflow) AND (:status IS NULL OR r.status = :status)
 ORDER BY a.run_id DESC LIMIT :limit;

-- name: runs_by_number
SELECT r.id, r.workflow, r.version, r.status, r.input, r.output, r.error, r.tenant, r.shard, r.cause, r.correlation, r.created_ms, r.updated_ms, r.wakes, r.parent
  FROM run_attributes AS a JOIN runs AS r ON r.id = a.run_id
 WHERE a.name = :name AND a.number = :value AND a.kind = :kind AND a.run_id < :before
   AND r.tenant = :tenant AND (:workflow IS NULL OR r.workflow = :workflow) AND (:status IS NULL OR r.status = :status)
 ORDER BY a.run_id DESC LIMIT :limit;
