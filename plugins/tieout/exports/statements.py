"""Merchants' statements (商户结算单): per statement a list that sums to its payout, CSV or XLSX.

Each part of the formula (docs/domain.md#statement) is a line: every transaction, adjustment,
advance and hold, what was carried, transferred, frozen, and what is not paid yet. A list has its
name only when each part, and their sum, is what the statement says, to the fen.

Nothing is kept in memory but one row of each source: they are read in the order of the statements.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from tieout.core.errors import TieoutError
from tieout.core.money import amount_text
from tieout.core.settings import Settings
from tieout.database import connect
from tieout.dates import days
from tieout.exports.tables import Amount, Cell, Column, CsvList, Rows, Workbook

__all__ = [
    "ExportedStatements",
    "Format",
    "StatementExportError",
    "aside_of",
    "export_statements",
    "in_steps",
]

Format = Literal["csv", "xlsx"]
FORMATS: Final = ("csv", "xlsx")

LINE_KINDS: Final[Mapping[str, str]] = {
    "transaction": "交易",
    "adjustment": "差错及调整",
    "advance": "抵扣垫款",
    "previous_unsettled": "前期未结",
    "transfer": "场次间划转",
    "held": "待到账",
    "frozen": "冻结",
    "not_due": "未到期",
    "not_paid": "本期不付",
    "payout": "出款",
}
STATUSES: Final[Mapping[str, str]] = {
    "payable": "可付",
    "below_minimum": "低于最低结算金额",
    "withheld": "暂缓支付",
    "negative": "余额为负",
    "no_balance": "无余额",
    "frozen": "冻结",
    "held": "待到账",
    "not_due": "未到期",
}
LINE_COLUMNS: Final = (
    Column("line_no", "序号", "count"),
    Column("line_kind", "项目"),
    Column("accounting_date", "会计日期", "date"),
    Column("transaction_at", "交易时间（北京时间）"),
    Column("channel", "渠道"),
    Column("merchant_id", "商户号", "id"),
    Column("terminal_id", "终端号", "id"),
    Column("merchant_order_id", "商户订单号", "id"),
    Column("reference", "凭证号", "id"),
    Column("transaction_type", "交易类型"),
    Column("transaction_amount", "交易金额", "amount"),
    Column("fee_amount", "手续费", "amount"),
    Column("deducted_fee_amount", "扣收手续费", "amount"),
    Column("amount", "计入金额", "amount"),
    Column("running_total", "累计", "amount"),
    Column("currency_code", "币种"),
    Column("remark", "说明"),
    Column("clearing_session_no", "清算场次号", "count"),
)
FEE_COLUMNS: Final = (
    Column("line_kind", "项目"),
    Column("channel", "渠道"),
    Column("transaction_type", "交易类型"),
    Column("contract_id", "合同号", "id"),
    Column("fee_rule_id", "费率编号", "id"),
    Column("entry_count", "笔数", "count"),
    Column("transaction_amount", "交易金额", "amount"),
    Column("fee_amount", "手续费", "amount"),
    Column("deducted_fee_amount", "扣收手续费", "amount"),
)
SUMMARY_COLUMNS: Final = (
    Column("item", "项目"),
    Column("text", "内容", "id"),
    Column("line_count", "笔数", "count"),
    Column("amount", "金额", "amount"),
)
LIST_COLUMNS: Final = (
    Column("statement_id", "结算单号", "id"),
    Column("account_id", "账户", "id"),
    Column("currency_code", "币种"),
    Column("payable_status", "付款状态"),
    Column("line_count", "行数", "count"),
    Column("payout_amount", "出款金额", "amount"),
    Column("carried_forward_amount", "结转金额", "amount"),
    Column("file_name", "文件"),
    Column("sha256", "文件摘要", "id"),
)

_STATEMENTS: Final = """
    with payees as (
        select distinct on (payee_id, payee_version)
            payee_id,
            payee_version,
            bank_name,
            account_number_mask,
            account_name_mask
        from clearing.payee_terms
        where
            accounting_date < %(payment_date)s
            and accounting_date >= %(payment_date)s::date - 31
        order by payee_id, payee_version, accounting_date desc
    ),

    dues as (
        select
            statement_id,
            min(due_on) as next_due_on,
            max(due_on) as last_due_on
        from settlement.not_due
        where payment_date = %(payment_date)s
        group by statement_id
    )

    select
        statements.statement_id,
        statements.account_id,
        statements.settlement_session_type,
        statements.accounting_dates,
        statements.settlement_mode,
        statements.currency_code,
        statements.transaction_count,
        statements.transaction_amount_minor,
        statements.fee_amount_minor,
        statements.deducted_fee_amount_minor,
        statements.settlement_amount_minor,
        statements.adjustment_count,
        statements.adjustment_amount_minor,
        statements.advance_amount_minor,
        statements.advance_fee_amount_minor,
        statements.previous_unsettled_amount_minor,
        statements.transfer_amount_minor,
        statements.held_amount_minor,
        statements.frozen_amount_minor,
        statements.not_due_amount_minor,
        statements.payout_amount_minor,
        statements.carried_forward_amount_minor,
        statements.payout_minimum_amount_minor,
        statements.payable_status,
        statements.withheld_reason,
        payees.bank_name,
        payees.account_number_mask,
        payees.account_name_mask,
        dues.next_due_on,
        dues.last_due_on
    from settlement.settlement_statements as statements
    left join payees
        on
            statements.payee_id = payees.payee_id
            and statements.payee_version = payees.payee_version
    left join dues on statements.statement_id = dues.statement_id
    where
        statements.payment_date = %(payment_date)s
        and (%(account_id)s::text is null or statements.account_id = %(account_id)s)
    order by statements.statement_id collate "C"
