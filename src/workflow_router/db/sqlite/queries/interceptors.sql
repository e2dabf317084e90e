-- name: lock_interceptors
-- Whoever changes interceptors does so one after the other.
SELECT number FROM interceptor_changes WHERE id = 1;

-- name: insert_held
INSERT INTO held (id, at, subject, tenant, interceptor, version, place, verdict, run_id, mark, cause, correlation,
                  fields, changed, payload, status, on_due, due_ms, created_ms)
VALUES (:id, :at, :subject, :tenant, :interceptor, :version, :place, :verdict, :run_id, :mark, :cause, :correlation,
        :fields, :changed, :payload, 'open', :on_due, :due_ms, :created_ms)
ON CONFLICT (id) DO NOTHING;

-- name: settle_held
UPDATE held SET status = :status, fields = :fields, changed = :changed, settled_ms = :settled_ms,
       settled_by = :settled_by, reason = :reason, done = :done
 WHERE id = :id AND status = 'open';
