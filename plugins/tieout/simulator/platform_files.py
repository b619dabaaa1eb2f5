"""The platform's CSV files (docs/formats/platform.md), columns as in platform_schema.json."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

import polars as pl

from tieout.simulator.events import CHANNELS, TYPES, UNIONPAY, UPI
from tieout.simulator.payment_codes import with_codes
from tieout.simulator.scenes import NO_CHANNEL_REFERENCE
from tieout.simulator.stated_fees import stated_fees
from tieout.simulator.texts import pick, timestamps, with_references
from tieout.simulator.upi_files import QUOTED_RATE, SETTLED_IN, SOLD_IN
from tieout.simulator.world import (
    ACQUIRING_INSTITUTION_ID,
    FORWARDING_INSTITUTION_ID,
    Row,
    World,
    advance_rows,
    contract_rows,
    fee_rate_rows,
    freeze_rows,
    payee_rows,
)

# That of `merchant_payable` in the chart of accounts that comes with the program.
MERCHANT_SUBJECT_CODE = "224101"
_TIMESTAMP = "%Y-%m-%dT%H:%M:%S+08:00"


@cache
def schema() -> dict[str, Any]:
    """Return the platform's file schema."""
    schema_file = files("tieout.channels.platform").joinpath("platform_schema.json")
    text = schema_file.read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def column_names(file_kind: str) -> list[str]:
    """Return the ordered columns of a file kind, without those that may be left out."""
    columns = schema()["file_kinds"][file_kind]["columns"]
    return [column["name"] for column in columns if not column.get("optional")]


def file_path(file_kind: str, accounting_date: date) -> str:
    """Return the inbox path of a platform file."""
    template: str = schema()["file_kinds"][file_kind]["file_name"]
    return template.format(yyyymmdd=f"{accounting_date:%Y%m%d}")


def number_vouchers(accounting_date: date, booked: pl.DataFrame) -> pl.DataFrame:
    """Return the platform's records of a date in file order, with voucher id and line number."""
    stamp = f"{accounting_date:%Y%m%d}"
    ordered = booked.sort("platform_time", "event_no").with_row_index("row", offset=1)
    return ordered.with_columns(
        voucher_id=pl.concat_str([pl.lit(f"V{stamp}"), pl.col("row").cast(pl.String).str.zfill(8)]),
        platform_line=pl.col("row").cast(pl.Int64) + 1,
    ).drop("row")


def source_vouchers(world: World, accounting_date: date, booked: pl.DataFrame) -> bytes:
    """Return the file of source vouchers; ``booked`` comes from ``number_vouchers``."""
    records = with_references(world.first_date, booked)
    if world.shows_codes:
        records = with_codes(records)
    is_unionpay = pl.col("channel").is_in([UNIONPAY, UPI])
    is_foreign = pl.col("channel") == UPI
    terminals = [
        merchant.terminal_ids[number] for merchant in world.merchants for number in range(3)
    ]
    columns = records.with_columns(
        accounting_date=pl.lit(accounting_date.isoformat()),
        transaction_at=timestamps(records["platform_time"], _TIMESTAMP),
        transaction_type=pick(TYPES, records["type"]),
        transaction_status=pl.when("failed").then(pl.lit("failed")).otherwise(pl.lit("success")),
        merchant_id=pick([m.merchant_id for m in world.merchants], records["merchant"]),
        account_id=pick([m.account_id for m in world.merchants], records["merchant"]),
        terminal_id=pick(terminals, records["merchant"] * 3 + records["terminal"]),
        channel=pick(CHANNELS, records["channel"]),
        currency_code=pl.when(is_foreign).then(pl.lit(SOLD_IN)).otherwise(pl.lit("CNY")),
        settlement_currency_code=pl.when(is_foreign).then(pl.lit(SETTLED_IN)),
        quoted_exchange_rate=pl.when(is_foreign).then(pl.lit(QUOTED_RATE)),
        amount_minor=pl.col("platform_amount"),
        card_kind=pick(world.card_kinds, records["card"]).fill_null("none"),
        card_region=pick(world.card_regions, records["card"]).fill_null("none"),
        card_token=pick(world.card_tokens, records["card"]),
        acquiring_institution_id=pl.when(is_unionpay).then(pl.lit(ACQUIRING_INSTITUTION_ID)),
        forwarding_institution_id=pl.when(is_unionpay).then(pl.lit(FORWARDING_INSTITUTION_ID)),
        channel_order_id=pl.when(pl.col("scene").ne_missing(NO_CHANNEL_REFERENCE)).then(
            "channel_order_id"
        ),
        original_transaction_at=timestamps(records["original_time"], _TIMESTAMP),
        original_amount_minor=pl.col("original_amount"),
        original_refunded_before_minor=pl.col("refunded_before"),
        is_late_order=pl.when("late_order").then(pl.lit("true")).otherwise(pl.lit("false")),
    )
    names = column_names("source_vouchers")
    if world.shows_codes:
        names += ["payment_code_prefix", "payment_code_digits"]
    if world.has_foreign_cards:
        names += ["settlement_currency_code", "quoted_exchange_rate"]
    body = columns.select(names).write_csv()
    return _with_trailer(body, records.height, int(records["platform_amount"].sum()))


