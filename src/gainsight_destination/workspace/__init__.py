"""The configuration: sources, destinations, connections. Changed only through `service`; the engine reads snapshots."""
