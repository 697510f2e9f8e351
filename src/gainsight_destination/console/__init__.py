"""The private port: health, metrics, the control API, and the web console. Pages work without script."""
