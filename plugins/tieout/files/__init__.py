"""Where files lie and which are owed: stores, opening what is encrypted, files others write."""