"""

# One a date, so that only its partitions are read.
_ENTRIES: Final = """
    select
        statement_id,
        accounting_date,
        clearing_session_type,
        transaction_at,
        channel,
        merchant_id,
        terminal_id,
        merchant_order_id,
        source_id,
        transaction_type,
        transaction_amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        clearing_amount_minor,
        contract_id,
        fee_rule_id,
        clearing_session_no
    from settlement.statement_details
    where
        payment_date = %(payment_date)s
        and accounting_date = %(accounting_date)s
        and (%(account_id)s::text is null or account_id = %(account_id)s)
    order by statement_id collate "C", transaction_at nulls last, entry_id collate "C"
"""

_ADVANCES: Final = """
    select
        statements.statement_id,
        advances.for_accounting_date as accounting_date,
        advances.advance_id,
        advances.principal_amount_minor,
        advances.advance_fee_amount_minor,
        advances.advance_amount_minor
    from settlement.advances as advances
    left join settlement.settlement_statements as statements
        on
            advances.payment_date = statements.payment_date
            and advances.account_id = statements.account_id
            and advances.currency_code = statements.currency_code
            and statements.settlement_session_type = 'transaction'
    where
        advances.payment_date = %(payment_date)s
        and (%(account_id)s::text is null or advances.account_id = %(account_id)s)
    order by statements.statement_id collate "C", advances.advance_id collate "C"
"""

_HOLDS: Final = """
    select
        statements.statement_id,
        holds.accounting_date,
        holds.channel,
        holds.merchant_id,
        holds.voucher_id,
        holds.closing_amount_minor,
        holds.reason,
        holds.stated_on
    from settlement.holds as holds
    left join settlement.settlement_statements as statements
        on
            holds.payment_date = statements.payment_date
            and holds.account_id = statements.account_id
            and holds.settlement_session_type = statements.settlement_session_type
            and holds.currency_code = statements.currency_code
    where
        holds.payment_date = %(payment_date)s
        and holds.closing_amount_minor <> 0
        and (%(account_id)s::text is null or holds.account_id = %(account_id)s)
    order by statements.statement_id collate "C", holds.accounting_date, holds.entry_id collate "C"
"""

_DECIDED: Final = """
    select outcome in ('passed', 'released')
        and fingerprint = gate.statement_fingerprint(%(payment_date)s)
    from control.gate_decisions
    where payment_date = %(payment_date)s
    order by decision_id desc
    limit 1
