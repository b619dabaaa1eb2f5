"""A small, hand-written payment date in a real database: what the gate and the payouts stand on.

The tables that the program migrates come from its migrations. Those that dbt builds are created
here with the columns of the contract, so that each test can break one row of them. One template
database is built per session; every test gets a copy of its own, because payout tables are
append-only.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

import prepared_homes
from database_copies import copied
from tieout import database, gate
from tieout.core import masks
from tieout.core.settings import PROJECT_DIR, Settings, load_settings
from tieout.gate import deciding
from tieout.gate.expectation_suites import (
    EQUATION_TERMS,
    GATE_SUITES,
    REQUIRED_GATE_CHECKS,
    Suite,
)
from tieout.landing import payee_register
from tieout.protection import tokens

PAYMENT_DATE = date(2026, 9, 28)
ACCOUNTING_DATES = tuple(date(2026, 9, 24) + timedelta(days=offset) for offset in range(4))
ACCOUNT_NUMBERS = ("6230000000000000001", "6230000000000000002", "6230000000000000003")
ACCOUNT_NAMES = ("测试商户000001有限公司", "测试商户000002有限公司", "测试商户000003有限公司")
BANK_CODE = "102100000018"
PAYOUTS_MINOR = (123_456, 100, 7_000_005)

_BUILT_BY_DBT = """
create schema if not exists reference;
create schema if not exists settlement;
create schema if not exists gate;
create schema if not exists ledger;
create schema if not exists reconciliation;
create schema if not exists clearing;

create table reference.channels (
    channel text primary key, channel_name_zh text, currency_code text, arrival_calendar text,
    arrival_lag_days integer
);
insert into reference.channels values
('unionpay', '银联', 'CNY', 'working_day', 1),
('wechat', '微信支付', 'CNY', 'calendar_day', 1),
('alipay', '支付宝', 'CNY', 'working_day', 1);

create table reference.channel_currencies (channel text, currency_code text);
insert into reference.channel_currencies
select channel, currency_code from reference.channels;
create table reference.required_gate_checks (check_name text primary key);
create table reference.equation_terms (
    term text primary key, position integer, sign integer, is_of_arrival boolean
);

create table reference.calendar_days (
    calendar_date date primary key, is_working_day boolean, previous_working_day date,
    working_day_on_or_after date, next_working_day date
);

create table reference.bank_accounts (
    bank_account_id text, account_kind text, account_name text, bank_code text, bank_name text,
    currency_code text, payment_message text
);
insert into reference.bank_accounts values
('6600100200300400', 'client_reserve', '示例支付有限公司客户备付金', '999100000018', '示例银行',
    'CNY', 'pain.001.001.09');

create table reference.payout_rails (
    bank_account_id text primary key, rail text, customer_id text, payments_per_file integer,
    payment_limit_minor bigint, creditor_address text, acknowledgement text
);
insert into reference.payout_rails values
('6600100200300400', 'pain001', null, 3000, null, 'none', 'none');

create table reference.payee_return_reasons (
    reason_code text primary key, reason_en text, reason_zh text, policy text, blocks_payee boolean
);
create table reference.payout_retry_limits (
    currency_code text primary key, statement_attempt_limit integer, day_attempt_limit integer,
    day_amount_limit_minor bigint
);
create table reference.bank_answer_times (
    currency_code text primary key, answer_due_working_days integer,
    outcome_due_working_days integer, due_minute integer
);
create table reference.payout_inquiry_rules (
    currency_code text primary key, interval_working_days integer, inquiry_limit integer
);
create table reference.decision_limits (
    decision_kind text, holder_kind text, holder text, currency_code text, limit_minor bigint
);
create table clearing.payee_terms (
    accounting_date date, payee_id text, payee_version integer, account_id text,
    currency_code text, payee_status text, effective_from date, effective_to date,
    is_in_force boolean, confirmation text, change_id text
);

create table reference.expected_files (
    channel text, file_kind text, calendar text, due_minutes integer, correction text,
    name_part text
);
insert into reference.expected_files values
('platform', 'source_vouchers', 'every_day'),
('platform', 'operating_window', 'every_day'),
('platform', 'opening_balances', 'first_accounting_date'),
('unionpay', 'acomn', 'every_day');

