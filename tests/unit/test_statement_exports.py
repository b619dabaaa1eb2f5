"""Merchants' statements leave as lists that sum to the payout, or they do not leave."""

from __future__ import annotations

import csv
import tracemalloc
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

import payment_world
from payment_world import ACCOUNTING_DATES, PAYMENT_DATE, World
from tieout import database
from tieout.core.errors import TieoutError
from tieout.exports import export_statements
from tieout.exports.statements import LINE_COLUMNS, LINE_KINDS, STATUSES, StatementExportError

FIRST, LAST = ACCOUNTING_DATES[0], ACCOUNTING_DATES[-1]
WHOLE = "20260928-A000001-T1-CNY"
SMALL = "20260928-A000001-F1-CNY"
OTHER = "20260928-A000002-T1-CNY"

_MORE_OF_DBT = """
alter table settlement.settlement_statements
add deducted_fee_amount_minor bigint,
add adjustment_count bigint,
add payout_minimum_amount_minor bigint;
alter table clearing.payee_terms
add bank_name text,
add account_number_mask text,
add account_name_mask text;
alter table reference.transaction_types add transaction_type_zh text;
update reference.transaction_types set transaction_type_zh = '消费'
where transaction_type = 'purchase';
create table reference.adjustment_types (adjustment_type text, adjustment_type_zh text);
insert into reference.adjustment_types values ('chargeback', '退单');
create table settlement.statement_lines (
    payment_date date, statement_id text, accounting_date date
);
create table settlement.statement_details (
    payment_date date, statement_id text, accounting_date date, entry_id text,
    clearing_session_type text, account_id text, merchant_id text, channel text,
    currency_code text, transaction_type text, source_id text, transaction_at timestamptz,
    terminal_id text, merchant_order_id text, transaction_amount_minor bigint,
    fee_amount_minor bigint, deducted_fee_amount_minor bigint, clearing_amount_minor bigint,
    contract_id text, fee_rule_id text, clearing_session_no integer
);
create table settlement.advances (
    payment_date date, advance_id text, account_id text, currency_code text,
    for_accounting_date date, principal_amount_minor bigint, advance_fee_amount_minor bigint,
    advance_amount_minor bigint
);
create table settlement.holds (
    payment_date date, entry_id text, voucher_id text, account_id text, merchant_id text,
    settlement_session_type text, currency_code text, channel text, accounting_date date,
    stated_on date, reason text, closing_amount_minor bigint
);
create table settlement.not_due (payment_date date, statement_id text, due_on date);
update clearing.payee_terms
set bank_name = '中国银行', account_number_mask = '***************0001',
    account_name_mask = '测****';
insert into clearing.payee_terms (accounting_date, payee_id, payee_version, bank_name,
    account_number_mask, account_name_mask)
values ('2026-09-24', 'P000001', 1, '旧行', '*0000', '旧*');
"""
_STATEMENT = """
insert into settlement.settlement_statements (
    payment_date, statement_id, account_id, settlement_session_type, settlement_session_no,
    accounting_dates, settlement_mode, currency_code, transaction_count, transaction_amount_minor,
    fee_amount_minor, deducted_fee_amount_minor, settlement_amount_minor, adjustment_count,
    adjustment_amount_minor, advance_amount_minor, advance_fee_amount_minor,
    previous_unsettled_amount_minor, transfer_amount_minor, held_amount_minor,
    frozen_amount_minor, payout_amount_minor, carried_forward_amount_minor,
    payout_minimum_amount_minor, payable_status, payee_id, payee_version
) values ('2026-09-28', %s, %s, %s, 1, '{2026-09-24,2026-09-27}', 'net', 'CNY',
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
    'P' || right(%s, 6), 1)
"""
_DETAIL = """
insert into settlement.statement_details values ('2026-09-28', %s, %s, %s, %s, %s,
    '898310059990001', 'unionpay', 'CNY', %s, %s, %s, '00001001', %s, %s, %s, %s, %s, 'C1', 'F1', 2)
"""