"""


class StatementExportError(TieoutError):
    """Statements cannot leave: they do not sum, or nobody has decided on them."""


@dataclass(frozen=True)
class ExportedStatements:
    """What an export wrote: how many statements and lines, and the payouts by currency."""

    folder: Path
    list_path: Path
    statements: int
    lines: int
    payouts: Mapping[str, int]


class _Line(NamedTuple):
    """A line of a statement's list; ``amount_minor`` is what it adds to the payout."""

    kind: str
    amount_minor: int
    remark: str = ""
    accounting_date: date | None = None
    transaction_at: datetime | None = None
    channel: str | None = None
    merchant_id: str | None = None
    terminal_id: str | None = None
    merchant_order_id: str | None = None
    reference: str | None = None
    transaction_type: str | None = None
    transaction_amount_minor: int | None = None
    fee_amount_minor: int | None = None
    deducted_fee_amount_minor: int | None = None
    contract_id: str | None = None
    fee_rule_id: str | None = None
    clearing_session_no: int | None = None


def export_statements(
    settings: Settings,
    payment_date: date,
    *,
    folder: Path,
    file_format: Format = "csv",
    account_id: str | None = None,
) -> ExportedStatements:
    """Write a file a statement of the payment date, and a list of them, into ``folder``.

    Args:
        settings: the home; read as `tieout_finance`.
        payment_date: a date that the gate let pass, or two people released.
        folder: made where it is missing (0700); files of the same names are replaced.
        file_format: ``csv`` or ``xlsx``.
        account_id: only this account's statements; default: all.

    Raises:
        StatementExportError: the gate did not let the date pass or its statements are others since,
            there is no statement, or one does not sum to its payout; then no file is written.
        TieoutError: a workbook cannot hold it.
    """
    wanted = {"payment_date": payment_date, "account_id": account_id}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with connect(settings.acting_as("finance")) as connection, aside_of(folder) as aside:
        # One instant for all of it.
        connection.execute("set transaction isolation level repeatable read read only")
        _refuse_undecided(connection, payment_date)
        totals = _write_all(connection, wanted, aside, file_format)
        if totals.statements == 0:
            raise StatementExportError(
                what=f"{payment_date} has no statement"
                + (f" of account {account_id}" if account_id else ""),
                where="settlement.settlement_statements",
                why="nothing is cleared, held or carried there",
                next_step="tieout status lists the payment dates",
            )
        for path in sorted(aside.iterdir()):
            path.chmod(0o600)
            path.replace(folder / path.name)
    return ExportedStatements(
        folder=folder,
        list_path=folder / _list_name(payment_date),
        statements=totals.statements,
        lines=totals.lines,
        payouts=dict(totals.payouts),
    )


@contextmanager
def aside_of(folder: Path) -> Iterator[Path]:
    """Have a hidden folder for what has no name yet; it is gone at the end, with what is left."""
    aside = folder / ".exporting"
    if aside.exists():
        shutil.rmtree(aside)
    aside.mkdir(mode=0o700)
    try:
        yield aside
    finally:
        shutil.rmtree(aside)


def _refuse_undecided(connection: psycopg.Connection[Any], payment_date: date) -> None:
    row = connection.execute(_DECIDED, {"payment_date": payment_date}).fetchone()
    if row is None or not row[0]:
        raise StatementExportError(
            what=f"the statements of {payment_date} are not decided",
            where="control.gate_decisions",
            why="no gate decision on it"
            if row is None
            else "the last decision did not let it pass, or is about other statements",
            next_step=f"tieout pay {payment_date}, then export again",
        )


@dataclass
class _Totals:
    statements: int
    lines: int
    payouts: Counter[str]


def _list_name(payment_date: date) -> str:
    return f"statements_{payment_date:%Y%m%d}.csv"


