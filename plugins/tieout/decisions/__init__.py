"""What two people decide: terms, open items, bank lines, a payment undone."""
