"""What UnionPay's files have in common: times without a year, card numbers, kinds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from tieout.channels.common.bill_dates import DayOfRecords
from tieout.channels.common.model import (
    BUSINESS_TIME_ZONE,
    FileContext,
    UnreadableFileError,
)
from tieout.channels.unionpay.fixed_width import FixedWidthBlock

__all__ = [
    "EFFECT_SIGNS",
    "PLAUSIBLE_AGE_DAYS",
    "TRANSACTION_TYPES",
    "blank_zeros",
    "card_columns",
    "check_kinds",
    "check_transmission_times",
    "original_dates",
    "original_settlement_dates",
    "require_keys",
    "required_date",
    "settlement_day",
    "transaction_types",
    "transmitted_at",
]

# (message type, first two digits of the processing code, POS condition) to our token.
# Sourced from three acquirers' programs (the page of ACOMN). A void's reversal, a completion void's
# reversal and 代付 (0200/29) have no token yet: they are bad rows, not guesses. POS condition 08
# (mail or telephone order) goes as 00 does (inferred: ISO 8583 field 25).
TRANSACTION_TYPES: Mapping[tuple[str, str, str], str] = {
    ("0200", "00", "00"): "purchase",
    ("0200", "00", "08"): "purchase",
    ("0220", "00", "00"): "purchase",
    ("0220", "00", "08"): "purchase",
    ("0420", "00", "00"): "reversal",
    ("0420", "00", "08"): "reversal",
    ("0200", "20", "00"): "void",
    ("0200", "20", "08"): "void",
    ("0220", "20", "00"): "refund",
    ("0220", "20", "08"): "refund",
    ("0220", "20", "69"): "refund",
    ("0100", "03", "06"): "pre_authorisation",
    ("0100", "20", "06"): "pre_authorisation",
    ("0420", "03", "06"): "pre_authorisation",
    ("0200", "00", "06"): "preauth_completion",
    ("0220", "00", "06"): "preauth_completion",
    ("0200", "20", "06"): "void",
    ("0420", "00", "06"): "reversal",
    ("0200", "30", "00"): "balance_inquiry",
}

# The direction of money from the merchant's side; 0 moves none.
EFFECT_SIGNS: Mapping[str, int] = {
    "purchase": 1,
    "preauth_completion": 1,
    "refund": -1,
    "void": -1,
    "reversal": -1,
    "pre_authorisation": 0,
    "balance_inquiry": 0,
}

# An offline record may be presented late; nothing is transmitted after its settlement day's end.
# 31 days is ours (no source states a limit): it tells a wrong date from a late record.
PLAUSIBLE_AGE_DAYS = 31
# On both sides, for the check of the whole file.
GRACE = timedelta(minutes=30)

BoolArray = npt.NDArray[np.bool_]


def required_date(context: FileContext) -> date:
    """Return the settlement date, which UnionPay writes into the name and nowhere else."""
    if context.accounting_date is None:
        raise UnreadableFileError(
            "no_date", "the settlement date is only in the file's name, and this name has none"
        )
    return context.accounting_date


def transmitted_at(transmission_times: pl.Series, settlement_date: date) -> pl.Series:
    """Return MMDDhhmmss as a time in Beijing; NULL where there is no such time.

    The year is the settlement date's; December in a file of January is the year before.
    """
    year = pl.lit(settlement_date.year)
    if settlement_date.month == 1:
        december = pl.col("time").str.slice(0, 2) == "12"
        year = pl.when(december).then(settlement_date.year - 1).otherwise(settlement_date.year)
    is_time = pl.col("time").str.contains("^[0-9]{10}$")
    text = pl.when(is_time).then(pl.concat_str([year.cast(pl.String), pl.col("time")]))
    parsed = text.str.to_datetime("%Y%m%d%H%M%S", strict=False, time_unit="us")
    localised = parsed.dt.replace_time_zone(
        BUSINESS_TIME_ZONE, ambiguous="earliest", non_existent="null"
    )
    return transmission_times.to_frame("time").select(localised.alias("transmitted_at")).to_series()


def check_transmission_times(
    block: FixedWidthBlock, times: pl.Series, settlement_date: date, *, days_after: int = 0
) -> None:
    """Flag times that are none, and times no record of this settlement date can have.

    A record is at most `PLAUSIBLE_AGE_DAYS` older than the date, and not later than `days_after`.
    """
    block.findings.flag(
        times.is_null(), "transmission_time", "not_a_time", "it has to be MMDDhhmmss"
    )
    local = times.dt.replace_time_zone(None)
    earliest = datetime.combine(settlement_date - timedelta(days=PLAUSIBLE_AGE_DAYS), time())
    latest = datetime.combine(settlement_date + timedelta(days=days_after + 1), time())
    outside = ((local < earliest) | (local >= latest)).fill_null(False)
    block.findings.flag(
        outside,
        "transmission_time",
        "implausible_date",
        f"no record settled on {settlement_date} is transmitted then",
    )


def settlement_day(
    settlement_date: date, cutoff: timedelta, *, days_after: int = 0
) -> DayOfRecords:
    """Return what counts whether the records lie in the settlement day of the name.

    `cutoff`: how long after its midnight UnionPay's day ends.
    """
    cut = datetime.combine(settlement_date, time()) + cutoff
    opens = cut - timedelta(days=1) - GRACE
    closes = cut + timedelta(days=days_after) + GRACE
    return DayOfRecords(opens, closes, "transmission_time")


def require_keys(block: FixedWidthBlock, texts: pl.DataFrame, names: tuple[str, ...]) -> None:
    """Flag records without a part of the key."""
    for name in names:
        block.findings.flag(
            texts[name].is_null(), name, "missing_key", f"{name} is blank; it is part of the key"
        )


def check_kinds(block: FixedWidthBlock, texts: pl.DataFrame, kinds: pl.Series) -> None:
    """Flag records whose message type, processing code and POS condition have no known meaning."""
    block.findings.flag(
        kinds.is_null(),
        "processing_code",
        "unknown_code",
        lambda position: (
            "no known kind of transaction: message type "
            f"{texts['message_type'][position]}, processing code "
            f"{texts['processing_code'][position]}, POS condition "
            f"{texts['pos_condition_code'][position]}"
        ),
    )


def transaction_types(texts: pl.DataFrame) -> pl.Series:
    """Return each record's transaction type; NULL where the combination is not known."""
    known = {"/".join(key): token for key, token in TRANSACTION_TYPES.items()}
    key = pl.concat_str(
        [
            pl.col("message_type"),
            pl.col("processing_code").str.slice(0, 2),
            pl.col("pos_condition_code"),
        ],
        separator="/",
    )
    token = key.replace_strict(
        list(known), list(known.values()), default=None, return_dtype=pl.String
    )
    return texts.select(token.alias("transaction_type")).to_series()


