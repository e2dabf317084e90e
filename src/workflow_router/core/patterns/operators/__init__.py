"""Owns the pattern's operators, one kind a file. Refuses to know of paths and arrays: an operator sees one value."""