create table reference.transaction_types (transaction_type text, is_cleared boolean);
insert into reference.transaction_types values
('purchase', true), ('refund', true), ('reversal', true), ('balance_inquiry', false);

create table reference.chart_of_accounts (ledger_account text primary key);
insert into reference.chart_of_accounts values ('channel_receivable'), ('merchant_payable');

create table settlement.settlement_statements (
    payment_date date not null, statement_id text primary key, account_id text,
    settlement_session_type text, settlement_session_no integer, accounting_dates date[],
    settlement_mode text, currency_code text, transaction_count bigint,
    transaction_amount_minor bigint, fee_amount_minor bigint, settlement_amount_minor bigint,
    adjustment_amount_minor bigint, advance_amount_minor bigint,
    advance_fee_amount_minor bigint default 0, previous_unsettled_amount_minor bigint,
    transfer_amount_minor bigint default 0, held_amount_minor bigint default 0,
    not_due_amount_minor bigint default 0,
    frozen_amount_minor bigint, payout_amount_minor bigint, carried_forward_amount_minor bigint,
    payee_id text, payee_version integer, payable_status text, withheld_reason text
);

create table gate.balance_equation (
    payment_date date, arrival_date date, channel text, currency_code text, arrival_group_id text,
    expected_arrival_date date, actual_arrival_date date, accounting_dates date[],
    <terms>,
    residual_minor bigint, line_count bigint, is_expected boolean
);
create table gate.gate_checks (
    payment_date date, check_name text, subject text, holds boolean, detail text, measured text,
    expected text, primary key (payment_date, check_name, subject)
);

create schema if not exists clearing;
create table clearing.clearing_records (
    accounting_date date, account_id text, currency_code text, transaction_amount_minor bigint
);
create table ledger.trial_balance (
    accounting_date date, ledger_account text, currency_code text, opening_amount_minor bigint,
    debit_amount_minor bigint, credit_amount_minor bigint, closing_amount_minor bigint
);
create table clearing.refused_vouchers (accounting_date date, voucher_id text, reason text);
create table clearing.waiting_conversions (
    accounting_date date, voucher_id text, reason text, channel text,
    transaction_currency_code text, transaction_amount_minor bigint, age_days integer
);

