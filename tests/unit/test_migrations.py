"""What the database itself refuses, whoever asks, and that migrations reach one known state."""

from __future__ import annotations

import ast
import csv
import hashlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from day_states import seal, set_state
from tieout import database, migrations
from tieout.core.settings import PROJECT_DIR, Settings, load_settings

Connection = psycopg.Connection[Any]

CHART_OF_ACCOUNTS = PROJECT_DIR / "dbt_project" / "seeds" / "reference" / "chart_of_accounts.csv"
PAYMENT_DATE = date(2026, 9, 28)
STATEMENT = "20260928-A000001-T1-CNY"
STATUSES = ("created", "submitted", "accepted", "paid", "failed", "unknown", "returned")
# Ruling 18 of the design, written out a second time; None is an attempt without any event.
ALLOWED = {
    (None, "created"),
    ("created", "submitted"),
    ("created", "failed"),
    ("submitted", "accepted"),
    ("submitted", "paid"),
    ("submitted", "failed"),
    ("submitted", "unknown"),
    ("accepted", "paid"),
    ("accepted", "failed"),
    ("accepted", "unknown"),
    ("unknown", "paid"),
    ("unknown", "failed"),
    ("failed", "paid"),
    ("paid", "returned"),
}
# The shortest way into each status.
WAYS: dict[str | None, tuple[str, ...]] = {
    None: (),
    "created": ("created",),
    "submitted": ("created", "submitted"),
    "accepted": ("created", "submitted", "accepted"),
    "paid": ("created", "submitted", "paid"),
    "failed": ("created", "failed"),
    "unknown": ("created", "submitted", "unknown"),
    "returned": ("created", "submitted", "paid", "returned"),
}


