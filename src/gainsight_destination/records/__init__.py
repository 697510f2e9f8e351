"""What each destination should hold: records, the messages that wait for them, and the books that balance."""
