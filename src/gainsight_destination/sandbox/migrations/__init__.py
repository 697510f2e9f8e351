"""Schema of the sandbox's SQLite file."""
