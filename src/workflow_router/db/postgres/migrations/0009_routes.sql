-- Routes that change while the router runs. stage: live, disabled, or deleted (back to what the project declares, if it
-- does). change: number of the change over all routes, in the order of commits.

CREATE TABLE routes (
  name          text NOT NULL,
  version       bigint NOT NULL,
  change        bigint NOT NULL UNIQUE,
  specification text NOT NULL,
  stage         text NOT NULL,
  author        text NOT NULL,
  created_ms    bigint NOT NULL,
  PRIMARY KEY (name, version)
);

-- The number of the last change: whoever changes a route locks it.
CREATE TABLE route_changes (
  id     bigint PRIMARY KEY CHECK (id = 1),
  number bigint NOT NULL
);
INSERT INTO route_changes (id, number) VALUES (1, 0);