create table ledger.accounting_vouchers (
    accounting_date date, accounting_voucher_id text, source_voucher_id text, amount_minor bigint
);
create table ledger.postings (accounting_date date, posting_id text, voucher_id text);
create table reconciliation.suspense_rollforward (
    accounting_date date, channel text, side text, currency_code text,
    opening_count bigint, opening_amount_minor bigint, opened_count bigint,
    opened_amount_minor bigint, resolved_count bigint, resolved_amount_minor bigint,
    adjusted_count bigint, adjusted_amount_minor bigint, written_off_count bigint,
    written_off_amount_minor bigint, closing_count bigint, closing_amount_minor bigint
);
""".replace(
    "<terms>", ",\n    ".join(f"{name}_amount_minor bigint" for name, _, _ in EQUATION_TERMS)
)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class World:
    """One test's installation: a home, its stores, and a database of its own."""

    settings: Settings

    def execute(self, query: str, parameters: Sequence[object] | dict[str, object] = ()) -> None:
        """Run one statement and commit it."""
        with database.connect(self.settings) as connection:
            connection.execute(query, parameters)

    def rows(
        self, query: str, parameters: Sequence[object] | dict[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with database.connect(self.settings) as connection:
            return connection.execute(query, parameters).fetchall()

    def value(self, query: str, parameters: Sequence[object] | dict[str, object] = ()) -> Any:
        """Return the only value of a query."""
        (row,) = self.rows(query, parameters)
        return row[0]

    @property
    def outbox(self) -> Path:
        """The outbox as a folder."""
        return Path(self.settings.outbox_url.removeprefix("file://"))

    @property
    def inbox(self) -> Path:
        """The inbox as a folder."""
        return Path(self.settings.inbox_url.removeprefix("file://"))

    def files(self, folder: str) -> dict[str, bytes]:
        """Return the outbox files below ``folder`` by name, without the heads of the chains."""
        return {
            path.name: path.read_bytes()
            for path in sorted((self.outbox / folder).rglob("*"))
            if path.is_file() and path.name != "chain_heads.json"
        }


def build_template(home: Path) -> Settings:
    """Start a server in ``home`` and build the template: all tables, and a date that holds."""
    settings = load_settings({"TIEOUT_HOME": str(home)})
    prepared_homes.start_carelessly(settings)
    database.migrate(settings)
    with database.connect(settings) as connection:
        # As dbt's setup makes them: they are the owner's, whose functions read them.
        connection.execute("set role tieout_owner")
        connection.execute(_BUILT_BY_DBT)
        connection.execute("reset role")
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into reference.calendar_days values (%s, %s, %s, %s, %s)", _calendar()
            )
            for seed in (
                "payee_return_reasons", "payout_retry_limits", "payout_inquiry_rules",
                "decision_limits", "bank_answer_times",
            ):  # fmt: skip
                _load_seed(cursor, seed)
            cursor.executemany(
                "insert into reference.required_gate_checks values (%s)",
                [(name,) for name in REQUIRED_GATE_CHECKS],
            )
            cursor.executemany(
                "insert into reference.equation_terms values (%s, %s, %s)",
                [(term, no, sign) for no, (term, sign, _) in enumerate(EQUATION_TERMS, start=1)],
            )
    settings.ensure_dirs()
    fill(World(settings))
    gate.keep_expectations(settings)
    return settings


def _load_seed(cursor: psycopg.Cursor[Any], name: str) -> None:
    """Load the reference data that is the program's own, as dbt does."""
    path = PROJECT_DIR / "dbt_project" / "seeds" / "reference" / f"{name}.csv"
    with path.open(encoding="utf-8") as stream:
        head, *rows = csv.reader(stream)
    marks = ", ".join(["%s"] * len(head))
    cursor.executemany(
        f"insert into reference.{name} ({', '.join(head)}) values ({marks})",
        [[value or None for value in row] for row in rows],
    )


@contextmanager
def copy_of(template: Settings, home: Path) -> Iterator[World]:
    """Give one test a copy of the template and a home of its own."""
    name = f"test_{next(_numbers)}_{hashlib.sha256(str(home).encode()).hexdigest()[:8]}"
    with copied(template, home, name) as settings:
        # The payees of the template are encrypted with its keys.
        shutil.copytree(template.secrets_dir, settings.secrets_dir, dirs_exist_ok=True)
        yield World(settings)


def login_of(world: World, name: str) -> str:
    """Return a login's name that no other database of the server has."""
    return f"{name}_{urlsplit(database.ensure_server(world.settings)).path.lstrip('/')}"


class Finding:
    """What the checkpoint finds, where a test needs no library; `between` runs while it looks."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.failures: tuple[gate.Failure, ...] = ()
        self.between: list[Callable[[], object]] = []
        patch.setattr(deciding, "_run_checkpoint", self.run)

    def run(
        self, _settings: object, name: str, suites: Sequence[Suite], day: date
    ) -> gate.CheckpointResult:
        for action in self.between:
            action()
        count = sum(len(suite.rules) for suite in suites)
        return gate.CheckpointResult(name, day, count, self.failures)


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> Finding:
    """A checkpoint that finds what the test says."""
    assert GATE_SUITES
    return Finding(monkeypatch)


def fill(world: World) -> None:
    """Put a payment date into the world at which everything holds."""
    fill_files(world)
    fill_statements(world)
    fill_equation(world)
    fill_checks(world)
    fill_close(world)


def decide(world: World, outcome: str = "passed") -> int:
    """Store a decision on the statements as they are, past the gate's program; return its id."""
    return int(
        world.value(
            "insert into control.gate_decisions (payment_date, outcome, fingerprint,"
            " statements_covered, payout_amount_minor, decided_by)"
            " select %(day)s, %(outcome)s, gate.statement_fingerprint(%(day)s), count(*),"
            " coalesce(sum(payout_amount_minor), 0), 'test'"
            " from settlement.settlement_statements"
            " where payment_date = %(day)s and payable_status = 'payable'"
            " and payout_amount_minor > 0 returning decision_id",
            {"day": PAYMENT_DATE, "outcome": outcome},
        )
    )


def file_row(world: World, channel: str, kind: str, day: date, **columns: object) -> str:
    """Add a landed file; return its id."""
    name = str(columns.get("file_name", f"{kind}_{day:%Y%m%d}"))
    sha256 = hashlib.sha256(f"{channel}/{name}".encode()).hexdigest()
    row: dict[str, object] = {
        "file_id": sha256[:16],
        "file_name": name,
        "file_url": f"file:///inbox/{name}",
        "sha256": sha256,
        "size_bytes": 10,
        "channel": channel,
        "file_kind": kind,
        "accounting_date": day,
        "booked_on": day,
        "row_count": 1,
        "totals_status": "agree",
        "status": "landed",
        **columns,
    }
    names = ", ".join(row)
    marks = ", ".join(f"%({name})s" for name in row)
    world.execute(f"insert into control.channel_files ({names}) values ({marks})", row)
    return sha256[:16]


def partition(world: World, table: str, day: date) -> None:
    """Make the partition of a landed table for one date."""
    world.execute(
        f"create table if not exists raw.{table}_{day:%Y%m%d} partition of raw.{table}"
        f" for values in ('{day}')"
    )


def fill_files(world: World) -> None:
    """Land the files of 24 to 27 September, the operating window and the payees among them."""
    for day in ACCOUNTING_DATES:
        file_row(world, "platform", "source_vouchers", day)
        file_row(world, "unionpay", "acomn", day, totals_status="none_in_format")
        window = file_row(world, "platform", "operating_window", day)
        partition(world, "platform_operating_window", day)
        world.execute(
            "insert into raw.platform_operating_window (file_id, line_number, accounting_date,"
            " first_accounting_date, last_accounting_date) values (%s, 2, %s, %s, null)",
            (window, day, ACCOUNTING_DATES[0]),
        )
    file_row(world, "platform", "opening_balances", ACCOUNTING_DATES[0])
    day = ACCOUNTING_DATES[-1]
    payees = file_row(world, "platform", "payees", day)
    partition(world, "platform_payees", day)
    for number, (account_number, name) in enumerate(
        zip(ACCOUNT_NUMBERS, ACCOUNT_NAMES, strict=True), start=1
    ):
        payee_row(
            world,
            payees,
            day,
            number + 1,
            payee_id=f"P{number:06d}",
            account_id=f"A{number:06d}",
            account_number=account_number,
            account_name=name,
        )


def payee_row(
    world: World,
    file_id: str,
    day: date,
    line: int,
    *,
    payee_id: str,
    account_id: str,
    account_number: str,
    account_name: str,
    version: int = 1,
    bank_code: str = BANK_CODE,
    confirmation: str = "first_date_list",
) -> None:
    """Land one payee, register its version, and have the close of its date take it."""
    settings = world.settings
    place = (payee_id, str(version))
    number_token, name_token = tokens.account_token(
        [account_number, account_name], settings=settings
    )
    row: dict[str, object] = {
        "file_id": file_id,
        "line_number": line,
        "accounting_date": day,
        "payee_id": payee_id,
        "payee_version": version,
        "account_id": account_id,
        "bank_name": "中国工商银行北京分行",
        "bank_code": bank_code,
        "account_number_ciphertext": tokens.encrypt_bound(
            account_number, ("account_number", *place), settings=settings
        ),
        "account_number_mask": masks.mask_account(account_number),
        "account_number_token": number_token,
        "account_name_ciphertext": tokens.encrypt_bound(
            account_name, ("account_name", *place), settings=settings
        ),
        "account_name_mask": masks.mask_name(account_name),
        "account_name_token": name_token,
        "currency_code": "CNY",
        "payee_status": "active",
        "effective_from": date(2026, 1, 1),
    }
    marks = ", ".join(f"%({name})s" for name in row)
    world.execute(f"insert into raw.platform_payees ({', '.join(row)}) values ({marks})", row)
    with database.connect(settings) as connection:
        landed = payee_register.landed_payees(connection, file_id, day)
        payee_register.register(connection, settings, file_id, day, landed)
    world.execute(
        "insert into clearing.payee_terms values"
        " (%s, %s, %s, %s, 'CNY', 'active', '2026-01-01', null, true, %s, %s)",
        (day, payee_id, version, account_id, confirmation, change_id(payee_id, version, day)),
    )


def change_id(payee_id: str, version: int, day: date) -> str:
    """Return how the decisions about a payee's version name it."""
    return f"payee:{payee_id}/{version}:{day:%Y%m%d}:{'0' * 32}"


def rename(world: World, text: str, payee_id: str = "P000001") -> None:
    """Give a payee another name, as if it had landed so before anybody looked."""
    ciphertext = tokens.encrypt_bound(
        text, ("account_name", payee_id, "1"), settings=world.settings
    )
    (token,) = tokens.account_token([text], settings=world.settings)
    world.execute(
        "alter table control.payee_versions disable trigger payee_versions_kept;"
        f" update control.payee_versions set account_name_token = '{token}'"
        f" where payee_id = '{payee_id}';"
        " alter table control.payee_versions enable trigger payee_versions_kept;"
        f" update raw.platform_payees set account_name_ciphertext = '{ciphertext}',"
        f" account_name_token = '{token}' where payee_id = '{payee_id}'"
    )


def statement_id(number: int) -> str:
    """Return the id of the world's statement ``number`` (from 1)."""
    return f"{PAYMENT_DATE:%Y%m%d}-A{number:06d}-T1-CNY"


def fill_statements(world: World) -> None:
    """State three payable accounts and one below its minimum."""
    for number, payout in enumerate((*PAYOUTS_MINOR, 0), start=1):
        settled = payout or 50
        world.execute(
            "insert into settlement.settlement_statements (payment_date, statement_id, account_id,"
            " settlement_session_type, settlement_session_no, accounting_dates, settlement_mode,"
            " currency_code, transaction_count, transaction_amount_minor, fee_amount_minor,"
            " settlement_amount_minor, adjustment_amount_minor, advance_amount_minor,"
            " previous_unsettled_amount_minor, frozen_amount_minor, payout_amount_minor,"
            " carried_forward_amount_minor, payee_id, payee_version, payable_status)"
            " values (%s, %s, %s, 'transaction', 1, %s, 'net', 'CNY', 2, %s, 10, %s, 0, 0, 0, 0,"
            " %s, %s, %s, %s, %s)",
            (
                PAYMENT_DATE,
                statement_id(number),
                f"A{number:06d}",
                list(ACCOUNTING_DATES),
                settled + 10,
                settled,
                payout,
                settled - payout,
                f"P{number:06d}" if payout else None,
                1 if payout else None,
                "payable" if payout else "below_minimum",
            ),
        )

    for day in ACCOUNTING_DATES:
        world.execute(
            "insert into clearing.clearing_records values (%s, 'A000001', 'CNY', 100)", (day,)
        )


def groups() -> list[tuple[str, date, tuple[date, ...]]]:
    """Return the arrival groups the payment date pays: channel, arrival date, accounting dates."""
    found = [
        ("unionpay", PAYMENT_DATE, ACCOUNTING_DATES),
        ("alipay", PAYMENT_DATE, ACCOUNTING_DATES),
    ]
    found += [("wechat", day + timedelta(days=1), (day,)) for day in ACCOUNTING_DATES]
    return found


def fill_equation(world: World) -> None:
    """Balance every arrival group with the worked example of the domain page (fen)."""
    terms = {
        "bank_arrival": 35_811,
        "channel_suspense_opened": 7_000,
        "channel_suspense_resolved": 0,
        "system_suspense_opened": 5_000,
        "system_suspense_resolved": 0,
        "channel_cost": 185,
        "brand_fee": 4,
        "adjustments_taken": 1_000,
        "fee_collections": 0,
        "recovery_fee": 0,
        "merchant_fee": 210,
        "clearing": 34_790,
    }
    names = ", ".join(f"{name}_amount_minor" for name in terms)
    for channel, arrival_date, accounting_dates in groups():
        world.execute(
            "insert into gate.balance_equation (payment_date, arrival_date, channel, currency_code,"
            " arrival_group_id, expected_arrival_date, actual_arrival_date, accounting_dates,"
            f" residual_minor, line_count, is_expected, {names}) values (%s, %s, %s, 'CNY', %s, %s,"
            f" %s, %s, 0, 1, true, {', '.join(['%s'] * len(terms))})",
            (
                PAYMENT_DATE,
                arrival_date,
                channel,
                f"{channel}-{arrival_date:%Y%m%d}-CNY",
                arrival_date,
                arrival_date,
                list(accounting_dates),
                *terms.values(),
            ),
        )


def fill_checks(world: World) -> None:
    """Let every required check hold."""
    for name in REQUIRED_GATE_CHECKS:
        world.execute(
            "insert into gate.gate_checks values (%s, %s, 'all', true, '', '0', '0')",
            (PAYMENT_DATE, name),
        )


def fill_close(world: World) -> None:
    """Close 24 and 25 September: one voucher, a ledger that balances, suspense that rolls."""
    for position, day in enumerate(ACCOUNTING_DATES[:2]):
        world.execute(
            "insert into ledger.trial_balance values"
            " (%(day)s, 'channel_receivable', 'CNY', %(opening)s, 100, 0, %(closing)s),"
            " (%(day)s, 'merchant_payable', 'CNY', -%(opening)s, 0, 100, -%(closing)s)",
            {"day": day, "opening": 100 * position, "closing": 100 * position + 100},
        )
        for channel in ("unionpay", "wechat", "alipay"):
            for side in ("system", "channel"):
                world.execute(
                    "insert into reconciliation.suspense_rollforward values"
                    " (%s, %s, %s, 'CNY', %s, %s, 1, 10, 0, 0, 0, 0, 0, 0, %s, %s)",
                    (day, channel, side, position, position * 10, position + 1, position * 10 + 10),
                )
        partition(world, "platform_source_vouchers", day)
        file_id = world.value(
            "select file_id from control.channel_files"
            " where file_kind = 'source_vouchers' and accounting_date = %s",
            (day,),
        )
        voucher(world, file_id, day, 2, name=f"V{day:%d}", kind="purchase", status="success")
        voucher(world, file_id, day, 3, name=f"V{day:%d}-failed", kind="purchase", status="failed")
        world.execute(
            "insert into ledger.accounting_vouchers values (%s, %s, %s, 100)",
            (day, f"AV{day:%d}", f"V{day:%d}"),
        )
        world.execute(
            "insert into ledger.postings values (%s, %s, %s)",
            (day, f"TX:{day:%d}", f"AV{day:%d}"),
        )


def voucher(
    world: World, file_id: str, day: date, line: int, *, name: str, kind: str, status: str
) -> None:
    """Add one source voucher."""
    world.execute(
        "insert into raw.platform_source_vouchers (file_id, line_number, accounting_date,"
        " voucher_id, transaction_at, transaction_type, transaction_status, merchant_id,"
        " account_id, channel,"
        " currency_code, amount_minor, card_kind, card_region, is_late_order)"
        " values (%s, %s, %s, %s, %s, %s, %s, 'M1', 'A000001', 'unionpay', 'CNY', 100, 'debit',"
        " 'domestic', false)",
        (file_id, line, day, name, f"{day} 10:00:00+08", kind, status),
    )


def _calendar() -> list[tuple[object, ...]]:
    """Return 1 September to 31 October 2026 with the Mid-Autumn and National Day holidays."""
    holidays = {date(2026, 9, 25), *(date(2026, 10, day) for day in range(1, 8))}
    days = [date(2026, 9, 1) + timedelta(days=offset) for offset in range(61)]
    working = [day for day in days if day.weekday() < 5 and day not in holidays]
    return [
        (
            day,
            day in working,
            max((other for other in working if other < day), default=None),
            min((other for other in working if other >= day), default=None),
            min((other for other in working if other > day), default=None),
        )
        for day in days
    ]


# Fixtures: a conftest imports the ones its tests ask for.


@pytest.fixture(scope="session")
def payment_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Build the template database once."""
    settings = build_template(tmp_path_factory.mktemp("payment-template"))
    yield settings
    database.stop_server(settings)


@pytest.fixture
def world(payment_template: Settings, tmp_path: Path) -> Iterator[World]:
    """Give the test a payment date at which everything holds."""
    with copy_of(payment_template, tmp_path) as copied:
        yield copied


@pytest.fixture(scope="module")
def shared_world(
    payment_template: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Give a module one world for tests that roll back, or change nothing."""
    home = tmp_path_factory.mktemp("shared-world")
    with copy_of(payment_template, home) as copied:
        yield copied


def release(
    settings: Settings, payment_date: date, first: str, second: str, reason: str
) -> deciding.Decision:
    """Release a date whose gate failed, by two people in a row."""
    asked = gate.request_release(settings, payment_date, reason, by=first)
    return gate.approve_release(settings, asked, by=second)
