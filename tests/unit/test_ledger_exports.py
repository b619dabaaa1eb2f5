"""The ledger leaves for a finance system whole and in balance, or not at all."""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

from payment_world import World
from tieout import database
from tieout.core.settings import PROJECT_DIR
from tieout.exports import export_ledger
from tieout.exports.ledger import BALANCES, JOURNAL, TRIAL_BALANCE, LedgerExportError
from tieout.exports.tables import Column

DAY = "2026-09-24"
PAGE = PROJECT_DIR / "docs" / "operations" / "exports.md"

_BUILT_BY_DBT = """
alter table reference.chart_of_accounts
add ledger_account_zh text, add account_class text, add normal_balance text, add subledger text,
add subject_code text;
truncate reference.chart_of_accounts;
insert into reference.chart_of_accounts values
('channel_receivable', '应收渠道清算款', 'asset', 'debit', 'arrival_group', '112201'),
('merchant_payable', '应付商户结算款', 'liability', 'credit', 'account', '224101'),
('payouts_in_transit', '代付在途', 'liability', 'credit', 'account', '224104'),
('fee_income', '手续费收入', 'income', 'credit', 'channel', '602101');
create table reference.posting_rules (rule text, text_zh text);
insert into reference.posting_rules values
('transaction.sale', '商户交易'), ('merchant_fee.net', '手续费'),
('payout_submitted.under_way', '代付发出');
create table ledger.voucher_lines (
    accounting_date date, voucher_no bigint, entry_id text, voucher_kind text, voucher_id text,
    event_type text, transaction_type text, rule text, direction text, subject_code text,
    ledger_account text, subledger text, subledger_id text, channel text, currency_code text,
    amount_minor bigint, source_kind text, source_id text, file_id text, line_number integer,
    decision_id text
);
create table ledger.account_balances (
    accounting_date date, ledger_account text, subledger_id text, currency_code text,
    opening_amount_minor bigint, debit_amount_minor bigint, credit_amount_minor bigint,
    closing_amount_minor bigint
);
truncate ledger.trial_balance, ledger.postings;
"""
# voucher, posting, kind, rule, debit, its sub-ledger, credit, its sub-ledger, fen
POSTINGS = (
    (1, "TX:T:V1", "transaction", "transaction.sale", "channel_receivable",
     "unionpay-20260925-CNY", "merchant_payable", "A1", 10_000),
    (1, "FEE:T:V1", "transaction", "merchant_fee.net", "merchant_payable", "A1", "fee_income",
     "unionpay", 60),
    (2, "PAY:1:2", "payout", "payout_submitted.under_way", "merchant_payable", "A1",
     "payouts_in_transit", "A1", 9_940),
)  # fmt: skip
BALANCES_OF_DAY = (
    ("channel_receivable", "unionpay-20260925-CNY", 10_000, 0),
    ("merchant_payable", "A1", 10_000, 10_000),
    ("payouts_in_transit", "A1", 0, 9_940),
    ("fee_income", "unionpay", 0, 60),
)


