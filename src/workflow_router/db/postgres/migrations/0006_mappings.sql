-- Mappings that change while the router runs, and what each event was decided by.

ALTER TABLE events ADD COLUMN decision text NOT NULL DEFAULT '{}';

-- origin: project (file or code), api, or override (of one that the project declares).
-- stage: live, canary, shadow, disabled or deleted. change: number of the change; 0 for the project's, which each process
-- has from its own files.
ALTER TABLE mappings ADD COLUMN origin text NOT NULL DEFAULT 'project';
ALTER TABLE mappings ADD COLUMN stage text NOT NULL DEFAULT 'live';
ALTER TABLE mappings ADD COLUMN change bigint NOT NULL DEFAULT 0;
CREATE INDEX mappings_changed ON mappings (change) WHERE change > 0;

-- The number of the last change: whoever changes a mapping locks it, so numbers are committed in order.
CREATE TABLE mapping_changes (
  id     bigint PRIMARY KEY CHECK (id = 1),
  number bigint NOT NULL
);
INSERT INTO mapping_changes (id, number) VALUES (1, 0);

-- What a project declared at one time, as JSON of [name, version]; events refer to it by number.
CREATE TABLE mapping_sets (
  number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  members text NOT NULL,
  digest  text NOT NULL UNIQUE
);
