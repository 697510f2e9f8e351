"""The public port: requests of Segment SDKs become entries of the event log, and only then a 200."""
