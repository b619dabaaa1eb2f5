"""Numbers and names kept out of sight: tokens, keys, and the search for what leaked."""
