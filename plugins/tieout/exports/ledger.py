"""The ledger for a finance system (财务系统): journal, trial balance and balances of a date.

The journal has the vouchers with their lines, in the order of their numbers. Before a file has its
name, each voucher balances, the numbers have no gap, and what the journal moves is what the trial
balance says, account by account; so are the balances, sub-ledger by sub-ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import psycopg

from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.database import connect
from tieout.exports.statements import Format, aside_of, in_steps
from tieout.exports.tables import Amount, Cell, Column, CsvList, Rows, Workbook

__all__ = [
    "BALANCES",
    "JOURNAL",
    "TRIAL_BALANCE",
    "LedgerExport",
    "LedgerExportError",
    "export_ledger",
]

JOURNAL: Final = (
    Column("accounting_date", "会计日期", "date"),
    Column("voucher_no", "凭证号", "count"),
    Column("line_no", "分录号", "count"),
    Column("voucher_kind", "凭证类别"),
    Column("voucher_id", "凭证编号", "id"),
    Column("event_type", "业务事件"),
    Column("transaction_type", "交易类型"),
    Column("direction", "借贷方向"),
    Column("subject_code", "科目代码", "id"),
    Column("subject_name", "科目名称"),
    Column("ledger_account", "科目"),
    Column("subledger", "明细口径"),
    Column("subledger_id", "明细", "id"),
    Column("currency_code", "币种"),
    Column("debit_amount", "借方金额", "amount"),
    Column("credit_amount", "贷方金额", "amount"),
    Column("summary", "摘要"),
    Column("source_kind", "来源类别"),
    Column("source_id", "来源编号", "id"),
    Column("source_file_id", "来源文件", "id"),
    Column("source_line", "来源行号", "count"),
    Column("decision_id", "裁定编号", "id"),
)
_SUMS: Final = (
    Column("opening_amount", "期初余额", "amount"),
    Column("debit_amount", "借方发生额", "amount"),
    Column("credit_amount", "贷方发生额", "amount"),
    Column("closing_amount", "期末余额", "amount"),
)
TRIAL_BALANCE: Final = (
    Column("accounting_date", "会计日期", "date"),
    Column("subject_code", "科目代码", "id"),
    Column("subject_name", "科目名称"),
    Column("ledger_account", "科目"),
    Column("account_class", "科目类别"),
    Column("normal_balance", "余额方向"),
    Column("currency_code", "币种"),
    *_SUMS,
)
BALANCES: Final = (
    Column("accounting_date", "会计日期", "date"),
    Column("subject_code", "科目代码", "id"),
    Column("subject_name", "科目名称"),
    Column("ledger_account", "科目"),
    Column("subledger", "明细口径"),
    Column("subledger_id", "明细", "id"),
    Column("currency_code", "币种"),
    *_SUMS,
)

_CHART: Final = """
    left join reference.chart_of_accounts as chart
        on {table}.ledger_account = chart.ledger_account
"""
_JOURNAL_ROWS: Final = f"""
    select
        lines.voucher_no,
        lines.voucher_kind,
        lines.voucher_id,
        lines.event_type,
        lines.transaction_type,
        lines.direction,
        lines.subject_code,
        chart.ledger_account_zh,
        lines.ledger_account,
        lines.subledger,
        lines.subledger_id,
        lines.currency_code,
        lines.amount_minor,
        rules.text_zh,
        lines.source_kind,
        lines.source_id,
        lines.file_id,
        lines.line_number,
        lines.decision_id
    from ledger.voucher_lines as lines
    {_CHART.format(table="lines")}
    left join reference.posting_rules as rules on lines.rule = rules.rule
    where lines.accounting_date = %(day)s
    order by lines.voucher_no nulls first, lines.entry_id collate "C" desc
"""
_TRIAL_ROWS: Final = f"""
    select
        chart.subject_code,
        chart.ledger_account_zh,
        trial.ledger_account,
        chart.account_class,
        chart.normal_balance,
        trial.currency_code,
        trial.opening_amount_minor,
        trial.debit_amount_minor,
        trial.credit_amount_minor,
        trial.closing_amount_minor
    from ledger.trial_balance as trial
    {_CHART.format(table="trial")}
    where trial.accounting_date = %(day)s
    order by chart.subject_code collate "C", trial.ledger_account, trial.currency_code collate "C"
