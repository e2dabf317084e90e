"""The command line: `wr`."""
