"""Who may use the private port: people and their passwords, sessions, API tokens, one-time links, and what they did."""
