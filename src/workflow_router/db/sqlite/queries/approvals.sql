-- name: insert_approval
INSERT INTO approvals (id, run_id, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions, policy, progress, subject, hash, correlation, next_ms)
VALUES (:id, :run_id, :step_key, :name, 'open', :form, :context, :roles, :quorum, :tenant, :created_ms, :due_ms, '[]', :policy, :progress, :subject, :hash, :correlation, :next_ms)
ON CONFLICT (id) DO NOTHING;

-- name: advance_approval
-- Compares what was seen, so that two changes at once cannot overwrite each other.
UPDATE approvals SET status = :status, decisions = :decisions, progress = :progress, next_ms = :next_ms
 WHERE id = :id AND status = 'open' AND decisions = :seen_decisions AND progress = :seen_progress;

-- name: list_approvals
SELECT id, run_id, step_key, name, status, form, context, roles, quorum, tenant, created_ms, due_ms, decisions, policy, progress, subject, hash, correlation, next_ms
  FROM approvals WHERE tenant = :tenant AND (:status IS NULL OR status = :status) ORDER BY id LIMIT :limit;

-- name: insert_delegation
INSERT INTO delegations (id, tenant, giver, taker, roles, approval_id, from_ms, until_ms, reason)
VALUES (:id, :tenant, :giver, :taker, :roles, :approval_id, :from_ms, :until_ms, :reason)
ON CONFLICT (id) DO NOTHING;

-- name: delegations
-- Those of all approvals and of this one that have not run out.
SELECT id, tenant, giver, taker, roles, approval_id, from_ms, until_ms, reason FROM delegations
 WHERE tenant = :tenant AND approval_id IN ('', :approval_id) AND (until_ms IS NULL OR until_ms > :now_ms) ORDER BY id;

-- name: use_approval_link
INSERT INTO approval_links (id, approval_id, expires_ms) VALUES (:id, :approval_id, :expires_ms)
ON CONFLICT (id) DO NOTHING;
