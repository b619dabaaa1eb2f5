"""From where files are made to the inbox: asked for, proven whole, put in their place."""

from __future__ import annotations

from tieout.fetching.fetch import Tools, fetch, lacking
from tieout.fetching.report import FetchError, FetchOutcome, FetchReport
from tieout.fetching.sources import read_sources, sources_path

__all__ = [
    "FetchError",
    "FetchOutcome",
    "FetchReport",
    "Tools",
    "fetch",
    "lacking",
    "read_sources",
    "sources_path",
]
