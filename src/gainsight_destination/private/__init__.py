"""The private port: health and metrics now; the console and the control API have their place here."""
