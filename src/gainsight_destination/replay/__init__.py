"""Replays as a person deals with them: previewed, started, paused, resumed, cancelled, and told about."""
