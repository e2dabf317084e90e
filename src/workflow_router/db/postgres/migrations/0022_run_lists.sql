-- The latest runs of a status are found without walking over those of the others: a store has very many that completed.
DROP INDEX runs_by_workflow;
CREATE INDEX runs_by_workflow ON runs (tenant, workflow, status, id);
