"""The demo: real SDK traffic through a real server into the sandbox, and a check that all arrived where it should."""