def fill(world: World) -> None:
    """A date with a sale, its fee, and its payout under way; closed."""
    if world.value("select to_regclass('ledger.voucher_lines') is null"):
        world.execute(f"set role tieout_owner; {_BUILT_BY_DBT}")
        database.make_logins(world.settings)
        world.execute(
            "insert into control.accounting_days values (%s) on conflict do nothing", (DAY,)
        )
        world.execute(
            "update control.accounting_days set state = 'closed' where accounting_date = %s", (DAY,)
        )
    world.execute(
        "truncate ledger.postings, ledger.voucher_lines,"
        " ledger.account_balances, ledger.trial_balance"
    )
    for number, posting, kind, rule, debit, debit_id, credit, credit_id, minor in POSTINGS:
        for leg, direction, account, subledger in (
            ("D", "debit", debit, debit_id),
            ("C", "credit", credit, credit_id),
        ):
            world.execute(
                "insert into ledger.voucher_lines select %s, %s, %s, %s, %s, %s, null, %s, %s,"
                " subject_code, ledger_account, subledger, %s, 'unionpay', 'CNY', %s, 'file_line',"
                " '=V1', 'f', 2, null from reference.chart_of_accounts where ledger_account = %s",
                (DAY, number, f"{posting}:{leg}", kind, f"B{number}", rule.split(".")[0], rule,
                 direction, subledger, minor, account),
            )  # fmt: skip
        world.execute("insert into ledger.postings values (%s, %s, 'B1')", (DAY, posting))
    for account, subledger, debit, credit in BALANCES_OF_DAY:
        sums = (0, debit, credit, debit - credit)
        world.execute(
            "insert into ledger.account_balances values (%s, %s, %s, 'CNY', %s, %s, %s, %s)",
            (DAY, account, subledger, *sums),
        )
        world.execute(
            "insert into ledger.trial_balance values (%s, %s, 'CNY', %s, %s, %s, %s)",
            (DAY, account, *sums),
        )


@pytest.fixture
def closed(world: World) -> World:
    """A closed date with two vouchers."""
    fill(world)
    return world


