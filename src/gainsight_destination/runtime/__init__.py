"""The processes of `serve`: who starts whom, who stops whom, and what they tell each other."""
