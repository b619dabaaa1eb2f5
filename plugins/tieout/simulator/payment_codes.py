"""With which digits the payment codes began that customers showed (付款码), and how many they had.

Some are not of the channel that the platform booked, so that there is something to find.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from tieout.simulator.events import ALIPAY, PURCHASE, QR_GATEWAY, WECHAT

__all__ = ["code_truth", "with_codes"]

# Every so many sales of a wallet were paid by a code; of the gateway all were.
_EVERY = 3
_OF_WECHAT, _OF_ALIPAY, _OF_NOBODY = (10, 6), (25, 6), (77, 1)
_DIGITS = 18


def with_codes(booked: pl.DataFrame) -> pl.DataFrame:
    """Return the records with `payment_code_prefix` and `payment_code_digits`."""
    wrong = _wrong(booked)
    said = [
        wrong[record["voucher_id"]][0] if record["voucher_id"] in wrong else _code(record)
        for record in booked.iter_rows(named=True)
    ]
    prefixes = [code[0] if code else None for code in said]
    digits = [code[1] if code else None for code in said]
    return booked.with_columns(
        pl.Series("payment_code_prefix", prefixes, dtype=pl.String),
        pl.Series("payment_code_digits", digits, dtype=pl.Int64),
    )


def code_truth(booked: pl.DataFrame) -> dict[str, str]:
    """Return which voucher has which finding."""
    return {voucher_id: finding for voucher_id, (_, finding) in _wrong(booked).items()}


def _code(record: dict[str, Any]) -> tuple[str, int] | None:
    if record["type"] != PURCHASE or record["failed"]:
        return None
    number = record["order_no"]
    if record["channel"] == QR_GATEWAY:
        first, count = _OF_WECHAT if number % 2 else _OF_ALIPAY
    elif number % _EVERY == 0 and record["channel"] in {WECHAT, ALIPAY}:
        first, count = _OF_WECHAT if record["channel"] == WECHAT else _OF_ALIPAY
    else:
        return None
    return str(first + number % count), _DIGITS


def _wrong(booked: pl.DataFrame) -> dict[str, tuple[tuple[str, int], str]]:
    """Return the day's wrong codes: another wallet's, nobody's, and one with too few digits."""
    wechat = [
        str(record["voucher_id"])
        for record in booked.iter_rows(named=True)
        if record["channel"] == WECHAT and _code(record) is not None
    ]
    faults = (
        ((str(_OF_ALIPAY[0]), _DIGITS), "other_channel"),
        ((str(_OF_NOBODY[0]), _DIGITS), "unknown_prefix"),
        ((str(_OF_WECHAT[0]), 12), "other_length"),
    )
    return dict(zip(wechat, faults, strict=False))