def export(world: World, folder: Path, file_format: str = "csv") -> dict[str, Path]:
    day = world.value("select %s::date", (DAY,))
    done = export_ledger(
        world.settings, day, folder=folder, file_format="xlsx" if file_format == "xlsx" else "csv"
    )
    assert (done.vouchers, done.lines) == (2, 6)
    assert {path.stat().st_mode & 0o777 for path in done.files} == {0o600}
    return {path.stem.rsplit("_", 1)[0]: path for path in done.files}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_lists_are_those_of_the_page(closed: World, tmp_path: Path) -> None:
    """The example of docs/operations/exports.md is what the program writes."""
    files = export(closed, tmp_path / "out")
    page = PAGE.read_text(encoding="utf-8")
    example = re.search(r"```text\n(voucher_no.*?)```", page, re.DOTALL)
    assert example
    expected = list(csv.DictReader(example[1].splitlines()))
    journal = read(files["journal"])
    assert [{name: row[name] for name in expected[0]} for row in journal] == expected
    rows = re.findall(r"^\| (\d{6}) \| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) == 4
    assert [
        (row["subject_code"], row["ledger_account"], " | ".join(list(row.values())[-4:]))
        for row in read(files["trial_balance"])
    ] == rows
    assert [row["closing_amount"] for row in read(files["balances"])] == [
        row[2].split(" | ")[-1] for row in rows
    ]
    assert {row["source_id"] for row in journal} == {"'=V1"}
    assert {row["source_line"] for row in journal} == {"2"}


@pytest.mark.parametrize(
    ("name", "columns"),
    [("journal", JOURNAL), ("trial_balance", TRIAL_BALANCE), ("balances", BALANCES)],
)
def test_the_page_names_each_column_in_order(name: str, columns: tuple[Column, ...]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    part = page[page.index(f"**{name}**, ") :]
    if name == "journal":
        names = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", part, re.MULTILINE)
        assert names[: len(columns)] == [(each.name, each.heading_zh) for each in columns]
        return
    named = re.findall(r"`(\w+)`", part[: part.index("\n\n")])
    four = ["opening_amount", "debit_amount", "credit_amount", "closing_amount"]
    assert (named if name == "trial_balance" else [*named, *four]) == [
        each.name for each in columns
    ]


def test_a_workbook_has_the_same_lists(closed: World, tmp_path: Path) -> None:
    (path,) = export(closed, tmp_path / "out", "xlsx").values()
    book = openpyxl.load_workbook(path)
    assert [sheet.split()[0] for sheet in book.sheetnames] == [
        "journal",
        "trial_balance",
        "balances",
    ]
    journal = list(book.worksheets[0].iter_rows(min_row=2, values_only=True))
    names = [column.name for column in JOURNAL]
    debit, credit = names.index("debit_amount"), names.index("credit_amount")
    assert [row[debit] for row in journal] == [100, None, 0.6, None, 99.4, None]
    assert [row[credit] for row in journal] == [None, 100, None, 0.6, None, 99.4]
    assert {row[names.index("source_id")] for row in journal} == {"=V1"}
    assert {cell.data_type for row in book.worksheets[0].rows for cell in row} <= {"s", "n"}


BREAKS = {
    "a leg": ("update ledger.voucher_lines set amount_minor = 59 where entry_id = 'FEE:T:V1:D'",
              "debits less credits are -1"),
    "a voucher gone": ("delete from ledger.voucher_lines where voucher_no = 1", "2 follows 0"),
    "a number": ("update ledger.voucher_lines set voucher_no = 3 where voucher_no = 2",
                 "3 follows 1"),
    "no voucher": ("update ledger.voucher_lines set voucher_no = null where voucher_no = 2",
                   "it is in no voucher"),
    "no code": ("update ledger.voucher_lines set subject_code = null", "no subject code"),
    "both legs": ("update ledger.voucher_lines set amount_minor = 9941 where voucher_no = 2",
                  "merchant_payable CNY: debits come to 10001"),
    "another account": ("update ledger.voucher_lines set ledger_account = 'losses'"
                        " where entry_id = 'PAY:1:2:C'", "payouts_in_transit CNY: credits"),
    "the trial balance": ("update ledger.trial_balance set credit_amount_minor = 61"
                          " where ledger_account = 'fee_income'", "credits come to 60"),
    "its closing": ("update ledger.trial_balance set closing_amount_minor = -61"
                    " where ledger_account = 'fee_income'", "opening and movements"),
    "its zero": ("update ledger.trial_balance set closing_amount_minor = -61,"
                 " opening_amount_minor = -1 where ledger_account = 'fee_income'",
                 "all accounts CNY: closing balances come to -1"),
    "no row of it": ("delete from ledger.trial_balance where ledger_account = 'fee_income'",
                     "fee_income CNY: credits come to 60, the trial balance says 0"),
    "a sub-ledger": ("update ledger.account_balances set closing_amount_minor = 1"
                     " where ledger_account = 'fee_income'", "closing of sub-ledgers"),
    "a sub-ledger gone": ("delete from ledger.account_balances"
                          " where ledger_account = 'fee_income'", "credits of sub-ledgers"),
    "one too many": ("insert into ledger.account_balances values"
                     " ('2026-09-24', 'gains', 'unionpay', 'CNY', 0, 5, 5, 0)",
                     "gains CNY: debits of sub-ledgers"),
}  # fmt: skip


def test_what_does_not_sum_does_not_leave(world: World, tmp_path: Path) -> None:
    for name, (change, why) in BREAKS.items():
        fill(world)
        world.execute(change)
        for file_format in ("csv", "xlsx"):
            with pytest.raises(LedgerExportError) as refused:
                export(world, tmp_path / "out", file_format)
            assert why in refused.value.why, name
            assert list((tmp_path / "out").iterdir()) == []


def test_a_date_that_is_not_closed_does_not_leave(closed: World, tmp_path: Path) -> None:
    day = closed.value("select date '2026-10-30'")
    with pytest.raises(LedgerExportError, match="is not closed"):
        export_ledger(closed.settings, day, folder=tmp_path / "out")


def test_the_amounts_of_the_journal_are_the_trial_balance(closed: World, tmp_path: Path) -> None:
    files = export(closed, tmp_path / "out")
    for side in ("debit_amount", "credit_amount"):
        sums = [
            sum(Decimal(row[side]) for row in read(files[name]) if row[side])
            for name in ("journal", "trial_balance", "balances")
        ]
        assert sums == [Decimal("200.00")] * 3