"""
_BALANCE_ROWS: Final = f"""
    select
        chart.subject_code,
        chart.ledger_account_zh,
        balances.ledger_account,
        chart.subledger,
        balances.subledger_id,
        balances.currency_code,
        balances.opening_amount_minor,
        balances.debit_amount_minor,
        balances.credit_amount_minor,
        balances.closing_amount_minor
    from ledger.account_balances as balances
    {_CHART.format(table="balances")}
    where balances.accounting_date = %(day)s
    order by
        chart.subject_code collate "C",
        balances.ledger_account,
        balances.subledger_id collate "C",
        balances.currency_code collate "C"
"""

Account = tuple[str, str]


class LedgerExportError(TieoutError):
    """The ledger of a date cannot leave: it is not closed, or does not sum."""


@dataclass(frozen=True)
class LedgerExport:
    """What an export wrote."""

    files: tuple[Path, ...]
    vouchers: int
    lines: int
    is_sealed: bool


@dataclass
class _Sums:
    """What the lists come to while they are written."""

    debits: Counter[Account]
    credits: Counter[Account]
    closing: Counter[Account]
    opening: Counter[Account]
    vouchers: int = 0
    lines: int = 0


def export_ledger(
    settings: Settings, day: date, *, folder: Path, file_format: Format = "csv"
) -> LedgerExport:
    """Write journal, trial balance and balances of a closed date into ``folder``.

    Args:
        settings: the home; read as `tieout_finance`.
        day: a closed or sealed accounting date.
        folder: made where it is missing (0700); files of the same names are replaced.
        file_format: ``csv``: three files, headings are the columns' names; ``xlsx``: one workbook.

    Raises:
        LedgerExportError: the date is not closed, or a sum differs; then no file is written.
        TieoutError: a workbook cannot hold it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with connect(settings.acting_as("finance")) as connection, aside_of(folder) as aside:
        # One instant for all of it.
        connection.execute("set transaction isolation level repeatable read read only")
        state = _state(connection, day)
        sums = _Sums(Counter(), Counter(), Counter(), Counter())
        with ExitStack() as open_files:
            sheets = _sheets(open_files, aside, day, file_format)
            _write_journal(connection, day, sheets["journal"], sums)
            _write_trial_balance(connection, day, sheets["trial_balance"], sums)
            _write_balances(connection, day, sheets["balances"], sums)
        files = []
        for path in sorted(aside.iterdir()):
            path.chmod(0o600)
            files.append(path.replace(folder / path.name))
    return LedgerExport(tuple(files), sums.vouchers, sums.lines, state == "sealed")


def _state(connection: psycopg.Connection[Any], day: date) -> str:
    row = connection.execute(
        "select state from control.accounting_days where accounting_date = %s", (day,)
    ).fetchone()
    state = str(row[0]) if row else "open"
    if state not in ("closed", "sealed"):
        raise _refused(
            f"the ledger of {day} is not closed",
            f"its state is {state}: what it holds may still change",
            f"tieout close {day}, then export again",
        )
    return state


def _sheets(open_files: ExitStack, aside: Path, day: date, file_format: Format) -> dict[str, Rows]:
    lists = {
        "journal": ("凭证", JOURNAL),
        "trial_balance": ("试算平衡", TRIAL_BALANCE),
        "balances": ("科目余额", BALANCES),
    }
    if file_format == "xlsx":
        book = open_files.enter_context(Workbook(aside / f"ledger_{day:%Y%m%d}.xlsx", day))
        return {
            name: book.sheet(f"{name} {chinese}", columns)
            for name, (chinese, columns) in lists.items()
        }
    return {
        name: open_files.enter_context(
            CsvList(aside / f"{name}_{day:%Y%m%d}.csv", columns, for_people=False)
        )
        for name, (_, columns) in lists.items()
    }


# --- the lists ----------------------------------------------------------------------------------


