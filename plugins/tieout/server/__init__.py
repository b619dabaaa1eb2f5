"""The embedded PostgreSQL: its binaries, its account, its start and stop."""
