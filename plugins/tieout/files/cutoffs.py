"""When each channel's accounting day ends: from the reference data in force, for parsers to ask."""

from __future__ import annotations

from typing import Any

import psycopg

from tieout import database
from tieout.channels.common.model import Cutoffs
from tieout.files.report import LandingError

__all__ = ["cutoffs"]


def cutoffs(connection: psycopg.Connection[Any]) -> Cutoffs:
    """Return the cutoffs of `reference.channels`.

    Raises:
        LandingError: the reference data is not loaded: a file's date could only be guessed.
    """
    if not database.has_table(connection, "reference.channels"):
        raise LandingError(
            what="no file can land yet",
            where="reference.channels",
            why="the reference data, which says when each channel's day ends, is not loaded",
            next_step="tieout close loads it before the first file",
        )
    rows = connection.execute(
        "select channel, platform_cutoff_minutes, cutoff_minutes from reference.channels"
        " order by channel"
    ).fetchall()
    return Cutoffs(
        platform={str(channel): int(platform) for channel, platform, _ in rows},
        channel={str(channel): int(own) for channel, _, own in rows},
    )
