-- What an approval says besides its roles and quorum, what is approved and its hash, and when something falls due.
ALTER TABLE approvals ADD COLUMN policy TEXT NOT NULL DEFAULT '{}';
ALTER TABLE approvals ADD COLUMN progress TEXT NOT NULL DEFAULT '{}';
ALTER TABLE approvals ADD COLUMN subject TEXT NOT NULL DEFAULT 'null';
ALTER TABLE approvals ADD COLUMN hash TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN correlation TEXT;
ALTER TABLE approvals ADD COLUMN next_ms BIGINT;
CREATE INDEX approvals_next ON approvals (next_ms) WHERE status = 'open' AND next_ms IS NOT NULL;
CREATE INDEX approvals_run ON approvals (run_id) WHERE status = 'open';

-- Who lets somebody else decide: for one approval, or for all of them within a span of time (approval_id is empty).
CREATE TABLE delegations (
  id          TEXT PRIMARY KEY,
  tenant      TEXT NOT NULL,
  giver       TEXT NOT NULL,
  taker       TEXT NOT NULL,
  roles       TEXT NOT NULL,
  approval_id TEXT NOT NULL,
  from_ms     BIGINT NOT NULL,
  until_ms    BIGINT,
  reason      TEXT NOT NULL
);
CREATE INDEX delegations_of ON delegations (tenant, approval_id);

-- Signed links that were used; each is used once. A row stays until its link has expired anyway.
CREATE TABLE approval_links (
  id          TEXT PRIMARY KEY,
  approval_id TEXT NOT NULL,
  expires_ms  BIGINT NOT NULL
);
CREATE INDEX approval_links_expired ON approval_links (expires_ms);
