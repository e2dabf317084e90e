-- name: approval
SELECT id, run_id, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions, policy, progress, subject, hash, correlation, next_ms
  FROM approvals WHERE id = :id;

-- name: due_approvals
SELECT id, run_id, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions, policy, progress, subject, hash, correlation, next_ms
  FROM approvals WHERE status = 'open' AND next_ms <= :before_ms ORDER BY next_ms LIMIT :limit;

-- name: next_due_approval
SELECT min(next_ms) FROM approvals WHERE status = 'open' AND next_ms IS NOT NULL;

-- name: withdraw_approvals_of_run
UPDATE approvals SET status = 'withdrawn', next_ms = NULL WHERE run_id = :run_id AND status = 'open'
RETURNING id, name;

-- name: delete_delegation
DELETE FROM delegations WHERE id = :id AND tenant = :tenant
RETURNING id, tenant, giver, taker, roles, approval_id, from_ms, until_ms, reason;

-- name: forget_approval_links
DELETE FROM approval_links WHERE expires_ms < :before_ms;
