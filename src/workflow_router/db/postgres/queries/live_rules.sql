-- name: remove_live_rule
DELETE FROM live_rules WHERE kind = :kind AND name = :name RETURNING name;
