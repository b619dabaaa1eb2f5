"""From files in a store to rows in the database: whole files, checked, once."""

from __future__ import annotations

from tieout.files.expected import OwedFile, missing_files, problem_files
from tieout.files.report import FileOutcome, LandingError, LandingReport
from tieout.landing.corrections import reject, release
from tieout.landing.land import land
from tieout.landing.unpriced import UnpricedContract, unpriced_contracts

__all__ = [
    "FileOutcome",
    "LandingError",
    "LandingReport",
    "OwedFile",
    "UnpricedContract",
    "land",
    "missing_files",
    "problem_files",
    "reject",
    "release",
    "unpriced_contracts",
]