def _write_journal(
    connection: psycopg.Connection[Any], day: date, journal: Rows, sums: _Sums
) -> None:
    """Write the vouchers' lines; each voucher balances, and the numbers have no gap."""
    voucher_no = line_no = balance = 0
    for row in in_steps(connection, "journal", _JOURNAL_ROWS, {"day": day}):
        if row.voucher_no is None or row.subject_code is None:
            raise _refused(
                f"a posting of {day} cannot be in the journal",
                f"{row.source_id} on {row.ledger_account}: "
                + ("it is in no voucher" if row.voucher_no is None else "no subject code"),
                "give the account a code in reference.chart_of_accounts"
                if row.voucher_no is not None
                else f"tieout close {day}",
            )
        if row.voucher_no != voucher_no:
            _refuse_unbalanced(day, voucher_no, balance)
            if row.voucher_no != voucher_no + 1:
                raise _refused(
                    f"vouchers of {day} are numbered with a gap",
                    f"{row.voucher_no} follows {voucher_no}",
                    "tieout verify says whether a row was changed since",
                )
            voucher_no, line_no = row.voucher_no, 0
        line_no += 1
        account = (row.ledger_account, row.currency_code)
        is_debit = row.direction == "debit"
        balance += row.amount_minor if is_debit else -row.amount_minor
        (sums.debits if is_debit else sums.credits)[account] += row.amount_minor
        amount = Amount(row.amount_minor, row.currency_code)
        sums.lines += 1
        journal.row(
            day,
            row.voucher_no,
            line_no,
            row.voucher_kind,
            row.voucher_id,
            row.event_type,
            row.transaction_type,
            row.direction,
            row.subject_code,
            row.ledger_account_zh,
            row.ledger_account,
            row.subledger,
            row.subledger_id,
            row.currency_code,
            amount if is_debit else None,
            None if is_debit else amount,
            row.text_zh,
            row.source_kind,
            row.source_id,
            row.file_id,
            row.line_number,
            row.decision_id,
        )
    _refuse_unbalanced(day, voucher_no, balance)
    sums.vouchers = voucher_no


def _write_trial_balance(
    connection: psycopg.Connection[Any], day: date, sheet: Rows, sums: _Sums
) -> None:
    """Write the trial balance; the journal moves what it says, and it is zero in each currency."""
    zero: Counter[str] = Counter()
    seen = set()
    for row in in_steps(connection, "trial_balance", _TRIAL_ROWS, {"day": day}):
        account = (row.ledger_account, row.currency_code)
        seen.add(account)
        sums.opening[account] = row.opening_amount_minor
        sums.closing[account] = row.closing_amount_minor
        zero[row.currency_code] += row.closing_amount_minor
        _compare(day, account, "debits", sums.debits[account], row.debit_amount_minor)
        _compare(day, account, "credits", sums.credits[account], row.credit_amount_minor)
        moved = row.opening_amount_minor + row.debit_amount_minor - row.credit_amount_minor
        _compare(day, account, "opening and movements", moved, row.closing_amount_minor)
        sheet.row(day, *row[:6], *_amounts(row))
    for account in sorted({*sums.debits, *sums.credits} - seen):
        _compare(day, account, "debits", sums.debits[account], 0)
        _compare(day, account, "credits", sums.credits[account], 0)
    for currency_code, total in zero.items():
        _compare(day, ("all accounts", currency_code), "closing balances", total, 0)


def _write_balances(
    connection: psycopg.Connection[Any], day: date, sheet: Rows, sums: _Sums
) -> None:
    """Write each sub-ledger's balance; those of an account are the trial balance's."""
    found = [Counter[Account]() for _ in range(4)]
    for row in in_steps(connection, "balances", _BALANCE_ROWS, {"day": day}):
        for total, minor in zip(found, row[6:], strict=True):
            total[row.ledger_account, row.currency_code] += minor
        sheet.row(day, *row[:6], *_amounts(row))
    for account in sorted({*sums.closing, *found[3]}):
        for what, total, said in zip(
            ("opening", "debits", "credits", "closing"),
            found,
            (sums.opening, sums.debits, sums.credits, sums.closing),
            strict=True,
        ):
            _compare(day, account, f"{what} of sub-ledgers", total[account], said[account])


def _amounts(row: Any) -> Iterator[Cell]:
    for minor in row[6:]:
        yield Amount(minor, row.currency_code)


def _refuse_unbalanced(day: date, voucher_no: int, balance: int) -> None:
    if balance:
        raise _refused(
            f"voucher {voucher_no} of {day} does not balance",
            f"debits less credits are {balance} minor units",
            "tieout verify says whether a row was changed since",
        )


def _compare(day: date, account: Account, what: str, found: int, said: int) -> None:
    if found != said:
        raise _refused(
            f"the ledger of {day} does not sum",
            f"{' '.join(account)}: {what} come to {found}, the trial balance says {said},"
            f" difference {found - said} minor units",
            "nothing was written; tieout verify says whether a row was changed since",
        )


def _refused(what: str, why: str, next_step: str) -> LedgerExportError:
    return LedgerExportError(what=what, where="ledger", why=why, next_step=next_step)
