"""Takes archives in: what Segment or others kept as files goes to the event log as if it had been received."""
