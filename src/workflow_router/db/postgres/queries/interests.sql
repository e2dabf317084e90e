-- name: keep_for_interest
-- Only while the run is interested.
INSERT INTO signals (id, tenant, run_id, name, value, cause, sent_ms)
SELECT :id, i.tenant, i.run_id, :name, :value, :cause::text, :sent_ms::bigint
  FROM interests AS i WHERE i.run_id = :run_id AND i.name = :interest AND i.tenant = :tenant
ON CONFLICT (tenant, id) DO NOTHING
RETURNING id;
