-- Most runs are the root of what they cause, and are found by that: only entries of the other runs need an index of their own.
DROP INDEX audit_of_run;
CREATE INDEX audit_of_run ON audit_log (run_id) WHERE run_id IS NOT NULL AND run_id IS DISTINCT FROM correlation;
