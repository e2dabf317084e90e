"""Owns the pattern's operators, one kind a file. Refuses to know of paths, fields and arrays: an operator sees one value."""