def accounting_vouchers(world: World, accounting_date: date, booked: pl.DataFrame) -> bytes:
    """Return the file of accounting vouchers: of every posted record among ``booked``."""
    posted = booked.filter("posted")
    columns = posted.select(
        accounting_voucher_id=pl.lit("B") + pl.col("voucher_id").str.slice(1),
        accounting_date=pl.lit(accounting_date.isoformat()),
        source_voucher_id=pl.col("voucher_id"),
        account_id=pick([m.account_id for m in world.merchants], posted["merchant"]),
        currency_code=pl.when(pl.col("channel") == UPI)
        .then(pl.lit(SOLD_IN))
        .otherwise(pl.lit("CNY")),
        amount_minor=pl.col("platform_amount"),
        booked_at=timestamps(posted["platform_time"] + 1, _TIMESTAMP),
    )
    names = column_names("accounting_vouchers")
    if world.states_fees:
        columns = columns.with_columns(
            fee_minor=pl.Series(stated_fees(world, posted)),
            transaction_type=pick(TYPES, posted["type"]),
            direction=pl.when(posted["platform_amount"] > 0)
            .then(pl.lit("credit"))
            .otherwise(pl.lit("debit")),
            subject_code=pl.lit(MERCHANT_SUBJECT_CODE),
        )
        names += ["fee_minor", "transaction_type", "direction", "subject_code"]
    body = columns.select(names).write_csv()
    return _with_trailer(body, posted.height, int(posted["platform_amount"].sum()))


def snapshot_files(
    world: World, accounting_date: date, opening_balances: Sequence[Row]
) -> dict[str, bytes]:
    """Return the date's snapshot files by path; opening balances only with the first date."""
    window: list[Row] = [
        {
            "first_accounting_date": world.first_date,
            "last_accounting_date": world.last_date,
        }
    ]
    contents: dict[str, Sequence[Row]] = {
        "contracts": contract_rows(world),
        "fee_rates": fee_rate_rows(world),
        "payees": payee_rows(world),
        "advances": advance_rows(world, accounting_date),
        "freezes": freeze_rows(world, accounting_date),
        "operating_window": window,
    }
    if accounting_date == world.first_date:
        contents["opening_balances"] = opening_balances
    return {
        file_path(kind, accounting_date): rows_file(kind, rows) for kind, rows in contents.items()
    }


def rows_file(file_kind: str, rows: Sequence[Row]) -> bytes:
    """Return a platform file from rows; None is an empty field.

    A column that may be left out is there where the rows have it.
    """
    columns = schema()["file_kinds"][file_kind]["columns"]
    names = [
        column["name"]
        for column in columns
        if not column.get("optional") or (rows and column["name"] in rows[0])
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    control_column = schema()["file_kinds"][file_kind]["control_total_column"]
    total = None
    if control_column is not None:
        total = sum(int(str(row[control_column])) for row in rows)
    return _with_trailer(text.getvalue(), len(rows), total)


def trailer(row_count: int, total_minor: int | None) -> str:
    """Return the last line of a platform file."""
    return f"#rows={row_count};amount_minor_sum={'' if total_minor is None else total_minor}\n"


def _with_trailer(body: str, row_count: int, total_minor: int | None) -> bytes:
    return (body + trailer(row_count, total_minor)).encode("utf-8")


__all__ = [
    "accounting_vouchers",
    "column_names",
    "file_path",
    "number_vouchers",
    "rows_file",
    "schema",
    "snapshot_files",
    "source_vouchers",
    "trailer",
]
