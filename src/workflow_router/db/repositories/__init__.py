"""Storage verbs: each is a state transition within a unit of work, and records the audit entries that tell of it."""
