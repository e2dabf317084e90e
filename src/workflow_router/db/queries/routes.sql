-- name: count_route_change
UPDATE route_changes SET number = :number WHERE id = 1;

-- name: last_route_version
SELECT max(version) FROM routes WHERE name = :name;

-- name: insert_route
INSERT INTO routes (name, version, change, specification, stage, author, created_ms)
VALUES (:name, :version, :change, :specification, :stage, :author, :created_ms);

-- name: routes_changed
SELECT name, version, change, specification, stage, author, created_ms
  FROM routes WHERE change > :after ORDER BY change LIMIT :limit;

-- name: route_history
SELECT name, version, change, specification, stage, author, created_ms
  FROM routes WHERE name = :name ORDER BY version;
