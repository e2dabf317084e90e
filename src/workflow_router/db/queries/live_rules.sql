-- name: put_live_rule
INSERT INTO live_rules (kind, name, specification) VALUES (:kind, :name, :specification)
ON CONFLICT (kind, name) DO UPDATE SET specification = excluded.specification;

-- name: live_rules
SELECT name, specification FROM live_rules WHERE kind = :kind ORDER BY name;

-- name: count_live_change
INSERT INTO live_changes (kind, number) VALUES (:kind, 1)
ON CONFLICT (kind) DO UPDATE SET number = live_changes.number + 1;

-- name: live_change
SELECT number FROM live_changes WHERE kind = :kind;
