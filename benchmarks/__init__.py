"""Benchmarks: `python -m benchmarks.NAME [--quick]`. The last line each prints is one JSON object."""