def _write_all(
    connection: psycopg.Connection[Any],
    wanted: Mapping[str, Any],
    aside: Path,
    file_format: Format,
) -> _Totals:
    """Write every statement's file and the list of them; compare the list with the table's sum."""
    totals = _Totals(0, 0, Counter())
    payment_date = wanted["payment_date"]
    names = _type_names(connection)
    with (
        _sources(connection, wanted) as sources,
        CsvList(aside / _list_name(payment_date), LIST_COLUMNS, for_people=True) as listed,
    ):
        for statement in in_steps(connection, "statements", _STATEMENTS, wanted):
            path = aside / f"{_file_name(statement.statement_id)}.{file_format}"
            lines = sources.lines_of(statement, names)
            count = _write_one(path, payment_date, statement, lines, file_format)
            listed.row(
                statement.statement_id,
                statement.account_id,
                statement.currency_code,
                _named(statement.payable_status, STATUSES),
                count,
                Amount(statement.payout_amount_minor, statement.currency_code),
                Amount(statement.carried_forward_amount_minor, statement.currency_code),
                path.name,
                _sha256(path),
            )
            totals.statements += 1
            totals.lines += count
            totals.payouts[statement.currency_code] += statement.payout_amount_minor
        sources.refuse_left_over()
    return totals


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _file_name(statement_id: str) -> str:
    if not statement_id.replace("-", "").isalnum() or not statement_id.isascii():
        raise StatementExportError(
            what=f"statement {statement_id!r} cannot name a file",
            where="settlement.settlement_statements",
            why="an id has letters, digits and hyphens",
            next_step="find out how the account got its name",
        )
    return statement_id


# --- reading ------------------------------------------------------------------------------------


def _type_names(connection: psycopg.Connection[Any]) -> dict[str, str]:
    rows = connection.execute(
        "select transaction_type, transaction_type_zh from reference.transaction_types"
        " union all select adjustment_type, adjustment_type_zh from reference.adjustment_types"
    ).fetchall()
    return dict(rows)


def in_steps(
    connection: psycopg.Connection[Any], name: str, query: str, parameters: Mapping[str, Any]
) -> Iterator[Any]:
    """Return a query's rows one by one, through a cursor of the server."""
    with connection.cursor(name, row_factory=namedtuple_row) as cursor:
        cursor.itersize = 2_000
        cursor.execute(query.encode(), parameters)
        yield from cursor


class _InOrder:
    """Rows in the order of their statements; each is taken by its statement, none is skipped."""

    def __init__(self, what: str, rows: Iterator[Any]) -> None:
        self.what = what
        self._rows = rows
        self._next = next(rows, None)

    def of(self, statement_id: str) -> Iterator[Any]:
        """Return the statement's rows."""
        while self._next is not None and self._next.statement_id == statement_id:
            yield self._next
            self._next = next(self._rows, None)

    def refuse_left_over(self) -> None:
        """Refuse where a row belongs to no statement, or to one that was gone by."""
        if self._next is not None:
            raise StatementExportError(
                what=f"{self.what} are in no list",
                where=str(self._next.statement_id or "no statement"),
                why="the row belongs to no statement of the date: the lists would lack it",
                next_step="compare settlement.settlement_statements with what it is made of",
            )