@contextmanager
def made_database(settings: Settings, name: str) -> Iterator[str]:
    """Make a database on the session's server, yield its URL, and drop it."""
    admin = database.ensure_server(settings)
    with psycopg.connect(admin, autocommit=True) as server:
        server.execute(f"create database {name}")
    try:
        yield f"{admin.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(admin, autocommit=True) as server:
            server.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def empty_database(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """A database of this module's own on the session's server: no dbt, no other test's rows."""
    with made_database(settings, "guards") as url:
        given = {
            "TIEOUT_HOME": str(tmp_path_factory.mktemp("guards")),
            "TIEOUT_DATABASE_URL": url,
        }
        empty = load_settings(given)
        database.migrate(empty)
        yield empty


# One channel, one date that is paid, one check; what dbt builds, as far as the guards read it.
WHAT_PASSES = """
    create table reference.channels (
        channel text, arrival_calendar text, arrival_lag_days integer
    );
    insert into reference.channels values ('unionpay', 'working_day', 1);
    create table reference.channel_currencies (channel text, currency_code text);
    insert into reference.channel_currencies values ('unionpay', 'CNY');
    create table reference.calendar_days (
        calendar_date date, previous_working_day date, working_day_on_or_after date
    );
    insert into reference.calendar_days
    select day, day - 1, day
    from generate_series(date '2026-09-24', date '2026-09-30', interval '1 day') as days (moment)
    cross join lateral (select moment::date as day) as dates;
    create table reference.required_gate_checks (check_name text);
    insert into reference.required_gate_checks values ('trial_balance_zero');
    create table gate.gate_checks (
        payment_date date, check_name text, subject text, holds boolean
    );
    insert into gate.gate_checks values ('2026-09-28', 'trial_balance_zero', 'CNY', true);
    create table gate.balance_equation (
        payment_date date, channel text, currency_code text, arrival_date date,
        arrival_group_id text, accounting_dates date[], residual_minor bigint
    );
    insert into gate.balance_equation values
    ('2026-09-28', 'unionpay', 'CNY', '2026-09-28', 'unionpay-20260928-CNY',
        array[date '2026-09-27'], 0);
    insert into control.channel_files (
        file_id, file_name, file_url, sha256, size_bytes, channel, file_kind, accounting_date,
        row_count, totals_status, status
    )
    values
    (repeat('f', 16), 'operating_window', 'x', repeat('f', 64), 1, 'platform', 'operating_window',
        '2026-09-24', 1, 'agree', 'landed');
    create table raw.platform_operating_window_p partition of raw.platform_operating_window default;
    insert into raw.platform_operating_window
    values (repeat('f', 16), 2, '2026-09-24', '2026-09-24', null);
"""


@pytest.fixture
def guarded(empty_database: Settings) -> Iterator[Connection]:
    """A connection with one payable statement and a passed gate; all is rolled back."""
    with database.connect(empty_database) as connection:
        connection.execute(
            """
            create table settlement.settlement_statements (
                payment_date date,
                statement_id text,
                account_id text,
                currency_code text,
                payout_amount_minor bigint,
                payee_id text,
                payee_version integer,
                payable_status text
            )
            """
        )
        connection.execute(WHAT_PASSES)
        for payee_id in ("P1", "P2"):
            add_payee(connection, payee_id)
        add_statement(connection, STATEMENT, 1000)
        decide(connection, "passed")
        yield connection
        connection.rollback()


def add_statement(connection: Connection, statement_id: str, amount_minor: int) -> None:
    connection.execute(
        "insert into settlement.settlement_statements values "
        "(%s, %s, 'A000001', 'CNY', %s, 'P1', 1, 'payable')",
        [PAYMENT_DATE, statement_id, amount_minor],
    )


def add_payee(connection: Connection, payee_id: str, version: int = 1) -> None:
    connection.execute(
        "insert into control.payee_versions values (%s, %s, 'A000001', 'CNY', '102100000018',"
        " 'number ' || %s, 'name', '2026-01-01', repeat('f', 16), 2, '2026-09-24')",
        [payee_id, version, payee_id],
    )


def decide(connection: Connection, outcome: str, **columns: object) -> int:
    row = connection.execute(
        """
        insert into control.gate_decisions (
            payment_date, outcome, fingerprint, statements_covered, payout_amount_minor,
            decided_by, released_by_first, released_by_second, release_reason
        )
        select
            %(day)s, %(outcome)s, gate.statement_fingerprint(%(day)s), count(*),
            coalesce(sum(payout_amount_minor), 0), 'test', %(first)s, %(second)s, %(reason)s
        from settlement.settlement_statements
        where payment_date = %(day)s and payable_status = 'payable'
        returning decision_id
        """,
        {
            "day": PAYMENT_DATE,
            "outcome": outcome,
            "first": columns.get("first"),
            "second": columns.get("second"),
            "reason": columns.get("reason"),
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def latest_decision(connection: Connection) -> int:
    row = connection.execute("select max(decision_id) from control.gate_decisions").fetchone()
    assert row is not None
    return int(row[0])


def instruct(connection: Connection, statement_id: str = STATEMENT, **changes: object) -> None:
    row: dict[str, object] = {
        "instruction_id": f"I-{statement_id}",
        "statement_id": statement_id,
        "payment_date": PAYMENT_DATE,
        "account_id": "A000001",
        "payee_id": "P1",
        "payee_version": 1,
        "account_number_token": "number P1",
        "account_name_token": "name",
        "bank_code": "102100000018",
        "currency_code": "CNY",
        "amount_minor": 1000,
        "decision_id": latest_decision(connection),
        **changes,
    }
    connection.execute(
        f"insert into payout.instructions ({', '.join(row)}) "
        f"values ({', '.join(f'%({name})s' for name in row)})",
        row,
    )


def attempt(connection: Connection, number: int) -> str:
    attempt_id = f"T{number}"
    connection.execute(
        "insert into payout.attempts values (%s, %s, %s, %s, 'B1', %s)",
        [attempt_id, f"I-{STATEMENT}", number, f"E{number}", PAYMENT_DATE],
    )
    return attempt_id


def report(connection: Connection, attempt_id: str, *statuses: str) -> None:
    for status in statuses:
        connection.execute(
            """
            insert into payout.attempt_events (attempt_id, event_no, status, business_date)
            select %(id)s, coalesce(max(event_no), 0) + 1, %(status)s, %(day)s
            from payout.attempt_events
            where attempt_id = %(id)s
            """,
            {"id": attempt_id, "status": status, "day": PAYMENT_DATE},
        )


def refuses(match: str) -> Any:
    """Expect the guard's own exception, no other one."""
    return pytest.raises(psycopg.errors.RestrictViolation, match=match)


# --- migrations ---------------------------------------------------------------------------------


def test_the_head_that_a_quick_call_compares_with_is_alembics() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


def test_a_migration_knows_nothing_that_changes_later() -> None:
    """It was decided when it was written; what one has to know of names is frozen beside it."""
    versions = sorted(Path(migrations.__file__).parent.glob("versions/*.py"))
    assert len(versions) > 20
    known = {
        (path.name, node.module)
        for path in versions
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tieout")
    }
    assert known == {("0012_slots.py", "tieout.migrations.file_slots")}


def test_processes_that_race_migrate_once(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    admin = database.ensure_server(settings)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create database raced")
    try:
        given = {
            "TIEOUT_HOME": str(tmp_path_factory.mktemp("raced")),
            "TIEOUT_DATABASE_URL": admin.rpartition("/")[0] + "/raced",
        }
        raced = load_settings(given)
        url = database.ensure_server(raced)
        # Both begin: what `migrate` asks first is not what keeps them apart.
        with ThreadPoolExecutor(1) as pool, psycopg.connect(url) as blocker:
            blocker.execute("select pg_advisory_lock(7405001)")
            waiting = pool.submit(database.migrate, raced)
            while not blocker.execute(
                "select 1 from pg_locks where locktype = 'advisory' and not granted"
            ).fetchone():
                assert not waiting.done()
            blocker.execute("create schema control")
            blocker.commit()
            blocker.execute("select pg_advisory_unlock(7405001)")
            assert waiting.result(timeout=60)
        assert not database.migrate(raced)
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("drop database raced with (force)")


def test_every_raw_table_is_partitioned_by_its_date_and_knows_its_file(
    guarded: Connection,
) -> None:
    rows = guarded.execute(
        """
        select
            tables.relname,
            pg_get_partkeydef(tables.oid),
            pg_get_constraintdef(keys.oid)
        from pg_class as tables
        inner join pg_namespace as schemas on tables.relnamespace = schemas.oid
        left join pg_constraint as keys on tables.oid = keys.conrelid and keys.contype = 'p'
        where
            schemas.nspname = 'raw'
            and tables.relkind in ('r', 'p')
            and not tables.relispartition
        order by tables.relname
        """
    ).fetchall()
    assert len(rows) == 37
    for name, partition_key, primary_key in rows:
        assert partition_key == "LIST (accounting_date)", name
        extra = ", detail_number" if name.endswith("_details") else ""
        assert primary_key == f"PRIMARY KEY (accounting_date, file_id, line_number{extra})", name


def test_every_money_column_is_a_whole_number(guarded: Connection) -> None:
    rows = guarded.execute(
        """
        select table_schema || '.' || table_name || '.' || column_name, data_type
        from information_schema.columns
        where table_schema in ('raw', 'control', 'payout') and column_name like '%\\_minor'
        """
    ).fetchall()
    assert len(rows) > 40
    assert {name: kind for name, kind in rows if kind != "bigint"} == {}


# --- append-only --------------------------------------------------------------------------------

HISTORIES = (
    "control.gate_decisions",
    "control.gate_decision_inputs",
    "control.gate_expectations",
    "control.accounting_day_seals",
    "payout.instructions",
    "payout.attempts",
    "payout.attempt_events",
    "payout.attempt_transitions",
    "payout.outbox_files",
    "control.chain_links",
)


@pytest.mark.parametrize(
    "change", ["update {} set {} = {}", "delete from {}", "truncate {} cascade"]
)
@pytest.mark.parametrize("table", HISTORIES)
def test_history_only_grows(table: str, change: str, guarded: Connection) -> None:
    # Older than what the decision was made from.
    set_state(guarded, "2026-08-01", "sealed")
    guarded.execute(
        "insert into control.accounting_day_seals (accounting_date, channel, payment_date) "
        "values ('2026-08-01', 'unionpay', %s)",
        [PAYMENT_DATE],
    )
    instruct(guarded)
    report(guarded, attempt(guarded, 1), "created")
    guarded.execute(
        "insert into payout.outbox_files values"
        " ('B1', %s, 'x', repeat('0', 64), 1, 1, 1000, 'CNY')",
        [PAYMENT_DATE],
    )
    guarded.execute('select control.keep_gate_expectations(\'{"x": "y"}\')')
    column = {"payout.attempt_transitions": "to_status"}.get(table) or (
        guarded.execute(f"select * from {table} limit 0").description or ()
    )[1].name
    # Links are made at commit, and a table with work left over cannot be emptied by anybody.
    guarded.execute("set constraints all immediate")
    with refuses("append-only"):
        guarded.execute(change.format(table, column, column))


def test_a_sealed_date_stays_sealed(guarded: Connection) -> None:
    for day, state in ((date(2026, 9, 24), "sealed"), (date(2026, 9, 25), "closed")):
        set_state(guarded, day, state)
    guarded.execute("update control.accounting_days set state = 'open' where state = 'closed'")
    for change in ("state = 'open'", "close_count = 9", "accounting_date = accounting_date - 9"):
        with refuses("2026-09-24 is sealed"), guarded.transaction():
            guarded.execute(f"update control.accounting_days set {change}")


def test_a_sealed_date_is_not_deleted(guarded: Connection) -> None:
    set_state(guarded, "2026-09-24", "sealed")
    with refuses("2026-09-24 is sealed"):
        guarded.execute("delete from control.accounting_days")


def test_the_dates_are_not_emptied(guarded: Connection) -> None:
    set_state(guarded, "2026-09-24", "closed")
    with refuses("control.accounting_days is not emptied"):
        guarded.execute("truncate control.accounting_days cascade")


@pytest.mark.parametrize(
    "forged",
    [
        "(accounting_date, state) values ('2026-09-24', 'sealed')",
        "(accounting_date, state) values ('2026-09-24', 'closed')",
        "(accounting_date, close_count) values ('2026-09-24', 1)",
        "(accounting_date, closed_at) values ('2026-09-24', now())",
        "(accounting_date, closed_run_id) values ('2026-09-24', 'command:1')",
        "(accounting_date, inputs_fingerprint) values ('2026-09-24', 'abc')",
    ],
)
def test_a_date_begins_open_and_never_closed(forged: str, guarded: Connection) -> None:
    with refuses("2026-09-24 begins open"):
        guarded.execute(f"insert into control.accounting_days {forged}")


def test_an_open_date_is_not_sealed_nor_moved(guarded: Connection) -> None:
    set_state(guarded, "2026-09-24", "open")
    with refuses("2026-09-24 is open, and cannot be sealed"), guarded.transaction():
        guarded.execute("update control.accounting_days set state = 'sealed'")
    with refuses("does not become another date"):
        guarded.execute("update control.accounting_days set accounting_date = '2026-09-25'")


def test_a_seal_needs_a_sealed_date(guarded: Connection) -> None:
    set_state(guarded, "2026-09-24", "closed")
    with refuses("2026-09-24 is not sealed"):
        guarded.execute(
            "insert into control.accounting_day_seals (accounting_date, channel, payment_date) "
            "values ('2026-09-24', 'unionpay', '2026-09-25')"
        )


def test_a_payment_date_is_paid_from_its_first_attempt_on(guarded: Connection) -> None:
    paid = "select control.is_paid(%s)"
    instruct(guarded)
    assert guarded.execute(paid, [PAYMENT_DATE]).fetchone() == (False,)
    attempt(guarded, 1)
    assert guarded.execute(paid, [PAYMENT_DATE]).fetchone() == (True,)
    assert guarded.execute(paid, [PAYMENT_DATE - timedelta(days=1)]).fetchone() == (False,)


TABLES_OF_BEFORE = {
    "clearing.entries": ("accounting_date", True),
    "settlement.statements": ("payment_date", True),
    "gate.checks": ("payment_date", True),
    # They tell of a payment after it was made.
    "ledger.bank_journal": ("payment_date", False),
    "payout.payout_status": ("payment_date", False),
}


def test_tables_of_before_get_the_guard_of_sealed_rows(settings: Settings) -> None:
    with made_database(settings, "tieout_unguarded") as url:
        migrations.upgrade(url, "0012")
        with psycopg.connect(url) as connection:
            for table, (key, _) in TABLES_OF_BEFORE.items():
                connection.execute(f"create table {table} ({key} date) partition by list ({key})")
                connection.execute(
                    f"create table {table}_1 partition of {table} for values in ('2026-09-24')"
                )
            connection.execute(
                "create table raw.unionpay_acomn_1 partition of raw.unionpay_acomn"
                " for values in ('2026-09-24')"
            )
        migrations.upgrade(url)
        with psycopg.connect(url, autocommit=True) as connection:
            with connection.transaction():
                set_state(connection, "2026-09-24", "sealed")
                seal(connection, "2026-09-24", "unionpay", "2026-09-24")
            for table, (_, is_guarded) in TABLES_OF_BEFORE.items():
                for name in (table, f"{table}_1"):
                    insert = f"insert into {name} values ('2026-09-24')"
                    if is_guarded:
                        with refuses(f"its rows in {name} stay"):
                            connection.execute(insert)
                    else:
                        connection.execute(insert)
            with refuses("its rows in raw.unionpay_acomn_1 stay"):
                connection.execute("delete from raw.unionpay_acomn_1")


def test_tables_of_before_take_what_people_make_of_adjustments(settings: Settings) -> None:
    with made_database(settings, "tieout_undisposed") as url:
        migrations.upgrade(url, "0019")
        with psycopg.connect(url) as connection:
            connection.execute(
                "create table clearing.suspended_adjustments (status text"
                " constraint suspended_known_status check (status in ('suspended', 'applied')))"
            )
            connection.execute(
                "create table reconciliation.applied_actions (action_kind text"
                " constraint actions_known_kind check (action_kind in ('pair', 'offset')))"
            )
            connection.execute("insert into clearing.suspended_adjustments values ('applied')")
        migrations.upgrade(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("insert into reconciliation.applied_actions values ('absorb')")
            connection.execute(
                "insert into clearing.suspended_adjustments"
                " values ('charged', 'A1', null, 'ACT:1', 'wang, li')"
            )
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute("insert into clearing.suspended_adjustments values ('absorbed')")


def test_holds_of_before_get_the_group_they_wait_for(settings: Settings) -> None:
    """As the contract has it, at the end, and without a change of the rows that are there."""
    with made_database(settings, "tieout_ageing_holds") as url:
        migrations.upgrade(url, "0021")
        with psycopg.connect(url) as connection:
            connection.execute(
                "create table settlement.holds (payment_date date, reason text)"
                " partition by list (payment_date);"
                "create table settlement.holds_20260928 partition of settlement.holds"
                " for values in ('2026-09-28');"
                "insert into settlement.holds values ('2026-09-28', 'arrival_unconfirmed')"
            )
        migrations.upgrade(url)
        with psycopg.connect(url) as connection:
            assert connection.execute("select * from settlement.holds_20260928").fetchall() == [
                (PAYMENT_DATE, "arrival_unconfirmed", None)
            ]


def test_vouchers_of_before_state_no_fee_and_renamed_models_leave_nothing(
    settings: Settings,
) -> None:
    with made_database(settings, "tieout_unstated") as url:
        migrations.upgrade(url, "0026")
        with psycopg.connect(url) as connection:
            connection.execute(
                "create schema if not exists intermediate;"
                "create table intermediate.int_clearing__priced_vouchers (voucher_id text);"
                "create view intermediate.int_clearing__vouchers as"
                " select voucher_id from intermediate.int_clearing__priced_vouchers;"
                "create table raw.platform_accounting_vouchers_20260924"
                " partition of raw.platform_accounting_vouchers for values in ('2026-09-24')"
            )
        migrations.upgrade(url)
        with psycopg.connect(url) as connection:
            assert (
                connection.execute(
                    "select table_name from information_schema.tables"
                    " where table_schema = 'intermediate'"
                ).fetchall()
                == []
            )
            assert connection.execute(
                "select data_type, is_nullable from information_schema.columns"
                " where table_name = 'platform_accounting_vouchers_20260924'"
                " and column_name = 'fee_minor'"
            ).fetchall() == [("bigint", "YES")]


def test_what_one_person_released_before_is_decided_again(settings: Settings) -> None:
    """Rows of before stay; where nothing was attempted, the gate has failed again."""
    with made_database(settings, "tieout_one_person") as url:
        migrations.upgrade(url, "0022")
        with psycopg.connect(url) as connection:
            connection.execute("set session_replication_role = replica")
            for day, outcome, second in (
                (1, "released", "Alice\u00a0Wu"),
                (2, "released", "Bob Li"),
                (3, "released", "Alice\u00a0Wu"),
                (3, "passed", None),
                (4, "released", "Alice\u00a0Wu"),
            ):
                connection.execute(
                    "insert into control.gate_decisions (payment_date, outcome, fingerprint,"
                    " statements_covered, payout_amount_minor, detail, decided_by,"
                    " released_by_first, released_by_second, release_reason)"
                    " values (%s, %s, 'f', 3, 700, %s, 'x', 'Alice Wu', %s, 'r')",
                    [date(2026, 9, day), outcome, '{"failures": [1]}', second],
                )
            connection.execute(
                "insert into payout.outbox_files values"
                " ('m', '2026-09-04', 'f', repeat('a', 64), 1, 1, 1, 'CNY')"
            )
            connection.execute(
                "insert into reconciliation.actions (action_kind, suspense_item_id, effective_on,"
                " reason, requested_by) values ('write_off', 'S:1', '2026-09-09', 'r', 'Alice Wu')"
            )
            connection.execute(
                "insert into reconciliation.action_approvals select action_id, 'ＡＬＩＣＥ wu'"
                " from reconciliation.actions"
            )
        migrations.upgrade(url)
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute(
                "select distinct on (payment_date) extract(day from payment_date)::integer,"
                " outcome, fingerprint, payout_amount_minor, detail, decided_by"
                " from control.gate_decisions order by payment_date, decision_id desc"
            ).fetchall()
            assert [(day, outcome) for day, outcome, *_ in found] == [
                (1, "failed"), (2, "released"), (3, "passed"), (4, "released"),
            ]  # fmt: skip
            assert found[0][2:] == (
                "f", 700, {"failures": [1]},
                "migration 0023: decision 1 was released by one person",
            )  # fmt: skip
            counts = connection.execute(
                "select (select count(*) from reconciliation.action_approvals),"
                " (select count(*) from control.gate_decisions)"
            ).fetchone()
            assert counts == (1, 6)
            with pytest.raises(psycopg.errors.CheckViolation, match="release_needs_two_people"):
                connection.execute(
                    "insert into control.gate_decisions (payment_date, outcome, fingerprint,"
                    " statements_covered, payout_amount_minor, decided_by, released_by_first,"
                    " released_by_second, release_reason) values"
                    " ('2026-09-09', 'released', 'f', 1, 1, 'x', 'Alice Wu', 'alice  wu', 'r')"
                )


# As dbt made it up to version 0024, and what it held of a date: sale and fee, a refund, an
# adjustment, a payout, an advance, bank lines and the two sides of the opening balances.
JOURNAL_OF_BEFORE = """
create schema if not exists reference;
create table reference.chart_of_accounts (
    ledger_account text, ledger_account_zh text, account_class text, normal_balance text,
    subledger text
);
create schema if not exists ledger;
create table ledger.journal_entries (
    accounting_date date not null, entry_id text not null, voucher_id text not null,
    event_type text not null, source_id text not null, channel text, settlement_mode text,
    currency_code text not null, ledger_account text not null, subledger_id text not null,
    account_id text, arrival_group_id text, direction text not null,
    amount_minor bigint not null, is_catch_up boolean not null, file_id text, line_number integer,
    primary key (accounting_date, entry_id),
    constraint journal_amount check (amount_minor > 0),
    constraint journal_direction check (direction in ('debit', 'credit')),
    foreign key (accounting_date) references control.accounting_days (accounting_date)
) partition by list (accounting_date);
create table ledger.journal_entries_20260924 partition of ledger.journal_entries
for values in ('2026-09-24');
create table ledger.journal_entries_20260925 partition of ledger.journal_entries
for values in ('2026-09-25');
"""
LEGS_OF_BEFORE = (
    ("TX:T:V1", "transaction", "unionpay", "net", 900, True, None,
     ("channel_receivable", "G1", None, "G1"), ("merchant_payable", "A1", "A1", None)),
    ("TX:T:R:D", "transaction", "unionpay", "net", 40, False, None,
     ("merchant_payable", "A1", "A1", None), ("channel_receivable", "G1", None, "G1")),
    ("FEE:T:V1", "merchant_fee", "unionpay", "net", 6, True, None,
     ("merchant_payable", "A1", "A1", None), ("fee_income", "unionpay", None, None)),
    ("ADJ:E1:taken", "adjustment_taken", "unionpay", None, 9, False, 7,
     ("adjustments_receivable", "unionpay", None, None), ("channel_receivable", "G1", None, "G1")),
    ("PAY:T1:2", "payout_submitted", None, None, 800, False, None,
     ("merchant_payable", "A1", "A1", None), ("payouts_in_transit", "A1", "A1", None)),
    ("ADV:S1:fee", "advance_fee", None, None, 2, False, None,
     ("merchant_payable", "A1", "A1", None), ("fee_income", "advances", None, None)),
    ("BANK:b:1:line", "bank_unclassified", None, None, 5, False, 1,
     ("client_reserve_bank", "B9", None, None), ("bank_suspense", "B9", None, None)),
)  # fmt: skip
OPENINGS_OF_BEFORE = (
    ("OPEN:client_reserve_bank:B:D:CNY", "client_reserve_bank", "B:D", "debit"),
    ("OPEN:own_funds:opening:CNY", "own_funds", "opening", "credit"),
)


def journal_of_before(connection: Connection) -> None:
    """Make the journal of version 0024, with one date sealed and one open, and who may read it."""
    connection.execute(JOURNAL_OF_BEFORE)
    for day in ("2026-09-24", "2026-09-25"):
        set_state(connection, day, "closed")
        for posting, event, channel, mode, amount, late, line, *sides in LEGS_OF_BEFORE:
            for (account, subledger, account_id, group), leg in zip(sides, "DC", strict=True):
                connection.execute(
                    "insert into ledger.journal_entries values (%s, %s, 'B1', %s, 'V1', %s, %s,"
                    " 'CNY', %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    [day, f"{posting}:{leg}", event, channel, mode, account, subledger, account_id,
                     group, {"D": "debit", "C": "credit"}[leg], amount, late,
                     line and "f", line],
                )  # fmt: skip
    for entry, account, subledger, direction in OPENINGS_OF_BEFORE:
        connection.execute(
            "insert into ledger.journal_entries values ('2026-09-24', %s, 'OPENING',"
            " 'opening_balance', %s, null, null, 'CNY', %s, %s, null, null, %s, 77, false)",
            [entry, account, account, subledger, direction],
        )
    connection.execute(
        "select control.guard_partition('ledger.journal_entries_20260924', 'accounting_date',"
        " '2026-09-24'), control.guard_parent('ledger.journal_entries', 'accounting_date')"
    )
    set_state(connection, "2026-09-24", "sealed")
    seal(connection, "2026-09-24", "unionpay", "2026-09-28")
    connection.execute("create role journal_reader; create role journal_lender")
    connection.execute(
        "grant select on ledger.journal_entries to journal_reader;"
        "grant select on ledger.journal_entries to journal_lender with grant option"
    )


ALL_ENTRIES = """
select
    accounting_date, entry_id, voucher_id, event_type, source_id, channel, settlement_mode,
    currency_code, ledger_account, subledger_id, account_id, arrival_group_id, direction,
    amount_minor, is_catch_up, file_id, line_number
from ledger.journal_entries
order by accounting_date, entry_id collate "C"
"""


@contextmanager
def database_with_journal(settings: Settings, name: str) -> Iterator[str]:
    """Make a database of version 0024 with its journal; its roles go with it."""
    with made_database(settings, name) as url:
        migrations.upgrade(url, "0024")
        with psycopg.connect(url) as connection:
            journal_of_before(connection)
        try:
            yield url
        finally:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("drop owned by journal_reader, journal_lender")
                connection.execute("drop role journal_reader, journal_lender")


def test_journal_of_before_becomes_postings(settings: Settings) -> None:
    """Leg for leg and date for date, sealed or not; guarded and granted as the table was."""
    with database_with_journal(settings, "tieout_journal") as url:
        with psycopg.connect(url) as connection:
            before = connection.execute(ALL_ENTRIES).fetchall()
        assert len(before) == 2 * 2 * len(LEGS_OF_BEFORE) + len(OPENINGS_OF_BEFORE)
        migrations.upgrade(url)
        with psycopg.connect(url, autocommit=True) as connection:
            after = connection.execute(ALL_ENTRIES).fetchall()
            legs = {"debit": ":D", "credit": ":C"}
            assert [row for row in after if row[8] != "opening_balances"] == [
                (row[0], row[1] + legs[row[12]], *row[2:]) if row[3] == "opening_balance" else row
                for row in before
            ]
            assert [row[8:10] + row[12:14] for row in after if row[8] == "opening_balances"] == [
                ("opening_balances", "CNY", "credit", 77),
                ("opening_balances", "CNY", "debit", 77),
            ]
            assert connection.execute(
                "select posting_id, rule, source_kind, debit_subledger, credit_subledger,"
                " account_id, arrival_group_id, bank_account_id from ledger.postings"
                " where accounting_date = '2026-09-24' order by posting_id collate \"C\""
            ).fetchall() == [
                ("ADJ:E1:taken", *SOURCE, "channel", "arrival_group", None, "G1", None),
                ("ADV:S1:fee", *SOURCE, "account", "channel", "A1", None, None),
                ("BANK:b:1:line", *SOURCE, "bank_account", "bank_account", None, None, "B9"),
                ("FEE:T:V1", *SOURCE, "account", "channel", "A1", None, None),
                ("OPEN:client_reserve_bank:B:D:CNY", *SOURCE, "bank_account", "currency", None,
                 None, "B:D"),
                ("OPEN:own_funds:opening:CNY", *SOURCE, "currency", "opening", None, None, None),
                ("PAY:T1:2", *SOURCE, "account", "account", "A1", None, None),
                ("TX:T:R:D", *SOURCE, "account", "arrival_group", "A1", "G1", None),
                ("TX:T:V1", *SOURCE, "arrival_group", "account", "A1", "G1", None),
            ]  # fmt: skip
            for name in ("ledger.postings", "ledger.postings_20260924"):
                with refuses(f"its rows in {name} stay"):
                    connection.execute(f"delete from {name} where accounting_date = '2026-09-24'")
            connection.execute("delete from ledger.postings where accounting_date = '2026-09-25'")
            assert connection.execute(
                "select string_agg(distinct grantee || ' ' || is_grantable, ', ')"
                " from information_schema.role_table_grants where table_name = 'journal_entries'"
                " and privilege_type = 'SELECT' and grantee like 'journal%'"
            ).fetchone() == ("journal_lender YES, journal_reader NO",)
            chart = connection.execute("select * from reference.chart_of_accounts").description
            with CHART_OF_ACCOUNTS.open(encoding="utf-8", newline="") as file:
                assert [column.name for column in chart or ()] == next(csv.reader(file))
            gone = "select to_regclass('ledger.journal_entries_before') is null"
            assert connection.execute(gone).fetchone() == (True,)


SOURCE = ("before_rules", "not_recorded")
UNEQUAL = {
    # What one leg says and the other does not, a posting cannot say.
    "file_id": "set file_id = 'g'",
    "amount": "set amount_minor = 899",
    "channel": "set channel = 'wechat'",
    "arrival_group": "set arrival_group_id = 'G2'",
    "catch_up": "set is_catch_up = false",
}


@pytest.mark.parametrize("change", UNEQUAL.values(), ids=UNEQUAL)
def test_journal_that_postings_cannot_say_stays_as_it_is(settings: Settings, change: str) -> None:
    with database_with_journal(settings, "tieout_odd_journal") as url:
        with psycopg.connect(url) as connection:
            connection.execute(
                f"update ledger.journal_entries {change}"
                " where accounting_date = '2026-09-25' and entry_id = 'TX:T:V1:C'"
            )
            before = connection.execute(ALL_ENTRIES).fetchall()
        with pytest.raises(
            Exception, match="entries of 2026-09-25 differ from what their postings"
        ):
            migrations.upgrade(url)
        with psycopg.connect(url) as connection:
            assert connection.execute(ALL_ENTRIES).fetchall() == before
            version = connection.execute("select version_num from control.alembic_version")
            assert version.fetchone() == ("0024",)


def test_leg_without_its_other_stops_the_migration(settings: Settings) -> None:
    with database_with_journal(settings, "tieout_one_leg") as url:
        with psycopg.connect(url) as connection:
            connection.execute(
                "delete from ledger.journal_entries"
                " where accounting_date = '2026-09-25' and entry_id = 'TX:T:V1:C'"
            )
        with pytest.raises(Exception, match='null value in column "credit_account"'):
            migrations.upgrade(url)


def test_every_raw_table_has_the_guard_of_sealed_rows(guarded: Connection) -> None:
    rows = guarded.execute(
        """
        select
            relname,
            array(
                select tgname::text
                from pg_trigger
                where tgrelid = pg_class.oid and tgname like 'sealed\\_rows%'
                order by tgname
            )
        from pg_class
        where relnamespace = 'raw'::regnamespace and relkind = 'p'
        """
    ).fetchall()
    assert len(rows) > 20
    wanted = [f"sealed_rows_stay_{change}" for change in ("delete", "insert", "update")]
    assert {name for name, triggers in rows if triggers != wanted} == set()


# --- decisions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("li", None, "late line"),
        (None, None, "late line"),
        ("li", "li", "late line"),
        ("li", " LI ", "late line"),
        ("li", "wang", None),
        ("li", "wang", "  "),
    ],
)
def test_a_release_needs_two_people_and_a_reason(
    first: str | None, second: str | None, reason: str | None, guarded: Connection
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="a_release_needs_two_people"):
        decide(guarded, "released", first=first, second=second, reason=reason)


def test_a_passed_decision_says_what_it_covers(guarded: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="what_pays_is_fixed"):
        guarded.execute(
            "insert into control.gate_decisions (payment_date, outcome, decided_by) "
            "values (%s, 'passed', 'test')",
            [PAYMENT_DATE],
        )


@pytest.mark.parametrize(
    "change",
    [
        "payout_amount_minor = 1001",
        "currency_code = 'USD'",
        "payee_id = 'P2'",
        "payee_version = 2",
        "statement_id = statement_id || 'x'",
        "payable_status = 'withheld'",
    ],
)
def test_the_fingerprint_is_of_all_that_is_paid(change: str, guarded: Connection) -> None:
    ask = "select gate.statement_fingerprint(%s)"
    before = guarded.execute(ask, [PAYMENT_DATE]).fetchone()
    guarded.execute(f"update settlement.settlement_statements set {change}")
    assert before is not None
    assert len(before[0]) == 64
    assert guarded.execute(ask, [PAYMENT_DATE]).fetchone() != before


def test_the_fingerprint_has_a_known_value(guarded: Connection) -> None:
    """Decisions stored before an upgrade must still be those of their statements."""
    add_statement(guarded, f"{STATEMENT}-2", 5)
    row = guarded.execute("select gate.statement_fingerprint(%s)", [PAYMENT_DATE]).fetchone()
    payee = "CNY|P1|1|number P1|name|102100000018"
    text = f"{STATEMENT}|1000|{payee}\n{STATEMENT}-2|5|{payee}"
    assert row == (hashlib.sha256(text.encode()).hexdigest(),)


def test_the_fingerprint_does_not_depend_on_the_order_of_rows(guarded: Connection) -> None:
    ids = [f"{STATEMENT}-{letter}" for letter in "Ba2_"]
    found = set()
    for order in itertools.permutations(ids):
        guarded.execute("delete from settlement.settlement_statements")
        for statement_id in order:
            add_statement(guarded, statement_id, 5)
        row = guarded.execute("select gate.statement_fingerprint(%s)", [PAYMENT_DATE]).fetchone()
        found.add(row)
    assert len(found) == 1


def test_without_statements_there_is_no_fingerprint(guarded: Connection) -> None:
    guarded.execute("drop table settlement.settlement_statements")
    row = guarded.execute("select gate.statement_fingerprint(%s)", [PAYMENT_DATE]).fetchone()
    assert row == (None,)


# --- instructions -------------------------------------------------------------------------------


def test_a_decided_statement_is_instructed_once(guarded: Connection) -> None:
    instruct(guarded)
    with pytest.raises(psycopg.errors.UniqueViolation):
        instruct(guarded)


def test_a_release_by_two_instructs_too(guarded: Connection) -> None:
    decide(guarded, "failed")
    decide(guarded, "released", first="li", second="wang", reason="line comes tomorrow")
    instruct(guarded)


def test_nothing_is_instructed_after_a_later_failure(guarded: Connection) -> None:
    decide(guarded, "failed")
    with refuses("the gate says failed"):
        instruct(guarded)


def test_nothing_is_instructed_without_a_decision_of_that_date(guarded: Connection) -> None:
    other = "20260929-A000001-T1-CNY"
    guarded.execute(
        "insert into settlement.settlement_statements values "
        "('2026-09-29', %s, 'A000001', 'CNY', 1000, 'P1', 1, 'payable')",
        [other],
    )
    with refuses("has not decided"):
        instruct(guarded, other, payment_date=date(2026, 9, 29))


def test_nothing_is_instructed_when_any_statement_changed_since(guarded: Connection) -> None:
    add_statement(guarded, "20260928-A000002-T1-CNY", 7)
    with refuses("not those the gate decided on"):
        instruct(guarded)


def test_an_older_decision_cannot_be_named(guarded: Connection) -> None:
    old = latest_decision(guarded)
    decide(guarded, "passed")
    with refuses("does not name the latest decision"):
        instruct(guarded, decision_id=old)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount_minor", 1001),
        ("account_id", "A000009"),
        ("payee_id", "P9"),
        ("payee_version", 2),
        ("currency_code", "USD"),
    ],
)
def test_an_instruction_is_its_statement(column: str, value: object, guarded: Connection) -> None:
    with refuses("differs from the statement"):
        instruct(guarded, **{column: value})


