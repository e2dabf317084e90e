-- name: insert_approval
INSERT INTO approvals (id, run_id, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions, policy, progress, subject, hash, correlation, next_ms)
VALUES (:id, :run_id, :step_key, :name, 'open', :form, :context, :roles, :quorum, :tenant, :created_ms, :due_ms, '[]', :policy, :progress, :subject, :hash, :correlation, :next_ms)
ON CONFLICT (id) DO NOTHING;

-- name: advance_approval
-- Compares what was seen, so that two changes at once cannot overwrite each other.
UPDATE approvals SET status = :status, decisions = :decisions, progress = :progress, next_ms = :next_ms
 WHERE id = :id AND status = 'open' AND decisions = :seen_decisions AND progress = :seen_progress;

-- name: approval
SELECT id, run_id, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions, policy, progress, subject, hash, correlation, next_ms
  FROM approvals WHERE id = :id;

-- name: list_approvals
SELECT id, run_id, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions, policy, progress, subject, hash, correlation, next_ms
  FROM approvals WHERE tenant = :tenant AND (:status IS NULL OR status = :status) ORDER BY id LIMIT :limit;

-- name: due_approvals
SELECT id, run_id, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions, policy, progress, subject, hash, correlation, next_ms
  FROM approvals WHERE status = 'open' AND next_ms <= :before_ms ORDER BY next_ms LIMIT :limit;

-- name: next_due_approval
SELECT min(next_ms) FROM approvals WHERE status = 'open' AND next_ms IS NOT NULL;

-- name: withdraw_approvals_of_run
UPDATE approvals SET status = 'withdrawn', next_ms = NULL WHERE run_id = :run_id AND status = 'open'
RETURNING id, name;

-- name: insert_delegation
INSERT INTO delegations (id, tenant, giver, taker, roles, approval_id, from_ms, until_ms, reason)
VALUES (:id, :tenant, :giver, :taker, :roles, :approval_id, :from_ms, :until_ms, :reason)
ON CONFLICT (id) DO NOTHING;

-- name: delegations
-- Those of all approvals and of this one that have not run out.
SELECT id, tenant, giver, taker, roles, approval_id, from_ms, until_ms, reason FROM delegations
 WHERE tenant = :tenant AND approval_id IN ('', :approval_id) AND (until_ms IS NULL OR until_ms > :now_ms) ORDER BY id;

-- name: delete_delegation
DELETE FROM delegations WHERE id = :id AND tenant = :tenant
RETURNING id, tenant, giver, taker, roles, approval_id, from_ms, until_ms, reason;

-- name: use_approval_link
INSERT INTO approval_links (id, approval_id, expires_ms) VALUES (:id, :approval_id, :expires_ms)
ON CONFLICT (id) DO NOTHING;

-- name: forget_approval_links
DELETE FROM approval_links WHERE expires_ms < :before_ms;
