"""Values of the wallets' bills: yuan, Beijing times, percentages, codes, people."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from tieout.channels.amounts import minor_units
from tieout.channels.excerpts import masked_excerpt
from tieout.channels.model import BUSINESS_TIME_ZONE, Findings, Vault

__all__ = [
    "AMOUNT_MAX_MINOR",
    "amounts_in_fen",
    "balance_breaks",
    "beijing_time",
    "check_codes",
    "person_mask",
    "rate",
    "repeated",
    "tokens",
]

# Ten billion yuan: no bill has a record above it, and the sum of millions of records stays inside
# 64 bits.
AMOUNT_MAX_MINOR = 10**12


def amounts_in_fen(
    texts: pl.DataFrame,
    names: Collection[str],
    findings: Findings,
    *,
    required: Collection[str] = (),
) -> pl.DataFrame:
    """Return amounts of yuan in fen as Int64; a blank is 0 unless required, a bad one a finding."""
    optional = [name for name in names if name not in required]
    amounts = texts.with_columns(pl.col(name).fill_null("0") for name in optional).select(
        minor_units(pl.col(name)).alias(name) for name in names
    )
    for name in names:
        findings.flag(
            amounts[name].is_null(),
            name,
            "not_an_amount",
            "it has to be yuan with a point, exact to the fen",
        )
        findings.flag(
            (amounts[name].abs() > AMOUNT_MAX_MINOR).fill_null(False),
            name,
            "implausible_amount",
            f"no single amount is above {AMOUNT_MAX_MINOR // 100} yuan",
        )
    return amounts.fill_null(0)


def beijing_time(texts: pl.Series, findings: Findings, *, required: bool = True) -> pl.Series:
    """Return yyyy-MM-dd HH:mm:ss as instants; a bad one is NULL and a finding."""
    times = texts.str.to_datetime(
        "%Y-%m-%d %H:%M:%S", strict=False, time_unit="us"
    ).dt.replace_time_zone(BUSINESS_TIME_ZONE, ambiguous="earliest", non_existent="null")
    wrong = times.is_null() if required else times.is_null() & texts.is_not_null()
    findings.flag(wrong, texts.name, "not_a_time", "it has to be yyyy-MM-dd HH:mm:ss")
    return times


def rate(percentages: pl.Series, findings: Findings) -> pl.Series:
    """Return 0.60% as the decimal 0.006, exactly."""
    number = pl.col("value").str.extract(r"^([0-9]{1,3}(?:\.[0-9]{1,6})?)%$")
    part = number.cast(pl.Decimal(20, 8)) / pl.lit("100").cast(pl.Decimal(20, 8))
    rates = (
        percentages.alias("value")
        .to_frame()
        .select(part.cast(pl.Decimal(20, 8)).alias(percentages.name))
        .to_series()
    )
    findings.flag(
        rates.is_null(), percentages.name, "not_a_rate", "it has to be a percentage: 0.60%"
    )
    return rates


def check_codes(
    values: pl.Series, known: Collection[str], findings: Findings, *, where: pl.Series | None = None
) -> None:
    """Flag the values that are none of the known codes; NULL is none."""
    unknown = ~values.is_in(list(known)).fill_null(False)
    findings.flag(
        unknown if where is None else where & unknown,
        values.name,
        "unknown_code",
        lambda position: (
            f"{masked_excerpt(str(values[position]))[:40]} is not a known {values.name}"
        ),
    )


def repeated(values: pl.Series) -> pl.Series:
    """Return True for each value that stood in an earlier row already; NULL repeats nothing."""
    return ~values.is_first_distinct() & values.is_not_null()


def tokens(values: pl.Series, vault: Vault, name: str) -> pl.Series:
    """Return one keyed token a person's id or account, each id asked for once; NULL stays NULL."""
    known = values.drop_nulls().unique().to_list()
    return values.replace_strict(
        known, vault.account_tokens(known), default=None, return_dtype=pl.String
    ).alias(name)


def person_mask(texts: pl.Series, name: str) -> pl.Series:
    """Return names and accounts such as 王*(138******00) for people's eyes.

    What the channel has masked, in the name and in the account, stays. Of anything else the first
    character is left.
    """
    text = pl.col("text")
    # Every part, the name and what stands in parentheses, has a star of its own.
    is_masked = text.str.contains(r"^[^(（]*\*[^(（]*(?:[(（][^)）]*\*[^)）]*[)）])?$")
    shortened = text.str.slice(0, 1) + pl.lit("***")
    return (
        texts.alias("text")
        .to_frame()
        .select(pl.when(is_masked).then(text).otherwise(shortened).alias(name))
        .to_series()
    )


def balance_breaks(amounts: pl.Series, balances: pl.Series) -> pl.Series:
    """Return True for rows that do not follow on any other row's balance.

    `amounts` are signed, `balances` stand after them. In a whole day every row but one begins
    where another ends, in whatever order they are printed; all False is such a day.
    """
    rows = pl.DataFrame({"before": balances - amounts, "after": balances})
    starts = rows["before"].alias("balance").value_counts(name="start_count")
    ends = rows["after"].alias("balance").value_counts(name="end_count")
    loose = (
        starts.join(ends, on="balance", how="left")
        .with_columns(pl.col("start_count", "end_count").cast(pl.Int64).fill_null(0))
        .select("balance", loose_count=pl.col("start_count") - pl.col("end_count"))
        .filter(pl.col("loose_count") > 0)
    )
    if int(loose["loose_count"].sum()) <= 1:
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(rows))
    return rows["before"].is_in(loose["balance"].to_list())
