"""Polars with one thread in a test's process: what it computes there are frames of ten rows.

With two workers on two cores its threads only wait for one another, a fifth of the processor's time
of a parser's test. Polars reads the variable while it is imported, so this module comes before it.
The program itself, where a test starts it, runs without.
"""

from __future__ import annotations

import os

__all__ = ["VARIABLE"]

VARIABLE = "POLARS_MAX_THREADS"
os.environ.setdefault(VARIABLE, "1")
