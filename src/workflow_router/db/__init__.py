"""Durable state on SQLite or PostgreSQL behind the same repositories."""