@dataclass(frozen=True)
class _Sources:
    entries: _InOrder
    advances: _InOrder
    holds: _InOrder

    def refuse_left_over(self) -> None:
        for source in (self.entries, self.advances, self.holds):
            source.refuse_left_over()

    def lines_of(self, statement: Any, names: Mapping[str, str]) -> Iterator[_Line]:
        """Return a statement's lines; their amounts sum to its payout."""
        for entry in self.entries.of(statement.statement_id):
            yield _Line(
                kind="transaction"
                if entry.clearing_session_type == "transaction"
                else "adjustment",
                amount_minor=entry.clearing_amount_minor,
                accounting_date=entry.accounting_date,
                transaction_at=entry.transaction_at,
                channel=entry.channel,
                merchant_id=entry.merchant_id,
                terminal_id=entry.terminal_id,
                merchant_order_id=entry.merchant_order_id,
                reference=entry.source_id,
                transaction_type=_named(entry.transaction_type, names),
                transaction_amount_minor=entry.transaction_amount_minor,
                fee_amount_minor=entry.fee_amount_minor,
                deducted_fee_amount_minor=entry.deducted_fee_amount_minor,
                contract_id=entry.contract_id,
                fee_rule_id=entry.fee_rule_id,
                clearing_session_no=entry.clearing_session_no,
            )
        for advance in self.advances.of(statement.statement_id):
            yield _Line(
                kind="advance",
                amount_minor=-advance.advance_amount_minor,
                accounting_date=advance.accounting_date,
                reference=advance.advance_id,
                fee_amount_minor=advance.advance_fee_amount_minor,
            )
        for kind, amount in (
            ("previous_unsettled", statement.previous_unsettled_amount_minor),
            ("transfer", statement.transfer_amount_minor),
        ):
            if amount:
                yield _Line(kind, amount)
        for hold in self.holds.of(statement.statement_id):
            yield _Line(
                kind="held",
                amount_minor=-hold.closing_amount_minor,
                remark=f"{hold.reason}, stated on {hold.stated_on}",
                accounting_date=hold.accounting_date,
                channel=hold.channel,
                merchant_id=hold.merchant_id,
                reference=hold.voucher_id,
            )
        if statement.frozen_amount_minor:
            yield _Line("frozen", -statement.frozen_amount_minor)
        if statement.not_due_amount_minor:
            yield _Line("not_due", -statement.not_due_amount_minor, remark=_due_on(statement))
        # By the status, not by the payout, which the sum would then meet whatever it is.
        if statement.payable_status != "payable" and _available(statement):
            yield _Line("not_paid", -_available(statement), remark=_why_not(statement))


@contextmanager
def _sources(connection: psycopg.Connection[Any], wanted: Mapping[str, Any]) -> Iterator[_Sources]:
    dates = [
        row[0]
        for row in connection.execute(
            "select distinct accounting_date from settlement.statement_lines"
            " where payment_date = %(payment_date)s order by accounting_date",
            wanted,
        )
    ]
    by_date = [
        in_steps(connection, f"entries_{day:%Y%m%d}", _ENTRIES, {**wanted, "accounting_date": day})
        for day in dates
    ]
    yield _Sources(
        entries=_InOrder(
            "clearing entries",
            heapq.merge(*by_date, key=lambda row: (row.statement_id, row.accounting_date)),
        ),
        advances=_InOrder("advances", in_steps(connection, "advances", _ADVANCES, wanted)),
        holds=_InOrder("holds", in_steps(connection, "holds", _HOLDS, wanted)),
    )


def _available(statement: Any) -> int:
    """What could be paid, as the statement's own parts have it."""
    return int(
        statement.settlement_amount_minor
        + statement.adjustment_amount_minor
        - statement.advance_amount_minor
        + statement.previous_unsettled_amount_minor
        + statement.transfer_amount_minor
        - statement.held_amount_minor
        - statement.frozen_amount_minor
        - statement.not_due_amount_minor
    )


def _due_on(statement: Any) -> str:
    """From when to when by the contract's cycle what is not due yet is due."""
    text = f"due on {statement.next_due_on}"
    if statement.last_due_on != statement.next_due_on:
        text += f" to {statement.last_due_on}"
    return text


def _why_not(statement: Any) -> str:
    text = _named(statement.payable_status, STATUSES)
    if statement.withheld_reason:
        text += f": {statement.withheld_reason}"
    if statement.payable_status == "below_minimum":
        least = amount_text(statement.payout_minimum_amount_minor, statement.currency_code)
        text += f" {least}"
    return text


def _named(token: str | None, names: Mapping[str, str]) -> str:
    """A token with its Chinese name where it has one: ``purchase 消费``."""
    if token is None:
        return ""
    return f"{token} {names[token]}" if token in names else token


# --- writing ------------------------------------------------------------------------------------


class _FeeGroup(NamedTuple):
    kind: str
    channel: str
    transaction_type: str
    contract_id: str
    fee_rule_id: str


