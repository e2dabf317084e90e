-- name: insert_approval
INSERT INTO approvals (id, run_id, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions)
VALUES (:id, :run_id, :step_key, :name, 'open', :form, :context, :roles, :quorum, :tenant, :created_ms, :due_ms, '[]')
ON CONFLICT (id) DO NOTHING;

-- name: decide_approval
-- Compares what the decider saw, so that two decisions at once cannot overwrite each other.
UPDATE approvals SET status = :status, decisions = :decisions
 WHERE id = :id AND status = 'open' AND decisions = :seen_decisions;

-- name: approval
SELECT id, run_id, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions
  FROM approvals WHERE id = :id;

-- name: list_approvals
SELECT id, run_id, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions
  FROM approvals WHERE tenant = :tenant AND (:status IS NULL OR status = :status) ORDER BY id LIMIT :limit;
