"""The formats of platform, channels and bank: bytes in, checked tables out.

One module a format. Parsers are pure: they read no clock, no database and no file; keys come in
through a `Vault`. What they cannot prove they report, they never repair it and never guess.
"""