class _Sums:
    """What a statement's lines come to while they are written."""

    def __init__(self) -> None:
        self.amounts: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.transactions = 0
        self.fees: Counter[str] = Counter()
        self.deducted: Counter[str] = Counter()
        self.fee_groups: dict[_FeeGroup, list[int]] = defaultdict(lambda: [0, 0, 0, 0])

    @property
    def total(self) -> int:
        """The running total, minor units."""
        return sum(self.amounts.values())

    def add(self, line: _Line) -> None:
        """Count a line in."""
        self.amounts[line.kind] += line.amount_minor
        self.counts[line.kind] += 1
        self.fees[line.kind] += line.fee_amount_minor or 0
        self.deducted[line.kind] += line.deducted_fee_amount_minor or 0
        if line.kind == "transaction":
            self.transactions += line.transaction_amount_minor or 0
        if line.fee_amount_minor:
            group = self.fee_groups[
                _FeeGroup(
                    line.kind,
                    line.channel or "",
                    line.transaction_type or "",
                    line.contract_id or "",
                    line.fee_rule_id or "",
                )
            ]
            for place, value in enumerate(
                (
                    1,
                    line.transaction_amount_minor or 0,
                    line.fee_amount_minor,
                    line.deducted_fee_amount_minor or 0,
                )
            ):
                group[place] += value

    def differences(self, statement: Any) -> list[str]:
        """Return what the lines come to where the statement says another thing."""
        fee_total, deducted_total = (
            sum(group[place] for group in self.fee_groups.values()) for place in (2, 3)
        )
        said = (
            ("payout", self.total, statement.payout_amount_minor),
            ("settlement", self.amounts["transaction"], statement.settlement_amount_minor),
            ("transactions", self.transactions, statement.transaction_amount_minor),
            ("transaction count", self.counts["transaction"], statement.transaction_count),
            ("fees", self.fees["transaction"], statement.fee_amount_minor),
            ("deducted fees", self.deducted["transaction"], statement.deducted_fee_amount_minor),
            ("adjustments", self.amounts["adjustment"], statement.adjustment_amount_minor),
            ("adjustment count", self.counts["adjustment"], statement.adjustment_count),
            ("advances", -self.amounts["advance"], statement.advance_amount_minor),
            ("advance fees", self.fees["advance"], statement.advance_fee_amount_minor),
            ("held", -self.amounts["held"], statement.held_amount_minor),
            ("not due", -self.amounts["not_due"], statement.not_due_amount_minor),
            ("fee groups", fee_total, sum(self.fees.values())),
            ("deducted fee groups", deducted_total, sum(self.deducted.values())),
            (
                "carried forward",
                _available(statement)
                + statement.held_amount_minor
                + statement.frozen_amount_minor
                + statement.not_due_amount_minor
                - self.total,
                statement.carried_forward_amount_minor,
            ),
        )
        return [
            f"{what}: the lines come to {found}, the statement says {stated}, difference"
            f" {found - stated} minor units"
            for what, found, stated in said
            if found != stated
        ]


def _write_one(
    path: Path, payment_date: date, statement: Any, lines: Iterator[_Line], file_format: Format
) -> int:
    """Write a statement's file; return its number of lines.

    Raises:
        StatementExportError: the lines do not come to what the statement says.
    """
    sums = _Sums()
    if file_format == "csv":
        with CsvList(path, LINE_COLUMNS, for_people=True) as listed:
            _write_lines(listed, {}, statement, lines, sums)
    else:
        with Workbook(path, payment_date) as book:
            summary = book.sheet("summary 汇总", SUMMARY_COLUMNS)
            sheets = {
                "transaction": book.sheet("transactions 交易明细", LINE_COLUMNS),
                "adjustment": book.sheet("adjustments 差错及调整", LINE_COLUMNS),
            }
            others = book.sheet("other 其他项目", LINE_COLUMNS)
            _write_lines(others, sheets, statement, lines, sums)
            _write_fees(book.sheet("fees 手续费", FEE_COLUMNS), sums, statement.currency_code)
            _write_summary(summary, payment_date, statement, sums)
    found = sums.differences(statement)
    if found:
        raise StatementExportError(
            what=f"statement {statement.statement_id} does not sum to its payout",
            where=f"settlement.settlement_statements of {payment_date}",
            why="; ".join(found),
            next_step="nothing was written; tieout verify says whether a row was changed since",
        )
    return sum(sums.counts.values())


