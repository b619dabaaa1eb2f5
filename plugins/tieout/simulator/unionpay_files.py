"""UnionPay's files: ACOMN (transactions), AERRN (adjustments), ALFEE (brand fees).

Layouts as in docs/formats (500, 545 and 460 bytes, GBK, CRLF, no header, no trailer). Costs
follow the public tariff: issuer debit 0.35 % with a cap of 13 CNY, credit 0.45 %, network 0.0325
% a side with a cap of 3.25 CNY, each rounded half up to the fen; what a purchase paid is given
back on its reverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from tieout.simulator.events import (
    BALANCE_INQUIRY,
    EVENTS_PER_DAY,
    PRE_AUTHORISATION,
    PREAUTH_COMPLETION,
    PURCHASE,
    REFUND,
    REVERSAL,
    VOID,
)
from tieout.simulator.fixed_width import Records
from tieout.simulator.scenes import Adjustment
from tieout.simulator.texts import TRACE_NUMBERS, compact_dates, padded, timestamps
from tieout.simulator.world import (
    ACQUIRING_INSTITUTION_ID,
    FORWARDING_INSTITUTION_ID,
    ISSUER_INSTITUTION_ID,
    World,
)

ACOMN_BYTES = 500
AERRN_BYTES = 545
ALFEE_BYTES = 460
INQUIRY_FEE_MINOR = 10

# Widths of the fields; a field starts one blank after the one before.
ACOMN_WIDTHS = (
    *(11, 11, 6, 10, 19, 12, 12, 12, 4, 6, 4, 8, 15, 12, 2, 6, 11, 6, 2, 3, 12, 12, 12, 1, 3, 1, 1),
    *(10, 11, 1, 2, 2, 12, 14, 19, 2, 40, 4, 131),
)
_AERRN_WIDTHS = (
    *(3, 11, 11, 6, 10, 19, 12, 4, 6, 4, 8, 12, 2, 6, 11, 11, 6, 2, 3, 12, 12, 12, 12, 12, 12, 4),
    *(11, 19, 11, 19, 10, 3, 1, 1, 4, 12, 1, 2, 15, 11, 11, 11, 2, 40, 2, 1, 8, 24, 3, 1, 2, 46),
)
_ALFEE_WIDTHS = (
    *(11, 1, 2, 2, 1, 1, 4, 11, 11, 11, 11, 11, 11, 4, 6, 2, 6, 10, 19, 28, 28, 42, 8, 15, 12, 12),
    *(12, 12, 12, 13, 1, 99),
)
_MESSAGE_TYPES = {
    PURCHASE: ("0200", "000000", "00"),
    REFUND: ("0220", "200000", "00"),
    VOID: ("0200", "200000", "00"),
    REVERSAL: ("0420", "000000", "00"),
    PREAUTH_COMPLETION: ("0200", "000000", "06"),
    PRE_AUTHORISATION: ("0100", "030000", "06"),
    BALANCE_INQUIRY: ("0200", "300000", "00"),
}
_ADJUSTMENT_MESSAGES = {
    "E22": ("0220", "000000"),
    "E32": ("0220", "200000"),
    "E23": ("0422", "000000"),
    "E24": ("0220", "000000"),
    "E25": ("0422", "000000"),
    "E74": ("0220", "200000"),
    "E04": ("0620", "000000"),
    "E20": ("0220", "190000"),
    "E30": ("0220", "290000"),
}


def fields(widths: Sequence[int]) -> list[tuple[int, int]]:
    """Return (first byte, width) of each field: fields are joined by exactly one blank."""
    places = []
    start = 0
    for width in widths:
        places.append((start, width))
        start += width + 1
    return places


@dataclass(frozen=True)
class UnionpayDay:
    """UnionPay's files of one settlement date, and what it pays for them."""

    files: dict[str, bytes]
    records: pl.DataFrame
    adjustment_lines: tuple[tuple[Adjustment, str, int], ...]
    net_amount_minor: int


def acomn_name(day: date) -> str:
    """Return the inbox path of the transaction file."""
    return f"unionpay/{day:%Y%m%d}/IND{day:%y%m%d}01ACOMN"


def aerrn_name(day: date) -> str:
    """Return the inbox path of the adjustment file."""
    return f"unionpay/{day:%Y%m%d}/IND{day:%y%m%d}99AERRN"


