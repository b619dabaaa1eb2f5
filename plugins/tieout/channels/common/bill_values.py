"""Values of the wallets' bills: yuan, Beijing times, percentages, codes, people."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import polars as pl

from tieout.channels.common.amounts import minor_units
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import BUSINESS_TIME_ZONE, BlockFindings, Findings, Vault
from tieout.core.money import CURRENCY_EXPONENTS

__all__ = [
    "AMOUNT_MAX_MINOR",
    "OF_TWO_DECIMALS",
    "BalanceChain",
    "amounts_in_fen",
    "beijing_time",
    "check_codes",
    "fees_in_fen",
    "person_mask",
    "rate",
    "tokens",
    "whole_numbers",
]

# Ten billion yuan: no bill has a record above it, and the sum of millions of records stays inside
# 64 bits.
AMOUNT_MAX_MINOR = 10**12
# Currencies in which an amount with a point has two decimals, as these bills print them.
OF_TWO_DECIMALS = frozenset(code for code, digits in CURRENCY_EXPONENTS.items() if digits == 2)
_TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$"


def amounts_in_fen(
    texts: pl.DataFrame,
    names: Collection[str],
    findings: BlockFindings,
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
            _found(texts[name], "yuan with a point, exact to the fen: 1234.50"),
        )
        findings.flag(
            (amounts[name].abs() > AMOUNT_MAX_MINOR).fill_null(False),
            name,
            "implausible_amount",
            f"no single amount is above {AMOUNT_MAX_MINOR // 100} yuan",
        )
    return amounts.fill_null(0)


def fees_in_fen(texts: pl.Series, findings: BlockFindings) -> pl.DataFrame:
    """Return fees of yuan as `fee` in fen, and what that rounds away as `fee_rest`, fen / 1000.

    WeChat Pay settles each record's fee to the fen, half up, and prints it with five decimals; some
    bills print the fraction that was rounded away. A blank is 0.
    docs/decisions/0049-fees-below-a-fen.md
    """
    text = pl.col("fee")
    # So many digits that thousandths of a fen stay inside 64 bits.
    short = pl.when(text.str.contains(r"^[+-]?[0-9]{1,11}(?:\.|$)")).then(text)
    exact = texts.alias("fee").fill_null("0").to_frame().select(minor_units(short, exponent=5))
    thousandths = exact["fee"]
    findings.flag(
        thousandths.is_null(),
        "fee",
        "not_an_amount",
        _found(texts, "yuan with a point and at most five decimals: 0.60000"),
    )
    findings.flag(
        (thousandths.abs() > AMOUNT_MAX_MINOR * 1000).fill_null(False),
        "fee",
        "implausible_amount",
        f"no single fee is above {AMOUNT_MAX_MINOR // 100} yuan",
    )
    fees = exact.fill_null(0).select(
        fee=pl.col("fee").sign() * ((pl.col("fee").abs() + 500) // 1000),
        fee_rest=pl.col("fee"),
    )
    return fees.with_columns(pl.col("fee_rest") - pl.col("fee") * 1000)


def beijing_time(texts: pl.Series, findings: BlockFindings, *, required: bool = True) -> pl.Series:
    """Return yyyy-MM-dd HH:mm:ss as instants; a bad one is NULL and a finding."""
    # The reader of times alone would take blanks anywhere, and fewer or more digits.
    value = pl.col("value")
    local = pl.when(value.str.contains(_TIME)).then(value)
    times = (
        texts.to_frame("value")
        .select(local.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us"))
        .to_series()
        .dt.replace_time_zone(BUSINESS_TIME_ZONE, ambiguous="earliest", non_existent="null")
        .alias(texts.name)
    )
    wrong = times.is_null() if required else times.is_null() & texts.is_not_null()
    findings.flag(wrong, texts.name, "not_a_time", _found(texts, "yyyy-MM-dd HH:mm:ss"))
    return times


def whole_numbers(texts: pl.Series) -> pl.Series:
    """Return counts as Int32; NULL for what is none."""
    value = pl.col("value")
    count = pl.when(value.str.contains("^[0-9]{1,9}$")).then(value).cast(pl.Int32, strict=False)
    return texts.to_frame("value").select(count.alias(texts.name)).to_series()


def _found(texts: pl.Series, form: str) -> Callable[[int], str]:
    """Return the reason of a finding: what stands there, masked, and the form it has to have."""

    def reason(position: int) -> str:
        text = texts[position]
        shown = "it is blank" if text is None else f"found {masked_excerpt(text)[:40]!r}"
        return f"{shown}; it has to be {form}"

    return reason


def rate(percentages: pl.Series, findings: BlockFindings) -> pl.Series:
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
        rates.is_null(), percentages.name, "not_a_rate", _found(percentages, "a percentage: 0.60%")
    )
    return rates


def check_codes(
    values: pl.Series,
    known: Collection[str],
    findings: BlockFindings,
    *,
    where: pl.Series | None = None,
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


class BalanceChain:
    """Holds the balances of a whole day against one another, wherever its blocks end.

    In a whole day every row but one begins where another ends, in whatever order they are printed.
    """

    def __init__(self) -> None:
        self._rows: list[pl.DataFrame] = []

    def add(self, amounts: pl.Series, balances: pl.Series, line_numbers: Sequence[int]) -> None:
        """Add rows: signed amounts, and the balances that stand after them."""
        lines = pl.Series("line_number", line_numbers, dtype=pl.Int64)
        self._rows.append(
            pl.DataFrame({"before": balances - amounts, "after": balances, "line_number": lines})
        )

    def flag(self, findings: Findings) -> None:
        """Flag the rows that do not follow on any other row's balance."""
        if not self._rows:
            return
        rows = pl.concat(self._rows)
        starts = rows["before"].alias("balance").value_counts(name="start_count")
        ends = rows["after"].alias("balance").value_counts(name="end_count")
        loose = (
            starts.join(ends, on="balance", how="left")
            .with_columns(pl.col("start_count", "end_count").cast(pl.Int64).fill_null(0))
            .select("balance", loose_count=pl.col("start_count") - pl.col("end_count"))
            .filter(pl.col("loose_count") > 0)
        )
        if int(loose["loose_count"].sum()) > 1:
            findings.of_block(rows["line_number"].to_list()).flag(
                rows["before"].is_in(loose["balance"].to_list()),
                "balance",
                "balance_break",
                "the balance before this change is not the balance after any other",
            )
