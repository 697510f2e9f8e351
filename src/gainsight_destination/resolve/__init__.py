"""Who is it, and on which account: duplicates, filters, identity and account resolution."""