def alfee_name(day: date) -> str:
    """Return the inbox path of the brand-fee file."""
    return f"unionpay/{day:%Y%m%d}/IND{day:%y%m%d}99ALFEE"


def write_day(
    world: World, day: date, events: pl.DataFrame, adjustments: Sequence[Adjustment]
) -> UnionpayDay:
    """Return the three files of a date; ``events`` are the channel's records of the date."""
    records = events.sort("channel_time", "event_no")
    costs = _costs(world, records)
    path = acomn_name(day)
    contents = {path: _acomn(world, records, costs)}
    alfee, brand_fees_minor = _alfee(world, records)
    contents[alfee_name(day)] = alfee
    ordered = sorted(adjustments, key=lambda item: (item.channel_time, item.key_no))
    contents[aerrn_name(day)] = _aerrn(world, ordered)
    money = costs["money"].to_numpy()
    cost = costs["payable"] - costs["receivable"] + costs["network"]
    adjusted = sum(
        item.funds_effect_minor + item.interchange_receivable_minor - item.interchange_payable_minor
        for item in ordered
    )
    lines = records.select("event_no").with_columns(
        channel_file=pl.lit(path),
        channel_line=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
    )
    return UnionpayDay(
        files=contents,
        records=lines,
        adjustment_lines=tuple(
            (item, aerrn_name(day), line) for line, item in enumerate(ordered, start=1)
        ),
        net_amount_minor=int(money.sum()) - int(cost.sum()) - brand_fees_minor + adjusted,
    )


