"""One module for each room of the console: what it shows and what can be done there."""
