"""What is true about each simulated date, said by construction, for tests to compare Tieout with.

One folder per accounting date beside the inbox: ``results.csv`` (one row for every expected
reconciliation result), ``day.json`` (counts, catch-up postings, adjustments, expected arrivals).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from tieout.simulator.events import (
    CHANNELS,
    MANUAL_REFUND,
    NEVER,
    PRE_AUTHORISATION,
    TYPES,
)
from tieout.simulator.scenes import Adjustment
from tieout.simulator.texts import pick

RESULT_COLUMNS = (
    "outcome",
    "break_reason",
    "channel",
    "transaction_type",
    "voucher_id",
    "system_accounting_date",
    "channel_file",
    "channel_line",
    "channel_accounting_date",
    "system_amount_minor",
    "channel_amount_minor",
    "opened_on",
    "scene",
)


def expected_results(first_date: date, day: int, events: pl.DataFrame) -> pl.DataFrame:
    """Return the results of reconciling date ``day``.

    Args:
        first_date: Date of day 0.
        day: Number of the date.
        events: Events with a side on this date, with voucher_id, channel_file, channel_line.
    """
    in_pool = events.filter((pl.col("type") < MANUAL_REFUND) & ~pl.col("failed"))
    system_today = pl.col("platform_day") == day
    channel_today = pl.col("channel_day") == day
    pair = pl.col("open_outcome") == "one_sided_pair"
    paired_outcome = (
        pl.when(system_today & channel_today)
        .then(pl.lit("matched"))
        .when(system_today & (pl.col("channel_day") < day) & (pl.col("channel_day") != NEVER))
        .then(pl.lit("channel_resolved"))
        .when(channel_today & (pl.col("platform_day") < day) & (pl.col("platform_day") != NEVER))
        .then(pl.lit("system_resolved"))
        .otherwise("open_outcome")
    )
    is_pair = pair.fill_null(value=False)
    whole = in_pool.filter(~is_pair).with_columns(
        outcome=paired_outcome,
        shows_system=system_today | (pl.col("platform_day").is_between(0, day)),
        shows_channel=channel_today | (pl.col("channel_day").is_between(0, day)),
    )
    # An item's opening row shows only the side it stands on: the other side is not there yet.
    mismatched = in_pool.filter(is_pair)
    halves = [
        mismatched.with_columns(
            outcome=pl.lit(f"{side}_one_sided"),
            shows_system=pl.lit(side == "system"),
            shows_channel=pl.lit(side == "channel"),
        )
        for side in ("system", "channel")
    ]
    rows = pl.concat([whole, *halves])
    days = [first_date + timedelta(days=offset) for offset in range(day + 1)]
    day_texts = pl.Series([each.isoformat() for each in days])
    opened = (
        pl.when(pl.col("outcome") == "matched")
        .then(None)
        .when(pl.col("outcome") == "system_resolved")
        .then("platform_day")
        .when(pl.col("outcome") == "channel_resolved")
        .then("channel_day")
        .otherwise(pl.lit(day))
    )
    rows = rows.with_columns(opened_day=opened)

    def when_shown(column: str, shown: str) -> pl.Expr:
        return pl.when(shown).then(column)

    shown = rows.with_columns(
        system_day=when_shown("platform_day", "shows_system"),
        record_day=when_shown("channel_day", "shows_channel"),
    )
    is_opening = ~pl.col("outcome").is_in(["matched", "system_resolved", "channel_resolved"])
    return shown.select(
        pl.col("outcome"),
        break_reason=pl.when(is_opening).then("break_reason"),
        channel=pick(CHANNELS, shown["channel"]),
        transaction_type=pick(TYPES, shown["type"]),
        voucher_id=when_shown("voucher_id", "shows_system"),
        system_accounting_date=pick(day_texts, shown["system_day"]),
        channel_file=when_shown("channel_file", "shows_channel"),
        channel_line=when_shown("channel_line", "shows_channel"),
        channel_accounting_date=pick(day_texts, shown["record_day"]),
        system_amount_minor=when_shown("platform_amount", "shows_system"),
        channel_amount_minor=when_shown("channel_amount", "shows_channel"),
        opened_on=pick(day_texts, shown["opened_day"]),
        scene=pl.col("scene"),
    ).sort("channel", "outcome", "voucher_id", "channel_line", nulls_last=True)


def adjustment_truth(
    world_merchants: Sequence[Any],
    lines: Sequence[tuple[Adjustment, str, int]],
    vouchers: dict[int, str],
) -> list[dict[str, Any]]:
    """Return what each adjustment record has to become."""
    return [
        {
            "channel_file": path,
            "channel_line": line,
            "adjustment_code": item.code,
            "disposition": item.disposition,
            "funds_effect_minor": item.funds_effect_minor,
            "interchange_receivable_minor": item.interchange_receivable_minor,
            "interchange_payable_minor": item.interchange_payable_minor,
            "merchant_id": (
                None if item.merchant is None else world_merchants[item.merchant].merchant_id
            ),
            "voucher_id": (
                None if item.voucher_event_no is None else vouchers.get(item.voucher_event_no)
            ),
            "scene": item.scene,
        }
        for item, path, line in lines
    ]


def catch_up_voucher_ids(booked: pl.DataFrame) -> list[str]:
    """Return the vouchers with money that the platform left without an accounting voucher."""
    missing = booked.filter(
        ~pl.col("failed") & ~pl.col("posted") & (pl.col("type") < PRE_AUTHORISATION)
    )
    return missing["voucher_id"].to_list()


def write_day(
    truth_dir: Path, accounting_date: date, results: pl.DataFrame, facts: dict[str, Any]
) -> None:
    """Write the truth of one date."""
    folder = truth_dir / f"{accounting_date:%Y%m%d}"
    folder.mkdir(parents=True, exist_ok=True)
    results.select(RESULT_COLUMNS).write_csv(folder / "results.csv")
    write_json(folder / "day.json", facts)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, readable and in a fixed order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, ensure_ascii=False, indent=1, default=str)
    path.write_text(text + "\n", encoding="utf-8")