def _write_lines(
    others: Rows, sheets: Mapping[str, Rows], statement: Any, lines: Iterator[_Line], sums: _Sums
) -> None:
    """Write the lines, those of a kind with a sheet of its own there, and the payout behind all."""
    for number, line in enumerate(lines, start=1):
        sums.add(line)
        cells = _cells(number, line, sums.total, statement.currency_code)
        sheets.get(line.kind, others).row(*cells)
    others.row(*_payout_cells(statement))


def _cells(number: int, line: _Line, total: int, currency_code: str) -> Iterator[Cell]:
    def amount(minor: int | None) -> Amount | None:
        return None if minor is None else Amount(minor, currency_code)

    at = line.transaction_at
    yield from (
        number,
        f"{line.kind} {LINE_KINDS[line.kind]}",
        line.accounting_date,
        at.astimezone(days.BUSINESS_TIME_ZONE).strftime("%Y-%m-%d %H:%M:%S") if at else None,
        line.channel,
        line.merchant_id,
        line.terminal_id,
        line.merchant_order_id,
        line.reference,
        line.transaction_type,
        amount(line.transaction_amount_minor),
        amount(line.fee_amount_minor),
        amount(line.deducted_fee_amount_minor),
        amount(line.amount_minor),
        amount(total),
        currency_code,
        line.remark,
        line.clearing_session_no,
    )


def _payout_cells(statement: Any) -> Iterator[Cell]:
    """The last row: the payout stands in the running total, so that the amounts sum to it."""
    currency_code = statement.currency_code
    yield None
    yield f"payout {LINE_KINDS['payout']}"
    yield from itertools.repeat(None, 12)
    yield Amount(statement.payout_amount_minor, currency_code)
    yield currency_code
    yield _named(statement.payable_status, STATUSES)
    yield None


def _write_fees(sheet: Rows, sums: _Sums, currency_code: str) -> None:
    for group, (count, amount, fee, deducted) in sorted(sums.fee_groups.items()):
        sheet.row(
            f"{group.kind} {LINE_KINDS[group.kind]}",
            group.channel,
            group.transaction_type,
            group.contract_id,
            group.fee_rule_id,
            count,
            *(Amount(minor, currency_code) for minor in (amount, fee, deducted)),
        )


def _write_summary(sheet: Rows, payment_date: date, statement: Any, sums: _Sums) -> None:
    currency_code = statement.currency_code
    dates = " ".join(day.isoformat() for day in statement.accounting_dates)
    for item, text in (
        ("statement_id 结算单号", statement.statement_id),
        ("payment_date 付款日期", payment_date.isoformat()),
        ("account_id 账户", statement.account_id),
        ("settlement_session_type 结算场次类型", statement.settlement_session_type),
        ("accounting_dates 会计日期", dates),
        ("settlement_mode 结算方式", statement.settlement_mode or ""),
        ("currency_code 币种", currency_code),
        ("payable_status 付款状态", _named(statement.payable_status, STATUSES)),
        ("payee_name_masked 收款人（掩码）", statement.account_name_mask or ""),
        ("payee_account_masked 收款账号（掩码）", statement.account_number_mask or ""),
        ("payee_bank 收款行", statement.bank_name or ""),
    ):
        sheet.row(item, text, None, None)
    for kind, chinese in LINE_KINDS.items():
        if kind != "payout":
            sheet.row(
                f"{kind} {chinese}",
                None,
                sums.counts[kind],
                Amount(sums.amounts[kind], currency_code),
            )
    for item, minor in (
        (f"payout {LINE_KINDS['payout']}", statement.payout_amount_minor),
        ("carried_forward 结转", statement.carried_forward_amount_minor),
        ("fee 手续费", statement.fee_amount_minor),
        ("deducted_fee 扣收手续费", statement.deducted_fee_amount_minor),
    ):
        sheet.row(item, None, None, Amount(minor, currency_code))
