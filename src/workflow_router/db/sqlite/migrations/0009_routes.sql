-- Routes that change while the router runs. stage: live, disabled, or deleted (back to what the project declares, if it
-- does). change: number of the change over all routes, in the order of commits.

CREATE TABLE routes (
  name          TEXT NOT NULL,
  version       INTEGER NOT NULL,
  change        INTEGER NOT NULL UNIQUE,
  specification TEXT NOT NULL,
  stage         TEXT NOT NULL,
  author        TEXT NOT NULL,
  created_ms    INTEGER NOT NULL,
  PRIMARY KEY (name, version)
) STRICT;

-- The number of the last change: whoever changes a route locks it.
CREATE TABLE route_changes (
  id     INTEGER PRIMARY KEY CHECK (id = 1),
  number INTEGER NOT NULL
) STRICT;
INSERT INTO route_changes (id, number) VALUES (1, 0);
