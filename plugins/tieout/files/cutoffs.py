"""When each channel's accounting day ends: from the reference data in force, for parsers to ask."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final

import psycopg

from tieout import database
from tieout.channels.common.model import Cutoffs
from tieout.core.settings import Settings

__all__ = ["cutoffs"]

# The first files land before dbt has loaded it for the first time.
SEED: Final = Path("dbt_project/seeds/reference/channels.csv")


def cutoffs(settings: Settings, connection: psycopg.Connection[Any]) -> Cutoffs:
    """Return the cutoffs of `reference.channels`; of its seed where that is not loaded yet."""
    if database.has_table(connection, "reference.channels"):
        rows = connection.execute(
            "select channel, platform_cutoff_minutes, cutoff_minutes from reference.channels"
            " order by channel"
        ).fetchall()
    else:
        rows = _seeded(settings)
    return Cutoffs(
        platform={str(channel): int(platform) for channel, platform, _ in rows},
        channel={str(channel): int(own) for channel, _, own in rows},
    )


def _seeded(settings: Settings) -> list[tuple[Any, ...]]:
    with (settings.project_dir / SEED).open(encoding="utf-8", newline="") as stream:
        return [
            (row["channel"], row["platform_cutoff_minutes"], row["cutoff_minutes"])
            for row in csv.DictReader(stream)
        ]