def fill(world: World) -> None:
    """Three statements: one of every part of the formula, one below its minimum, another account's.

    The first: 100.00 − 0.60 and 50.00 − 0.30, chargeback −20.00, advance 10.01, carried 3.00,
    transfer −0.05, held 49.70, frozen 1.00: 149.10 − 20.00 − 10.01 + 3.00 − 0.05 − 49.70 − 1.00.
    """
    if world.value("select to_regclass('settlement.holds') is null"):
        world.execute(f"set role tieout_owner; {_MORE_OF_DBT}")
        database.make_logins(world.settings)
    for table in ("settlement_statements", "statement_lines", "statement_details", "advances"):
        world.execute(f"truncate settlement.{table}, settlement.holds, settlement.not_due")
    for values in (
        (WHOLE, "A000001", "transaction", 2, 15_000, 90, 90, 14_910, 1, -2_000, 1_001, 1, 300, -5,
         4_970, 100, 7_134, 5_070, 100, "payable"),
        (SMALL, "A000001", "foreign_card", 1, 40, 0, 0, 40, 0, 0, 0, 0, 0, 5, 0, 0, 0, 45, 100,
         "below_minimum"),
        (OTHER, "A000002", "transaction", 1, 700, 4, 0, 700, 0, 0, 0, 0, 0, 0, 0, 0, 700, 0, 100,
         "payable"),
    ):  # fmt: skip
        world.execute(_STATEMENT, (*values, values[1]))
    at = "2026-09-24 22:30:00+00"
    for values in (
        (WHOLE, FIRST, "T:V1", "transaction", "A000001", "purchase", "V1", at, "=1+1", 10_000, 60,
         60, 9_940),
        (WHOLE, LAST, "T:V2", "transaction", "A000001", "purchase", "V2", at, None, 5_000, 30, 30,
         4_970),
        (WHOLE, FIRST, "A:J1", "adjustment", "A000001", "chargeback", "J1", None, None, -2_000, 0,
         0, -2_000),
        (SMALL, LAST, "T:V3", "transaction", "A000001", "purchase", "V3", at, None, 40, 0, 0, 40),
        (OTHER, LAST, "T:V4", "transaction", "A000002", "purchase", "V4", at, None, 700, 4, 0, 700),
    ):  # fmt: skip
        world.execute(_DETAIL, values)
    for day in (FIRST, LAST):
        world.execute(
            "insert into settlement.statement_lines values ('2026-09-28', %s, %s)", (WHOLE, day)
        )
    world.execute(
        "insert into settlement.advances values ('2026-09-28', 'ADV1', 'A000001', 'CNY', %s, 1000,"
        " 1, 1001)",
        (LAST,),
    )
    world.execute(
        "insert into settlement.holds values ('2026-09-28', 'T:V2', 'V2', 'A000001', 'M',"
        " 'transaction', 'CNY', 'unionpay', %s, '2026-09-28', 'one_sided', 4970)",
        (LAST,),
    )


@pytest.fixture
def stated(world: World) -> World:
    """A decided payment date with three statements."""
    fill(world)
    payment_world.decide(world)
    return world


