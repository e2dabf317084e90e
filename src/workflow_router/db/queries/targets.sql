-- name: claim_effect
-- Returns a row only if it was not claimed before.
INSERT INTO effects (tenant, id, claimed_ms) VALUES (:tenant, :id, :now_ms)
ON CONFLICT (tenant, id) DO NOTHING
RETURNING id;

-- name: forget_effects
DELETE FROM effects WHERE claimed_ms < :before_ms;

-- name: move_source_cursor
INSERT INTO source_cursors (source, position) VALUES (:source, :position)
ON CONFLICT (source) DO UPDATE SET position = excluded.position;

-- name: keep_chain
INSERT INTO mapping_chains (id, chain, made_ms) VALUES (:id, :chain, :now_ms)
ON CONFLICT (id) DO NOTHING;

-- name: chain
SELECT chain FROM mapping_chains WHERE id = :id;

-- name: forget_chains
DELETE FROM mapping_chains WHERE made_ms < :before_ms;