def test_a_statement_that_is_not_there_is_not_instructed(guarded: Connection) -> None:
    with refuses("differs from the statement"):
        instruct(guarded, "20260928-A000007-T1-CNY")


def test_a_withheld_statement_is_not_instructed(guarded: Connection) -> None:
    withheld = "20260928-A000002-T1-CNY"
    add_statement(guarded, withheld, 1000)
    guarded.execute(
        "update settlement.settlement_statements set payable_status = 'withheld' "
        "where statement_id = %s",
        [withheld],
    )
    decide(guarded, "passed")
    instruct(guarded)
    with refuses("differs from the statement"):
        instruct(guarded, withheld)


def test_an_amount_of_nothing_is_not_instructed(guarded: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        instruct(guarded, amount_minor=0)


# --- attempts and their history -----------------------------------------------------------------


@pytest.mark.parametrize("status", [None, *STATUSES])
def test_a_second_attempt_starts_only_after_failed_or_returned(
    status: str | None, guarded: Connection
) -> None:
    instruct(guarded)
    report(guarded, attempt(guarded, 1), *WAYS[status])
    # After them, too, it is made by payout.new_attempt(), with its evidence.
    is_over = status in ("failed", "returned")
    with refuses("has no evidence" if is_over else "may still pay"):
        attempt(guarded, 2)


def test_a_failed_attempt_that_paid_after_all_blocks_a_third(guarded: Connection) -> None:
    instruct(guarded)
    # As if each had its evidence.
    guarded.execute("alter table payout.attempts disable trigger attempts_guard_new")
    report(guarded, attempt(guarded, 1), "created", "submitted", "failed")
    report(guarded, attempt(guarded, 2), "created", "failed")
    report(guarded, "T1", "paid")
    with refuses("may still pay"):
        attempt(guarded, 3)


@pytest.mark.parametrize("number", [0, 2, 3])
def test_attempts_are_numbered_without_a_gap(number: int, guarded: Connection) -> None:
    instruct(guarded)
    with pytest.raises((psycopg.errors.RestrictViolation, psycopg.errors.CheckViolation)):
        attempt(guarded, number)


@pytest.mark.parametrize("after", [None, *STATUSES])
@pytest.mark.parametrize("status", STATUSES)
def test_an_attempt_moves_only_along_its_transitions(
    after: str | None, status: str, guarded: Connection
) -> None:
    instruct(guarded)
    attempt_id = attempt(guarded, 1)
    report(guarded, attempt_id, *WAYS[after])
    if (after, status) in ALLOWED:
        report(guarded, attempt_id, status)
        return
    with refuses(f"cannot go from {after or 'none'} to {status}"):
        report(guarded, attempt_id, status)


@pytest.mark.parametrize("number", [1, 3])
def test_events_are_numbered_without_a_gap(number: int, guarded: Connection) -> None:
    instruct(guarded)
    attempt_id = attempt(guarded, 1)
    report(guarded, attempt_id, "created")
    with refuses("does not follow event 1"):
        guarded.execute(
            "insert into payout.attempt_events (attempt_id, event_no, status, business_date) "
            "values (%s, %s, 'submitted', %s)",
            [attempt_id, number, PAYMENT_DATE],
        )


# --- files --------------------------------------------------------------------------------------


def add_file(connection: Connection, number: int, **changes: object) -> None:
    row: dict[str, object] = {
        "file_id": f"{number:016x}",
        "file_name": f"file_{number}",
        "file_url": "file:///x",
        "sha256": f"{number:016x}" + "0" * 48,
        "size_bytes": 1,
        "channel": "unionpay",
        "file_kind": "acomn",
        "accounting_date": date(2026, 9, 24),
        "slot": "unionpay/acomn/2026-09-24",
        "row_count": 1,
        "totals_status": "agree",
        "status": "landed",
        **changes,
    }
    names = [name for name in row if row[name] is not None]
    connection.execute(
        f"insert into control.channel_files ({', '.join(names)}) "
        f"values ({', '.join(f'%({name})s' for name in names)})",
        row,
    )


def test_a_place_has_one_landed_file(guarded: Connection) -> None:
    add_file(guarded, 1)
    add_file(guarded, 2, status="conflict")
    add_file(guarded, 3, file_kind="aerrn", slot="unionpay/aerrn/2026-09-24")
    with pytest.raises(psycopg.errors.UniqueViolation, match="one_landed_a_slot"):
        add_file(guarded, 4, file_name="IND26092401ACOMN.Z")


def test_places_of_files_of_before_come_from_their_names(settings: Settings) -> None:
    with made_database(settings, "tieout_places") as url:
        migrations.upgrade(url, "0011")
        with psycopg.connect(url) as connection:
            add_file(connection, 1, file_name="IND26092401ACOMN", slot=None)
            add_file(connection, 2, file_name="x", slot=None, channel=None, status="refused")
        migrations.upgrade(url)
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "select slot from control.channel_files order by file_id"
            ).fetchall()
        assert found == [("unionpay/acomn/2026-09-24",), (None,)]


@pytest.mark.parametrize(
    "missing",
    [
        {"channel": None},
        {"file_kind": None},
        {"accounting_date": None},
        {"row_count": None},
        {"totals_status": None},
        {"totals_status": "disagree"},
    ],
)
def test_a_landed_file_is_known_and_agrees(missing: dict[str, object], guarded: Connection) -> None:
    add_file(guarded, 1, status="quarantined", **missing)
    with pytest.raises(psycopg.errors.CheckViolation, match="landed_is_whole"):
        add_file(guarded, 2, **missing)