def read(path: Path) -> list[dict[str, str]]:
    """A list's rows by their program's names, ids without their tab."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        head, *rows = csv.reader(stream)
    names = [heading.split()[0] for heading in head]
    return [dict(zip(names, (cell.rstrip("\t") for cell in row), strict=True)) for row in rows]


def total(rows: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(row["amount"]) for row in rows if row["amount"]), Decimal(0))


def test_each_list_sums_to_its_payout_and_has_every_part(stated: World, tmp_path: Path) -> None:
    done = export_statements(stated.settings, PAYMENT_DATE, folder=tmp_path / "out")
    assert (done.statements, done.lines, dict(done.payouts)) == (3, 12, {"CNY": 7_834})
    whole = read(tmp_path / "out" / f"{WHOLE}.csv")
    assert [(row["line_kind"].split()[0], row["amount"]) for row in whole] == [
        ("transaction", "99.40"),
        ("adjustment", "-20.00"),
        ("transaction", "49.70"),
        ("advance", "-10.01"),
        ("previous_unsettled", "3.00"),
        ("transfer", "-0.05"),
        ("held", "-49.70"),
        ("frozen", "-1.00"),
        ("payout", ""),
    ]
    assert total(whole) == Decimal("71.34") == Decimal(whole[-1]["running_total"])
    assert whole[0]["transaction_at"] == "2026-09-25 06:30:00"
    assert whole[0]["merchant_order_id"] == "'=1+1"
    assert whole[0]["terminal_id"] == "00001001"
    assert [row["clearing_session_no"] for row in whole[:4]] == ["2", "2", "2", ""]
    assert whole[0]["transaction_type"] == "purchase 消费"
    small = read(tmp_path / "out" / f"{SMALL}.csv")
    assert [row["line_kind"].split()[0] for row in small][-2:] == ["not_paid", "payout"]
    assert small[-2]["amount"] == "-0.45"
    assert small[-2]["remark"] == "below_minimum 低于最低结算金额 1.00 CNY"
    assert total(small) == 0
    listed = read(done.list_path)
    assert {row["statement_id"]: row["payout_amount"] for row in listed} == {
        WHOLE: "71.34",
        SMALL: "0.00",
        OTHER: "7.00",
    }
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").glob("*.csv")} == {0o600}


def test_a_workbook_has_the_same_lines_on_a_sheet_a_kind(stated: World, tmp_path: Path) -> None:
    export_statements(stated.settings, PAYMENT_DATE, folder=tmp_path / "out", file_format="xlsx")
    book = openpyxl.load_workbook(tmp_path / "out" / f"{WHOLE}.xlsx")
    assert [name.split()[0] for name in book.sheetnames] == [
        "summary",
        "transactions",
        "adjustments",
        "other",
        "fees",
    ]
    summary, *lists, fees = book.worksheets
    place = [column.name for column in LINE_COLUMNS].index("amount") + 1
    amounts = [
        Decimal(str(sheet.cell(row, place).value))
        for sheet in lists
        for row in range(2, sheet.max_row + 1)
        if sheet.cell(row, place).value is not None
    ]
    assert len(amounts) == 8
    assert sum(amounts) == Decimal("71.34")
    said = {row[0].split()[0]: row[1:] for row in summary.iter_rows(min_row=2, values_only=True)}
    assert said["payout"] == (None, None, 71.34)
    assert said["carried_forward"] == (None, None, 50.70)
    assert said["held"] == (None, 1, -49.70)
    assert said["payee_account_masked"][0] == "***************0001"
    assert said["payee_name_masked"][0] == "测****"
    assert said["payee_bank"][0] == "中国银行", "the newest snapshot's"
    parts = [said[kind][2] for kind in LINE_KINDS if kind != "payout"]
    assert sum(Decimal(str(part)) for part in parts) == Decimal("71.34")
    rows = list(fees.iter_rows(min_row=2, values_only=True))
    assert [row[5:] for row in rows] == [(1, 0, 0.01, 0), (2, 150, 0.9, 0.9)]


def test_what_is_not_due_is_a_line_that_says_when_it_is(world: World, tmp_path: Path) -> None:
    fill(world)
    world.execute(
        "update settlement.settlement_statements set not_due_amount_minor = 300,"
        " payout_amount_minor = 400, carried_forward_amount_minor = 300 where statement_id = %s",
        (OTHER,),
    )
    world.execute(
        "update settlement.settlement_statements set not_due_amount_minor = 45,"
        " payable_status = 'not_due' where statement_id = %s",
        (SMALL,),
    )
    for statement_id, day in ((OTHER, "2026-10-09"), (OTHER, "2026-10-30"), (SMALL, "2026-10-08")):
        world.execute(
            "insert into settlement.not_due values ('2026-09-28', %s, %s), ('2026-09-24', %s, %s)",
            (statement_id, day, statement_id, "2026-09-25"),
        )
    payment_world.decide(world)
    export_statements(world.settings, PAYMENT_DATE, folder=tmp_path / "out")
    other, small = (read(tmp_path / "out" / f"{name}.csv") for name in (OTHER, SMALL))
    assert [(row["line_kind"].split()[0], row["amount"], row["remark"]) for row in other[1:]] == [
        ("not_due", "-3.00", "due on 2026-10-09 to 2026-10-30"),
        ("payout", "", "payable 可付"),
    ]
    assert total(other) == Decimal("4.00")
    assert [row["remark"] for row in small[-2:]] == ["due on 2026-10-08", "not_due 未到期"]
    assert total(small) == 0


BREAKS = {
    "payout": ("settlement_statements set payout_amount_minor = 7135", "payout"),
    "a transaction": ("statement_details set clearing_amount_minor = 9941", "settlement"),
    "a gross amount": ("statement_details set transaction_amount_minor = 9999", "transactions"),
    "a fee": ("statement_details set fee_amount_minor = 61", "fees"),
    "a deducted fee": ("statement_details set deducted_fee_amount_minor = 61", "deducted fees"),
    "a count": ("settlement_statements set transaction_count = 3", "transaction count"),
    "adjustments": ("settlement_statements set adjustment_count = 2", "adjustment count"),
    "an advance": ("advances set advance_amount_minor = 1002", "advances"),
    "an advance's fee": ("advances set advance_fee_amount_minor = 2", "advance fees"),
    "what is not due": ("settlement_statements set not_due_amount_minor = 1", "payout"),
    "a hold": ("holds set closing_amount_minor = 4971", "held"),
    "carried": ("settlement_statements set carried_forward_amount_minor = 1", "carried forward"),
    "two that cancel": (
        "settlement_statements set held_amount_minor = 4969, frozen_amount_minor = 101",
        "held",
    ),
}
FIRST_ROW = {
    "settlement_statements": f" where statement_id = '{WHOLE}'",
    "statement_details": " where entry_id = 'T:V1'",
}


@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
def test_what_does_not_sum_does_not_leave(world: World, tmp_path: Path, file_format: str) -> None:
    for name, (change, part) in BREAKS.items():
        fill(world)
        table = change.split()[0]
        world.execute(f"update settlement.{change}{FIRST_ROW.get(table, '')}")
        payment_world.decide(world)
        with pytest.raises(StatementExportError) as refused:
            export_statements(
                world.settings,
                PAYMENT_DATE,
                folder=tmp_path / "out",
                file_format="xlsx" if file_format == "xlsx" else "csv",
            )
        assert WHOLE in refused.value.what, name
        assert f"{part}: the lines come to" in refused.value.why, name
        assert list((tmp_path / "out").iterdir()) == [], "not even another statement's file"


STRAY = {
    "an entry": "update settlement.statement_details set statement_id = '20260928-A000009-T1-CNY'"
    " where entry_id = 'T:V4'",
    "a hold": "insert into settlement.holds values ('2026-09-28', 'T:V9', 'V9', 'A000009', 'M',"
    " 'transaction', 'CNY', 'unionpay', '2026-09-27', '2026-09-28', 'one_sided', 5)",
    "a hold of another currency": "insert into settlement.holds values ('2026-09-28', 'T:V8', 'V8',"
    " 'A000001', 'M', 'transaction', 'USD', 'unionpay', '2026-09-27', '2026-09-28', 'x', 5)",
    "an advance": "insert into settlement.advances values ('2026-09-28', 'ADV9', 'A000009', 'CNY',"
    " '2026-09-27', 5, 0, 5)",
}


def test_a_row_of_no_statement_is_not_left_out(world: World, tmp_path: Path) -> None:
    for name, change in STRAY.items():
        fill(world)
        world.execute(change)
        payment_world.decide(world)
        with pytest.raises(StatementExportError) as refused:
            export_statements(world.settings, PAYMENT_DATE, folder=tmp_path / "out")
        assert name == "an entry" or "are in no list" in refused.value.what, name
        assert list((tmp_path / "out").iterdir()) == []


def test_one_account_has_its_own_statements_only(stated: World, tmp_path: Path) -> None:
    done = export_statements(
        stated.settings, PAYMENT_DATE, folder=tmp_path / "out", account_id="A000001"
    )
    assert done.statements == 2
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {
        WHOLE,
        SMALL,
        "statements_20260928",
    }
    with pytest.raises(StatementExportError, match="no statement of account A9"):
        export_statements(stated.settings, PAYMENT_DATE, folder=tmp_path / "b", account_id="A9")


def test_statements_that_nobody_decided_on_do_not_leave(world: World, tmp_path: Path) -> None:
    fill(world)

    def refused() -> str:
        with pytest.raises(StatementExportError) as error:
            export_statements(world.settings, PAYMENT_DATE, folder=tmp_path / "out")
        return error.value.why

    assert "no gate decision" in refused()
    payment_world.decide(world)
    world.execute("update settlement.settlement_statements set payout_amount_minor = 1"
                  " where payout_amount_minor > 0")  # fmt: skip
    assert "other statements" in refused()


def test_a_second_export_takes_the_place_of_the_first(stated: World, tmp_path: Path) -> None:
    export_statements(stated.settings, PAYMENT_DATE, folder=tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "out" / ".exporting").mkdir()
    (tmp_path / "out" / ".exporting" / "left over").touch()
    export_statements(stated.settings, PAYMENT_DATE, folder=tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
def test_no_list_is_kept_in_memory(world: World, tmp_path: Path, file_format: str) -> None:
    """A list of 20,000 lines takes no more than one of 200; all of them in memory take 20 MB."""
    count = 20_000
    fill(world)
    world.execute(
        "insert into settlement.statement_details select payment_date, statement_id,"
        " accounting_date, 'T:W' || number, clearing_session_type, account_id, merchant_id,"
        " channel, currency_code, transaction_type, 'W' || number, transaction_at, terminal_id,"
        " merchant_order_id, 1, 0, 0, 1, contract_id, fee_rule_id,"
        " clearing_session_no"
        " from settlement.statement_details cross join generate_series(1, %s) as number"
        " where entry_id = 'T:V4'",
        (count,),
    )
    world.execute(
        "update settlement.settlement_statements set transaction_count = 1 + %(n)s,"
        " transaction_amount_minor = 700 + %(n)s, settlement_amount_minor = 700 + %(n)s,"
        " payout_amount_minor = 700 + %(n)s where statement_id = %(id)s",
        {"n": count, "id": OTHER},
    )
    payment_world.decide(world)
    tracemalloc.start()
    try:
        done = export_statements(
            world.settings,
            PAYMENT_DATE,
            folder=tmp_path / "out",
            file_format="xlsx" if file_format == "xlsx" else "csv",
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done.lines > count
    assert peak < 8_000_000, f"{peak:,} bytes"


def test_every_status_of_a_statement_has_a_name() -> None:
    model = (
        payment_world.PROJECT_DIR / "dbt_project/models/settlement/settlement_statements.sql"
    ).read_text(encoding="utf-8")
    decided = model[model.index("decided as (") : model.index("as payable_status")]
    words = {part.split("'")[1] for part in decided.split("then ")[1:]}
    words.add(decided.split("else '")[1].split("'")[0])
    assert words == set(STATUSES)


def test_an_id_that_could_leave_the_folder_names_no_file(world: World, tmp_path: Path) -> None:
    fill(world)
    world.execute("update settlement.settlement_statements set statement_id = '../x'"
                  " where account_id = 'A000002'")  # fmt: skip
    payment_world.decide(world)
    with pytest.raises(TieoutError, match="cannot name a file"):
        export_statements(world.settings, PAYMENT_DATE, folder=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
