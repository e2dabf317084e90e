"""The main job on real input, in one command: `wr demo`."""
