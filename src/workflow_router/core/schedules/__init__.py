"""Schedules: moments of the calendar or of an interval, each of which becomes an event, once."""
