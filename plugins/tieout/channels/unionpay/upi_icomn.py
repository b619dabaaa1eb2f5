"""UPI ICOMN: cross-border transactions of UnionPay International.

Format: docs/formats/unionpay-upi-icomn.md.

Names come from one public tool, places from its two records. The record carries both sides of the
exchange, so its settlement amount can be held against its rate.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from tieout.channels.unionpay.acomn import RESPONSE_CODES
from tieout.channels.unionpay.common import (
    PLAUSIBLE_AGE_DAYS,
    blank_zeros,
    card_columns,
    check_kinds,
    check_transmission_times,
    original_settlement_dates,
    require_keys,
    transaction_types,
    transmitted_at,
)
from tieout.channels.unionpay.field_runs import KEYS_OF_MERCHANT, MESSAGE_TEXTS
from tieout.channels.unionpay.fields import (
    check_codes,
    check_same_day,
    currency_codes,
    signed_minor,
    unsigned_minor,
)
from tieout.channels.unionpay.fixed_width import FixedWidthBlock
from tieout.channels.unionpay.fixed_width_reading import FixedWidthReading
from tieout.channels.unionpay.institution_layouts import UPI_ICOMN
from tieout.core.money import CURRENCY_EXPONENTS

__all__ = ["FX_TOLERANCE_MINOR", "RAW_TABLE", "UpiIcomnReading"]

RAW_TABLE = "unionpay_upi_icomn"

# Half up explains both known records to the unit; one unit is left for another rounding.
FX_TOLERANCE_MINOR = 1
# A rate is one digit for its number of decimals and seven digits.
RATE_DECIMALS_MAX = 9
RATE_TYPE = pl.Decimal(17, RATE_DECIMALS_MAX)

_TEXTS = (
    *MESSAGE_TEXTS,
    "original_trace_number",
)


class UpiIcomnReading(FixedWidthReading):
    """Reads `unionpay_upi_icomn`: one row a record, amounts unsigned as written.

    Each amount is in minor units of its own currency. The direction of a record follows from its
    transaction type; fees with a sign are + where it is D, − where it is C.
    """

    table = RAW_TABLE
    layouts = (UPI_ICOMN,)
    total = "settlement_amount_minor"

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        settlement_date = self.settlement_date
        texts = block.texts(_TEXTS)
        require_keys(block, texts, KEYS_OF_MERCHANT)
        kinds = transaction_types(texts)
        check_kinds(block, texts, kinds)
        check_codes(block, texts["response_code"], RESPONSE_CODES)
        times = transmitted_at(texts["transmission_time"], settlement_date)
        check_transmission_times(block, times, settlement_date)
        check_same_day(block, "settlement_date", settlement_date, "%m%d")
        frame = texts.with_columns(
            blank_zeros("original_trace_number"),
            pl.Series("line_number", block.line_numbers),
            times.alias("transmitted_at"),
            kinds.alias("transaction_type"),
            _exchange_dates(block, settlement_date),
            *_money(block),
        ).hstack(card_columns(block, self.context))
        _check_exchange(block, frame)
        return frame


def _exchange_dates(block: FixedWidthBlock, settlement_date: date) -> pl.Series:
    """Return the date of each record's rate: the latest such MMDD up to the settlement date."""
    dates = original_settlement_dates(
        block.texts(["exchange_date"])["exchange_date"], settlement_date
    )
    block.findings.flag(dates.is_null(), "exchange_date", "not_a_date", "it has to be MMDD")
    age_days = (pl.lit(settlement_date) - pl.col("date")).dt.total_days()
    too_old = dates.to_frame("date").select(age_days > PLAUSIBLE_AGE_DAYS).to_series()
    block.findings.flag(
        too_old.fill_null(False),
        "exchange_date",
        "implausible_date",
        f"no record settled on {settlement_date} has a rate of then",
    )
    return dates.alias("exchange_date")


