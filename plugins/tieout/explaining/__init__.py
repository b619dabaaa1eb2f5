"""Why the balance equation of an arrival group does not close: named causes with rows, or none."""

from __future__ import annotations

from tieout.explaining import telling
from tieout.explaining.causes import CAUSES, Cause
from tieout.explaining.facts import Facts, Group, Row
from tieout.explaining.ranking import Candidate, Explanation, Part, explain
from tieout.explaining.reading import read_facts
from tieout.explaining.telling import as_dict, told

__all__ = [
    "CAUSES",
    "Candidate",
    "Cause",
    "Explanation",
    "Facts",
    "Group",
    "Part",
    "Row",
    "as_dict",
    "explain",
    "read_facts",
    "telling",
    "told",
]
