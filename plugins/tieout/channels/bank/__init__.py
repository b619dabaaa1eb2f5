"""What banks send: camt.053 and camt.054, MT940, CSV in the layouts of each bank."""