def _money(block: FixedWidthBlock) -> list[pl.Series]:
    transaction_amount = unsigned_minor(block, "transaction_amount")
    settlement_amount = unsigned_minor(block, "settlement_amount")
    return [
        currency_codes(block, "transaction_currency").alias("transaction_currency_code"),
        transaction_amount,
        # `currency_code` is what the channel settles in, as in the other raw tables.
        currency_codes(block, "settlement_currency").alias("currency_code"),
        settlement_amount,
        _rates(block, "settlement_rate"),
        currency_codes(block, "billing_currency", may_be_blank=True).alias("billing_currency_code"),
        unsigned_minor(block, "billing_amount", blank_is_zero=True),
        _rates(block, "billing_rate"),
        unsigned_minor(block, "fee_receivable", blank_is_zero=True),
        unsigned_minor(block, "fee_payable", blank_is_zero=True),
        signed_minor(block, "signed_fee_1"),
        signed_minor(block, "signed_fee_2"),
    ]


def _rates(block: FixedWidthBlock, name: str) -> pl.Series:
    """Return rates as exact decimals: 78442003 is 0.8442003; blanks and zeros are NULL."""
    texts = block.texts([name])[name]
    is_rate = pl.col("rate").str.contains("^[0-9]{8}$")
    bad = texts.to_frame("rate").select(~is_rate).to_series().fill_null(False)
    block.findings.flag(
        bad, name, "not_a_rate", "it has to be the number of decimals and seven digits"
    )
    whole_digits = RATE_DECIMALS_MAX + 1 - pl.col("rate").str.head(1).cast(pl.Int64, strict=False)
    digits = pl.col("rate").str.slice(1).str.zfill(RATE_DECIMALS_MAX + 1)
    number = pl.concat_str(
        [digits.str.slice(0, whole_digits), pl.lit("."), digits.str.slice(whole_digits)]
    )
    is_stated = is_rate & pl.col("rate").str.slice(1).str.contains("[1-9]")
    rates = pl.when(is_stated).then(number).cast(RATE_TYPE, strict=False)
    return texts.to_frame("rate").select(rates.alias(name)).to_series()


def _check_exchange(block: FixedWidthBlock, frame: pl.DataFrame) -> None:
    """Flag records whose settlement amount is not the transaction's times the rate, half up.

    In whole numbers of 128 bits: an amount has 12 digits, a rate 7. Where both currencies are one
    the rate may be left out. That minor units of other sizes (JPY has none) are scaled before the
    rate applies is inferred: both known records have two decimals on either side.
    """
    exponents = list(CURRENCY_EXPONENTS.values())
    digits = [
        pl.col(name).replace_strict(
            list(CURRENCY_EXPONENTS), exponents, default=None, return_dtype=pl.Int64
        )
        for name in ("transaction_currency_code", "currency_code")
    ]
    is_one_currency = pl.col("transaction_currency_code") == pl.col("currency_code")
    rate = (
        pl.when(is_one_currency & pl.col("settlement_rate").is_null())
        .then(pl.lit(1, dtype=RATE_TYPE))
        .otherwise(pl.col("settlement_rate"))
    )
    # The rate's digits without its point, over 10 to its decimals and to the gap of the exponents.
    scaled_rate = rate.cast(pl.String).str.replace(".", "", literal=True).cast(pl.Int128)
    product = pl.col("transaction_amount_minor").cast(pl.Int128) * scaled_rate
    scale = RATE_DECIMALS_MAX + digits[0] - digits[1]
    powers = {power: 10**power for power in range(2 * RATE_DECIMALS_MAX)}
    divisor = scale.replace_strict(
        list(powers), list(powers.values()), default=None, return_dtype=pl.Int64
    ).cast(pl.Int128)
    expected = (2 * product + divisor) // (2 * divisor)
    gap = (pl.col("settlement_amount_minor") - expected).abs()
    known = frame.select(
        (gap > FX_TOLERANCE_MINOR).alias("differs"),
        rate.is_null().alias("has_no_rate"),
    )
    block.findings.flag(
        known["has_no_rate"],
        "settlement_rate",
        "no_rate",
        "two currencies need a rate between them",
    )
    block.findings.flag(
        known["differs"].fill_null(False),
        "settlement_amount",
        "wrong_exchange",
        "it is not the transaction amount times the settlement rate, rounded half up",
    )
