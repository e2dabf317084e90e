-- name: lately_kinds
SELECT kind, count(*) FROM audit_log WHERE position > :after AND position <= :upto GROUP BY kind;

-- name: lately_runs
SELECT DISTINCT run_id FROM audit_log WHERE position > :after AND position <= :upto AND run_id IS NOT NULL LIMIT :limit;

-- name: lately_completed
SELECT created_ms, updated_ms FROM runs
 WHERE id > :since AND tenant = :tenant AND status = 'completed' ORDER BY id DESC LIMIT :limit;