def _costs(world: World, records: pl.DataFrame) -> pl.DataFrame:
    """Return money, interchange payable and receivable, and network fee of each record (fen)."""
    kinds = np.array(world.card_kinds)[records["card"].to_numpy()]
    regions = np.array(world.card_regions)[records["card"].to_numpy()]
    types = records["type"].to_numpy()
    moves = ~np.isin(types, [PRE_AUTHORISATION, BALANCE_INQUIRY])
    money = np.where(moves, records["channel_amount"].to_numpy(), 0)
    size = np.abs(money)
    debit = np.minimum((size * 35 + 5_000) // 10_000, 1_300)
    credit = (size * 45 + 5_000) // 10_000
    foreign = (size * 110 + 5_000) // 10_000
    interchange = np.where(regions == "foreign", foreign, np.where(kinds == "debit", debit, credit))
    network = np.minimum((size * 325 + 500_000) // 1_000_000, 325)
    return pl.DataFrame(
        {
            "money": money,
            "payable": np.where(money > 0, interchange, 0),
            "receivable": np.where(money < 0, interchange, 0),
            "network": np.where(
                types == BALANCE_INQUIRY, INQUIRY_FEE_MINOR, np.where(money < 0, -network, network)
            ),
        }
    )


def _message_table(place: int) -> list[str]:
    """Return one part (message type, processing code, condition code) by transaction type."""
    return [
        _MESSAGE_TYPES.get(kind, ("", "", ""))[place] for kind in range(len(_MESSAGE_TYPES) + 1)
    ]


def _moments(seconds: pl.Series) -> list[int]:
    """Return MMDDhhmmss as a number; 0 where there is none."""
    texts = timestamps(seconds, "%m%d%H%M%S")
    return texts.cast(pl.Int64).fill_null(0).to_list()


def _acomn(world: World, records: pl.DataFrame, costs: pl.DataFrame) -> bytes:
    """Return the transaction file."""
    out = Records(records.height, ACOMN_BYTES, fields(ACOMN_WIDTHS))
    types = records["type"].to_numpy()
    merchants = records["merchant"].to_numpy()
    cards = records["card"].to_numpy()
    trace = records["key_no"].to_numpy() % TRACE_NUMBERS
    original_trace = records["original_key_no"].fill_null(0).to_numpy() % TRACE_NUMBERS
    out.text(1, ACQUIRING_INSTITUTION_ID)
    out.text(2, FORWARDING_INSTITUTION_ID)
    out.digits(3, trace)
    out.digits(4, _moments(records["channel_time"]))
    out.lookup(5, world.card_numbers, cards)
    out.digits(6, np.abs(records["channel_amount"].to_numpy()))
    out.digits(7, np.zeros(records.height))
    out.digits(8, np.zeros(records.height), skip=1)
    out.lookup(9, _message_table(0), types)
    out.lookup(10, _message_table(1), types)
    out.lookup(11, [m.merchant_category_code for m in world.merchants], merchants)
    out.lookup(12, _terminals(world), merchants * 3 + records["terminal"].to_numpy())
    out.lookup(13, [m.merchant_id for m in world.merchants], merchants)
    out.digits(14, _retrieval_references(world, records["key_no"]))
    out.lookup(15, _message_table(2), types)
    out.digits(16, records["key_no"].to_numpy() * 7 % TRACE_NUMBERS)
    out.text(17, ISSUER_INSTITUTION_ID)
    out.digits(18, original_trace)
    out.text(19, "00")
    out.lookup(20, ["051", "071", "021", "031"], records["key_no"].to_numpy() % 4)
    out.digits(21, costs["receivable"].to_numpy())
    out.digits(22, costs["payable"].to_numpy())
    out.signed(23, costs["network"].to_numpy())
    out.text(24, "1")
    out.text(25, "000")
    out.text(26, "5")
    out.text(27, "0")
    out.digits(28, _moments(records["original_channel_time"]))
    out.text(29, ISSUER_INSTITUTION_ID)
    out.lookup(30, ["0", "1"], np.array(_foreign(world))[cards])
    out.text(31, "03")
    out.text(32, "00")
    out.digits(33, np.zeros(records.height), skip=1)
    out.text(34, "0000")
    out.text(36, "00")
    out.texts(37, _merchant_orders(world, records["order_no"]))
    out.text(38, "0401")
    return out.to_bytes()


def _terminals(world: World) -> list[str]:
    return [terminal for merchant in world.merchants for terminal in merchant.terminal_ids]


def _foreign(world: World) -> list[int]:
    return [int(region == "foreign") for region in world.card_regions]


def _retrieval_references(world: World, key_numbers: pl.Series) -> Any:
    """Return the 12-digit retrieval reference numbers: yymmdd of the key's day, trace number."""
    keys = key_numbers.to_numpy()
    last = int(keys.max(initial=0)) // EVENTS_PER_DAY
    days = [
        int(f"{world.first_date + timedelta(days=offset):%y%m%d}") for offset in range(last + 1)
    ]
    return np.array(days)[keys // EVENTS_PER_DAY] * TRACE_NUMBERS + keys % TRACE_NUMBERS


def _merchant_orders(world: World, order_numbers: pl.Series) -> list[str]:
    """Return the merchant's order numbers, as the platform prints them."""
    texts = pl.DataFrame(
        {"day": compact_dates(world.first_date, order_numbers), "order": padded(order_numbers, 9)}
    )
    return texts.select(pl.lit("M") + pl.col("day") + pl.col("order")).to_series().to_list()


def _alfee(world: World, records: pl.DataFrame) -> tuple[bytes, int]:
    """Return the brand-fee file and its sum (+ = we pay): foreign cards and every seventh one."""
    serials = records["card"].to_numpy()
    types = records["type"].to_numpy()
    amounts = records["channel_amount"].to_numpy()
    charged = (serials % 7 == 0) & ~np.isin(types, [PRE_AUTHORISATION, BALANCE_INQUIRY])
    rows = records.filter(pl.Series(charged))
    amounts = amounts[charged]
    serials = serials[charged]
    types = types[charged]
    merchants = rows["merchant"].to_numpy()
    size = np.maximum(1, (np.abs(amounts) * 2 + 5_000) // 10_000)
    fees = np.where(amounts >= 0, size, -size)
    out = Records(rows.height, ALFEE_BYTES, fields(_ALFEE_WIDTHS))
    out.text(2, "1")
    out.lookup(
        3, ["01", "02"], np.array([int(kind == "credit") for kind in world.card_kinds])[serials]
    )
    out.text(4, "03")
    out.text(5, "4")
    out.lookup(6, ["0", "1"], np.array(_foreign(world))[serials])
    out.lookup(7, [m.merchant_category_code for m in world.merchants], merchants)
    out.text(9, ACQUIRING_INSTITUTION_ID)
    out.text(10, FORWARDING_INSTITUTION_ID)
    out.text(11, ISSUER_INSTITUTION_ID)
    out.text(12, ISSUER_INSTITUTION_ID)
    out.text(13, ACQUIRING_INSTITUTION_ID)
    out.lookup(14, _message_table(0), types)
    out.lookup(15, _message_table(1), types)
    out.lookup(16, _message_table(2), types)
    out.digits(17, rows["key_no"].to_numpy() % TRACE_NUMBERS)
    out.digits(18, _moments(rows["channel_time"]))
    out.lookup(19, world.card_numbers, serials)
    out.digits(22, np.zeros(rows.height))
    out.lookup(23, _terminals(world), merchants * 3 + rows["terminal"].to_numpy())
    out.lookup(24, [m.merchant_id for m in world.merchants], merchants)
    out.digits(25, _retrieval_references(world, rows["key_no"]))
    out.digits(26, np.abs(amounts))
    out.signed(28, fees)
    out.text(31, "0")
    return out.to_bytes(), int(fees.sum())


def _aerrn(world: World, adjustments: Sequence[Adjustment]) -> bytes:
    """Return the adjustment file; fee records refer to no card, merchant or original."""
    count = len(adjustments)
    out = Records(count, AERRN_BYTES, fields(_AERRN_WIDTHS))
    none = -1

    def numbers(name: str) -> list[int]:
        return [getattr(item, name) or 0 for item in adjustments]

    def indices(name: str) -> Any:
        values = [getattr(item, name) for item in adjustments]
        return np.array([none if value is None else value for value in values], dtype=np.int64)

    merchants = indices("merchant")
    cards = indices("card")
    places = np.where(merchants < 0, none, merchants * 3 + indices("terminal"))
    original_times = pl.Series([item.original_channel_time for item in adjustments], dtype=pl.Int64)
    out.texts(1, [item.code for item in adjustments])
    out.text(2, ACQUIRING_INSTITUTION_ID)
    out.text(3, FORWARDING_INSTITUTION_ID)
    out.digits(4, np.array(numbers("key_no")) % TRACE_NUMBERS)
    out.digits(5, _moments(pl.Series(numbers("channel_time"), dtype=pl.Int64)))
    out.lookup(6, world.card_numbers, cards)
    out.digits(7, numbers("amount_minor"))
    out.texts(8, [_ADJUSTMENT_MESSAGES[item.code][0] for item in adjustments])
    out.texts(9, [_ADJUSTMENT_MESSAGES[item.code][1] for item in adjustments])
    out.lookup(10, [m.merchant_category_code for m in world.merchants], merchants)
    out.lookup(11, _terminals(world), places)
    out.texts(12, [_original_reference(world, item) for item in adjustments])
    out.text(13, "00")
    out.text(15, ISSUER_INSTITUTION_ID)
    out.text(16, ISSUER_INSTITUTION_ID)
    out.digits(17, np.array(numbers("original_key_no")) % TRACE_NUMBERS)
    out.text(18, "00")
    out.text(19, "000")
    out.digits(20, numbers("interchange_receivable_minor"))
    out.digits(21, numbers("interchange_payable_minor"))
    out.digits(24, np.zeros(count))
    out.digits(25, np.zeros(count))
    out.texts(26, [item.reason_code or None for item in adjustments])
    out.digits(31, _moments(original_times))
    out.text(32, "000")
    out.text(33, "5")
    out.text(34, "0")
    out.texts(35, [_original_settlement_date(world, item) for item in adjustments])
    out.digits(36, numbers("original_amount_minor"))
    out.lookup(37, ["0", "1"], np.where(cards < 0, none, np.array(_foreign(world))[cards]))
    out.text(38, "00")
    out.lookup(39, [m.merchant_id for m in world.merchants], merchants)
    out.text(40, ACQUIRING_INSTITUTION_ID)
    out.text(41, ISSUER_INSTITUTION_ID)
    out.text(43, "03")
    out.lookup(44, [f"测试商户{m.index + 1:06d}" for m in world.merchants], merchants)
    out.texts(49, [None if item.original_key_no is None else "S22" for item in adjustments])
    return out.to_bytes()


def _original_reference(world: World, item: Adjustment) -> str | None:
    """Return the retrieval reference number of the record an adjustment is about."""
    if item.original_key_no is None or item.original_day is None:
        return None
    day = world.first_date + timedelta(days=item.original_day)
    return f"{day:%y%m%d}{item.original_key_no % TRACE_NUMBERS:06d}"


def _original_settlement_date(world: World, item: Adjustment) -> str | None:
    """Return MMDD of the settlement date of the record an adjustment is about."""
    if item.original_day is None:
        return None
    return f"{world.first_date + timedelta(days=item.original_day):%m%d}"
