"""Business dates: which dates there are, in what state they are, who works on one now."""
