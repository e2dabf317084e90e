"""Durable runs: start, replay, journal, waits, rescue, and the chain round each step."""
