-- name: mapping_change
SELECT number FROM mapping_changes WHERE id = 1;

-- name: next_mapping_change
UPDATE mapping_changes SET number = number + 1 WHERE id = 1 RETURNING number;

-- name: last_mapping_versions
-- By name: the last version, and the last one of the project with what it says.
SELECT last.name, last.version, own.version, own.specification
  FROM (SELECT name, max(version) AS version, max(CASE WHEN origin = 'project' THEN version END) AS own
          FROM mappings GROUP BY name) AS last
  LEFT JOIN mappings AS own ON own.name = last.name AND own.version = last.own;

-- name: last_mapping_version
SELECT max(version) FROM mappings WHERE name = :name;

-- name: insert_mapping
INSERT INTO mappings (name, version, specification, author, created_ms, origin, stage, change)
VALUES (:name, :version, :specification, :author, :created_ms, :origin, :stage, :change);

-- name: mapping_history
SELECT name, version, specification, author, created_ms, origin, stage, change
  FROM mappings WHERE name = :name ORDER BY version;

-- name: mappings_changed
SELECT name, version, specification, author, created_ms, origin, stage, change
  FROM mappings WHERE change > :after AND change <= :until ORDER BY change LIMIT :limit;

-- name: project_mappings
SELECT name, version, specification, author, created_ms, origin, stage, change
  FROM mappings WHERE origin = 'project' AND name > :after ORDER BY name, version LIMIT :limit;

-- name: insert_mapping_set
INSERT INTO mapping_sets (members, digest) VALUES (:members, :digest) ON CONFLICT (digest) DO NOTHING;

-- name: mapping_set_of
SELECT number FROM mapping_sets WHERE digest = :digest;

-- name: mapping_set
SELECT members FROM mapping_sets WHERE number = :number;
