"""Formats that land, checked as any other, and that no model reads (docs/formats/README.md).

Their files are kept, guarded and searchable; no amount of theirs reaches a statement. A parser
moves to its sender's room when a model begins to read its table.
"""