def card_columns(
    block: FixedWidthBlock,
    context: FileContext,
    *,
    is_required: bool = True,
    may_be_masked: bool = False,
) -> pl.DataFrame:
    """Return `card_token` and `card_mask`; the number itself stays in this function.

    A number the sender has masked (first six, stars, last four) has a mask and no token.
    """
    numbers = block.texts(["card_number"])["card_number"]
    is_card = numbers.str.contains("^[0-9]{13,19}$")
    is_masked = numbers.str.contains(r"^[0-9]{6}\*{3,9}[0-9]{4}$") & may_be_masked
    block.findings.flag(
        ~(is_card | is_masked).fill_null(not is_required),
        "card_number",
        "not_a_card_number",
        "it has to be 13 to 19 digits" + (", or masked" if may_be_masked else ""),
    )
    kept = numbers.to_frame("number").select(
        pl.when(pl.col("number").str.contains("^[0-9]{13,19}$")).then(pl.col("number"))
    )["number"]
    cards = kept.drop_nulls().unique().to_list()
    tokens = pl.DataFrame(
        {"number": cards, "card_token": context.vault.card_tokens(cards)},
        schema={"number": pl.String, "card_token": pl.String},
    )
    return (
        kept.to_frame()
        .join(tokens, on="number", how="left", maintain_order="left")
        .select("card_token", _mask("number").alias("card_mask"))
        .with_columns(pl.coalesce("card_mask", pl.when(is_masked).then(numbers)))
    )


def _mask(name: str) -> pl.Expr:
    """Return first six and last four, as `tieout.core.masks.mask_pan` does, for a whole column."""
    number = pl.col(name)
    stars = pl.lit("*" * 19).str.slice(0, number.str.len_bytes() - 10)
    return pl.concat_str([number.str.slice(0, 6), stars, number.str.tail(4)])


def blank_zeros(name: str) -> pl.Expr:
    """Return a reference that is NULL when it is written as zeros (there is no original)."""
    return pl.when(pl.col(name).str.contains("[^0]")).then(pl.col(name)).alias(name)


def original_settlement_dates(values: pl.Series, settlement_date: date) -> pl.Series:
    """Return MMDD as the latest such date that is not after the settlement date; NULL for none."""
    # The reader of dates alone would take a blank for a digit.
    text = pl.when(pl.col("value").str.contains("^[0-9]{4}$")).then(pl.col("value"))
    year = settlement_date.year
    candidates = [
        pl.concat_str([pl.lit(str(candidate)), text]).str.to_date("%Y%m%d", strict=False)
        for candidate in (year, year - 1)
    ]
    past = [pl.when(candidate <= settlement_date).then(candidate) for candidate in candidates]
    return values.to_frame("value").select(pl.coalesce(past).alias("date")).to_series()


def original_dates(block: FixedWidthBlock, texts: pl.DataFrame, settlement_date: date) -> pl.Series:
    """Return the date the original was settled; NULL where the record states none."""
    stated = texts.select(blank_zeros("original_settlement_date")).to_series()
    dates = original_settlement_dates(stated, settlement_date)
    block.findings.flag(
        stated.is_not_null() & dates.is_null(),
        "original_settlement_date",
        "not_a_date",
        "it has to be MMDD",
    )
    return dates.alias("original_settlement_date")
