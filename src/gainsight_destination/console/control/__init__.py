"""The control API: what the console can do, for scripts."""
