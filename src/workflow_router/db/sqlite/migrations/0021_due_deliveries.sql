-- A lease that ran out is made ready by a look every half second, which begins where the last one ended, so that nothing
-- walks over what was acknowledged since an old transaction began and cannot be cleaned away while it is open.

-- `checked_ms`: leases that ended up to then were made ready. `floor`: no delivery that is open has an earlier position.
ALTER TABLE subscriptions ADD COLUMN checked_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;

DROP INDEX deliveries_due;
CREATE INDEX deliveries_ready ON deliveries (subscription, due_ms, position) WHERE status = 'ready';
CREATE INDEX deliveries_leased ON deliveries (subscription, due_ms) WHERE status = 'leased';
