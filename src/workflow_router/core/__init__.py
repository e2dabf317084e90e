"""The engines and the words. Imports no database, HTTP library or web framework: it states what it needs in ports."""
