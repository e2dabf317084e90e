"""Who may do what: identities, scopes, roles, API keys, and the refusals that are told to the audit log."""
