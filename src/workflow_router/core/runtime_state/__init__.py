"""Watching transitions, and asking people before something goes on."""
