"""UnionPay FCP: fee collection and funds disbursement 收付费.

Format: docs/formats/unionpay-fcp.md.

Only the variant of UnionPay International is known, from one public tool; the domestic file is
taken to look the same, which is not verified. E20 and E30 mean what they do in AERRN; whether a fee
stands in both files is not known, so one of the same keys counts once.
"""

from __future__ import annotations

import polars as pl

from tieout.channels.unionpay.aerrn import ADJUSTMENT_CODES
from tieout.channels.unionpay.common import (
    blank_zeros,
    check_transmission_times,
    require_keys,
    transmitted_at,
)
from tieout.channels.unionpay.fields import check_codes, currency_codes, signed_minor
from tieout.channels.unionpay.fixed_width import FixedWidthBlock
from tieout.channels.unionpay.fixed_width_reading import FixedWidthReading
from tieout.channels.unionpay.institution_layouts import FCP

__all__ = ["FCP_CODES", "RAW_TABLE", "FcpReading"]

RAW_TABLE = "unionpay_fcp"

# 收费 and 付费; the tokens are AERRN's.
FCP_CODES = {code: ADJUSTMENT_CODES[code][0] for code in ("E20", "E30")}

_TEXTS = (
    "adjustment_code",
    "reason_code",
    "sending_institution_id",
    "sender_institution_id_2",
    "receiving_institution_id",
    "receiver_institution_id_2",
    "transmission_time",
    "trace_number",
)
_KEYS = (
    "sending_institution_id",
    "receiving_institution_id",
    "transmission_time",
    "trace_number",
)


class FcpReading(FixedWidthReading):
    """Reads `unionpay_fcp`: one row a record, minor units, + = the institution receives.

    The direction is the amount's own letter, C or D; it is not derived from the code.
    """

    table = RAW_TABLE
    layouts = (FCP,)
    total = "funds_effect_minor"

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        texts = block.texts(_TEXTS)
        require_keys(block, texts, _KEYS)
        check_codes(block, texts["adjustment_code"], FCP_CODES)
        times = transmitted_at(texts["transmission_time"], self.settlement_date)
        check_transmission_times(block, times, self.settlement_date)
        amounts = signed_minor(block, "amount")
        block.findings.flag(amounts == 0, "amount", "no_amount", "a fee without an amount is none")
        types = texts["adjustment_code"].replace_strict(
            list(FCP_CODES), list(FCP_CODES.values()), default=None, return_dtype=pl.String
        )
        return texts.with_columns(
            blank_zeros("reason_code"),
            pl.Series("line_number", block.line_numbers),
            times.alias("transmitted_at"),
            types.alias("adjustment_type"),
            currency_codes(block, "settlement_currency").alias("currency_code"),
            (-amounts).alias("funds_effect_minor"),
        )
