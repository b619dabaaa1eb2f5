"""What each role of the database may do, and above all what it may not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

import database_copies
from day_states import set_state
from tieout import database, migrations
from tieout.core.settings import Settings, load_settings
from tieout.database import logins

pytestmark = pytest.mark.slow
DAY = "2026-09-24"
SEALED = "2026-09-23"
STEPS = ("ingest", "transform", "gate", "payout")

# As dbt makes it when a home is set up, as far as it is needed here.
POSTINGS = """
    create table ledger.postings (
        accounting_date date not null references control.accounting_days (accounting_date),
        posting_id text not null,
        rule text not null,
        amount_minor bigint not null,
        note text,
        primary key (accounting_date, posting_id),
        constraint posting_amount check (amount_minor > 0)
    ) partition by list (accounting_date);
    select control.guard_parent('ledger.postings', 'accounting_date')
"""
BELONGS_TO_NO_ROLE = """
    select count(*)
    from pg_class as relations
    inner join pg_namespace as schemas on relations.relnamespace = schemas.oid
    where
        schemas.nspname = any(array[
            'control', 'raw', 'payout', 'reconciliation', 'clearing', 'settlement', 'intermediate'
        ])
        and relations.relkind in ('r', 'p', 'v', 'S')
        and relations.relowner::regrole::text not like 'tieout\\_%'
"""
# Each is refused to each role that is not named with it.
WRITES = {
    "insert into control.gate_decisions default values": set(),
    "insert into control.gate_expectations default values": set(),
    "insert into payout.instructions default values": set(),
    "insert into payout.attempts default values": set(),
    "insert into payout.attempt_events default values": set(),
    "insert into payout.outbox_files default values": set(),
    "insert into control.accounting_day_seals default values": set(),
    "insert into gate.explanations default values": {"gate"},
    "insert into raw.platform_source_vouchers default values": {"ingest"},
    "insert into raw.bank_statement_lines default values": {"ingest"},
    "insert into control.voucher_register default values": {"ingest"},
    "insert into control.payee_versions default values": {"ingest"},
    "insert into control.file_decisions default values": {"ingest"},
    "insert into settlement.statement_entries default values": {"transform"},
    "insert into clearing.original_movements default values": {"transform"},
    "create table work_ingest.mine (a integer)": {"ingest"},
    "create table work_transform.mine (a integer)": {"transform"},
    "create table intermediate.mine (a integer)": {"transform"},
    # Nobody's: what was decided stays, and people decide elsewhere.
    "update control.gate_decisions set outcome = 'passed'": set(),
    "update payout.instructions set amount_minor = 1": set(),
    "update payout.attempts set end_to_end_id = 'x'": set(),
    "delete from payout.attempt_events": set(),
    "delete from control.gate_decisions": set(),
    "update gate.explanations set confidence = 'none'": set(),
    "delete from control.accounting_days": set(),
    "delete from control.accounting_day_seals": set(),
    "insert into ledger.postings default values": set(),
    "delete from ledger.postings": set(),
    "truncate ledger.postings": set(),
    "truncate raw.bank_statement_lines": set(),
    "insert into control.term_approvals default values": set(),
    "insert into control.bank_line_approvals default values": {"people"},
    "insert into reconciliation.actions default values": {"people"},
    "insert into reconciliation.action_approvals default values": {"people"},
    "insert into payout.undo_requests default values": {"people"},
    "insert into payout.undo_approvals default values": {"people"},
    "insert into control.persons values ('x')": set(),
    "insert into control.chain_links default values": set(),
    "insert into control.setups default values": set(),
    "select * from control.first_list_counts('2026-09-24')": {"people", "finance"},
    "insert into control.gate_release_requests default values": set(),
    # Functions of the owner, each for whose work it is.
    "select gate.decide('2026-09-24', 'maybe', '{}', null, 'x')": {"gate"},
    "select gate.request_release('2026-09-24', 'why', 'x')": {"people"},
    "select gate.approve_release(1, 'x')": {"people"},
    "select payout.instruct('2026-09-24')": {"payout"},
    "select payout.start_attempts('2026-09-24', 0)": {"payout"},
    "select payout.append_events('{}', '{}', '{}', '{}', '2026-09-24', 'x')": {"payout"},
    "select payout.record_file('b', '2026-09-24', 'p', 's', 1, 1, 1, 'CNY')": {"payout"},
    "select payout.record_acknowledgement('b', 'n', 's', null, 1, null, '2026-09-24')": {"payout"},
    "select payout.look_at_acknowledgement(1, 'x', 'x')": {"people"},
    "insert into payout.file_acknowledgements default values": set(),
    "insert into payout.acknowledgement_looks default values": set(),
    "select control.seal('2026-09-24', 'nobody')": {"payout"},
    "insert into settlement.billed_fees default values": set(),
    "insert into settlement.collections default values": set(),
    "insert into settlement.collection_events default values": set(),
    "insert into settlement.mandate_approvals default values": set(),
    "insert into settlement.credit_note_approvals default values": set(),
    "select settlement.issue_fee_bills('2026-10-08')": {"payout"},
    "select settlement.start_collections('2026-10-12')": {"payout"},
    "select settlement.record_collection_file('m', 'p', 's', 1, 1)": {"payout"},
    "select settlement.apply_collection_report('m', 's', 'n', '[]', '2026-10-12')": {"payout"},
    "select settlement.apply_collected_lines('2026-10-12')": {"payout"},
    "select settlement.mark_silent_collections('2026-10-12')": {"payout"},
    "select settlement.remind_of_bills('2026-10-12')": {"payout"},
    "select settlement.add_collection_event('x', 'failed', '2026-10-12')": set(),
    "select settlement.approve_mandate(1, 'x')": {"people"},
    "select settlement.end_mandate(1, 'x', 'x')": {"people"},
    "select settlement.request_credit_note(1, 1, 'x', 'x')": {"people"},
    "select settlement.approve_credit_note(1, '2026-10-12', 'x')": {"people"},
    "select control.keep_gate_expectations('{}')": {"gate"},
    "select control.add_link('files', '2026-09-24', '{}')": set(),
    "insert into payout.new_attempts default values": set(),
    "insert into payout.payout_holds default values": set(),
    "insert into payout.payout_hold_releases default values": set(),
    "insert into payout.open_attempts default values": set(),
    "delete from payout.open_attempts": set(),
    "insert into payout.inquiries default values": {"payout"},
    "delete from payout.inquiries": set(),
    "update payout.outcome_problems set problem = 'none'": set(),
    "select payout.new_attempt('x', '2026-09-29')": {"payout", "people"},
    "select payout.hold('x', 'x', 'x')": {"people"},
    "select payout.release_hold('x', 'x', 'x')": {"people"},
    "create table raw.mine (a integer)": set(),
    "create table ledger.mine (a integer)": set(),
    "create table control.mine (a integer)": set(),
    "create table public.mine (a integer)": set(),
    "create schema mine": set(),
    "alter table payout.attempts disable trigger all": set(),
    "alter table ledger.postings drop constraint posting_amount": set(),
    "drop trigger attempts_guard on payout.attempts": set(),
    "create or replace function control.is_paid(date) returns boolean language sql return false":
        set(),
    "drop table payout.attempts cascade": set(),
    "alter table payout.attempts owner to session_user": set(),
    "set session_replication_role = replica": set(),
    "set role tieout_owner": set(),
    "create role mine": set(),
    "grant tieout_payout to session_user": set(),
    "copy payout.attempts to program 'true'": set(),
}  # fmt: skip


@pytest.fixture(scope="module")
def own(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home of its own with a migrated database of its own, and one sealed date."""
    home = tmp_path_factory.mktemp("roles")
    with database_copies.copied(settings, home, "roles") as place:
        database.migrate(place)
        with database.connect(place) as connection:
            connection.execute(
                "insert into control.accounting_days (accounting_date) values (%s), (%s)",
                [DAY, SEALED],
            )
            set_state(connection, SEALED, "sealed")
            connection.execute("set role tieout_owner")
            connection.execute(POSTINGS)
        yield place


def attempt(place: Settings, role: str, statement: str) -> str:
    """Return the name of the error that a statement of a role meets, or `done`; undo it."""
    with database.connect(place.acting_as(role)) as connection:
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            return type(error).__name__
        finally:
            connection.rollback()
    return "done"


@pytest.mark.parametrize("role", logins.ROLES)
def test_a_role_writes_what_is_its_own_and_nothing_else(own: Settings, role: str) -> None:
    refused = {
        statement
        for statement in WRITES
        if attempt(own, role, statement) == "InsufficientPrivilege"
    }
    wanted = {statement for statement, roles in WRITES.items() if role not in roles}
    assert refused == wanted


def test_no_role_is_more_than_a_login(own: Settings) -> None:
    with database.connect(own) as connection:
        rows = connection.execute(
            """
            select rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
            from pg_roles
            where rolname like 'tieout\\_%' or rolname like 'roles\\_%'
            """
        ).fetchall()
    assert len(rows) >= 14
    assert [row for row in rows if any(row[1:])] == []


def test_nothing_that_stays_belongs_to_a_step_or_to_the_superuser(own: Settings) -> None:
    with database.connect(own) as connection:
        owners = connection.execute(
            """
            select schemas.nspname, relations.relowner::regrole::text, count(*)
            from pg_class as relations
            inner join pg_namespace as schemas on relations.relnamespace = schemas.oid
            where schemas.nspname = any(%s)
            group by 1, 2
            """,
            [["control", "raw", "payout", "ledger", "reconciliation", "clearing", "settlement"]],
        ).fetchall()
        functions = connection.execute(
            """
            select distinct routines.proowner::regrole::text
            from pg_proc as routines
            inner join pg_namespace as schemas on routines.pronamespace = schemas.oid
            where schemas.nspname in ('control', 'payout', 'gate', 'reconciliation')
            """
        ).fetchall()
    assert {row[0] for row in owners} >= {"control", "raw", "payout"}
    assert {row[1] for row in owners} == {"tieout_owner"}
    assert functions == [("tieout_owner",)]


def test_what_an_older_version_made_becomes_the_owner_s(settings: Settings) -> None:
    """All of it belonged to the superuser then, working tables and views of dbt, too."""
    admin = database.ensure_server(settings)
    with psycopg.connect(admin, autocommit=True) as server:
        server.execute("create database roles_before")
    try:
        url = admin.rpartition("/")[0] + "/roles_before"
        migrations.upgrade(url, "0028")
        with psycopg.connect(url) as before:
            before.execute("reassign owned by tieout_owner to current_user")
            before.execute("create schema if not exists intermediate")
            before.execute("create table intermediate.int_a as select 1 as b")
            before.execute("create view intermediate.int_v as select b from intermediate.int_a")
            (row,) = before.execute(BELONGS_TO_NO_ROLE).fetchall()
            assert row[0] > 80
        migrations.upgrade(url)
        with psycopg.connect(url) as after:
            assert after.execute(BELONGS_TO_NO_ROLE).fetchall() == [(0,)]
            made = after.execute(
                "select relname, relowner::regrole::text from pg_class"
                " where relnamespace = 'intermediate'::regnamespace order by relname"
            ).fetchall()
            # The next build drops them, as the role that builds.
            assert made == [("int_a", "tieout_transform"), ("int_v", "tieout_transform")]
            after.execute("set role tieout_transform")
            after.execute("drop table intermediate.int_a cascade")
    finally:
        with psycopg.connect(admin, autocommit=True) as server:
            server.execute("drop database roles_before (force)")


def test_a_function_with_the_owners_rights_finds_its_own_things_only(own: Settings) -> None:
    with database.connect(own) as connection:
        found = connection.execute(
            "select oid::regprocedure::text, proconfig from pg_proc where prosecdef"
            " and pronamespace::regnamespace::text in ('control', 'payout', 'gate')"
        ).fetchall()
    assert len(found) >= 5
    assert [row for row in found if (row[1] or [""])[0] != "search_path=pg_catalog, pg_temp"] == []


def test_finance_reads_no_raw_row_and_writes_none(own: Settings) -> None:
    for table in ("raw.platform_payees", "raw.unionpay_acomn", "raw.platform_source_vouchers"):
        assert attempt(own, "finance", f"select * from {table}") == "InsufficientPrivilege"
    assert attempt(own, "finance", "select * from ledger.postings") == "done"
    assert attempt(own, "people", "select * from ledger.postings") == "InsufficientPrivilege"


# --- who may connect ------------------------------------------------------------------------------


def test_no_login_reaches_another_home_s_database(own: Settings, settings: Settings) -> None:
    other = urlsplit(database.ensure_server(settings)).path
    for role in logins.ROLES:
        url = urlsplit(database.session_url(own.acting_as(role)))
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(urlunsplit(url._replace(path=other)))


def test_steps_do_not_reach_airflow_s_database_nor_airflow_theirs(own: Settings) -> None:
    airflow = urlsplit(database.airflow_url(own).replace("postgresql+psycopg2", "postgresql"))
    with psycopg.connect(airflow.geturl()) as connection:
        connection.execute("create table dag_run (run_id text)")
    money = urlsplit(database.ensure_server(own)).path
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(urlunsplit(airflow._replace(path=money)))
    for role in logins.ROLES:
        url = urlsplit(database.session_url(own.acting_as(role)))
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(urlunsplit(url._replace(path=airflow.path)))
    with psycopg.connect(database.ensure_server(own), autocommit=True) as server:
        server.execute("drop database roles_airflow (force)")


def test_an_older_metadata_database_becomes_airflow_s(own: Settings, tmp_path: Path) -> None:
    """What the administrator made in it is Airflow's from then on, types and sequences too."""
    admin = database.ensure_server(own)
    with psycopg.connect(admin, autocommit=True) as server:
        server.execute("create database roles_airflow")
    with psycopg.connect(admin.rpartition("/")[0] + "/roles_airflow") as before:
        before.execute("create type state as enum ('on', 'off')")
        before.execute("create table dag_run (id bigserial primary key, state state)")
    place = replace(own, home=tmp_path)
    with psycopg.connect(
        database.airflow_url(place).replace("postgresql+psycopg2", "postgresql")
    ) as connection:
        connection.execute("insert into dag_run (state) values ('on')")
        connection.execute("alter table dag_run add column note text")
        connection.execute("alter type state add value 'gone'")
    with psycopg.connect(admin, autocommit=True) as server:
        server.execute("drop database roles_airflow (force)")


def test_two_homes_of_one_administrator_make_the_same_logins(own: Settings, tmp_path: Path) -> None:
    """A worker elsewhere has a home of its own; what it makes keeps the first home's steps in."""
    elsewhere = replace(own, home=tmp_path)
    database.migrate(elsewhere)
    for place in (own, elsewhere):
        for role in logins.ROLES:
            assert attempt(place, role, "select 1") == "done"


def test_a_home_without_its_passwords_says_what_to_do(own: Settings, tmp_path: Path) -> None:
    with pytest.raises(database.DatabaseError) as caught:
        database.connect(replace(own, home=tmp_path).acting_as("gate"))
    assert "roles_gate_login" in caught.value.what
    assert "python -m tieout.migrations" in caught.value.next_step


def test_a_named_login_needs_no_administrator(own: Settings, tmp_path: Path) -> None:
    """Where the operator made the logins, a step knows its own and nothing is started for it."""
    given = {
        "TIEOUT_HOME": str(tmp_path / "worker"),
        "TIEOUT_DATABASE_URL_GATE": database.session_url(own.acting_as("gate")),
    }
    worker = load_settings(given)
    assert not database.migrate(worker)
    with database.connect(worker.acting_as("gate")) as connection:
        (row,) = connection.execute("select session_user::text").fetchall()
    assert row == ("roles_gate_login",)
    assert not (tmp_path / "worker").exists()


def test_no_password_is_in_a_statement_or_a_repr(own: Settings) -> None:
    kept = logins._kept(own)
    assert len(kept) >= len(logins.ROLES)
    named = replace(own, role_urls={"gate": f"postgresql://a:{min(kept.values())}@h/d"})
    assert not [word for word in kept.values() if word in repr(named)]


# --- putting a partition in -----------------------------------------------------------------------

BARE = """
    create table {aside} as
    select * from ledger.postings where false
"""
# What is done to a bare table, and what the refusal says of it.
DRESSED = {
    "alter table {aside} add check (amount_minor > 0)": "it has a constraint",
    "alter table {aside} alter column amount_minor set default 5": "a column of it is computed",
    "alter table {aside} add column more integer": "its columns are not those",
    "alter table {aside} drop column rule": "a column of it is computed, or was dropped",
    "alter table {aside} alter column amount_minor type numeric": "its columns are not those",
    "create index on {aside} (amount_minor)": "it has an index",
    "alter table {aside} add primary key (posting_id)": "it has an index",
    "create rule silent as on insert to {aside} do instead nothing": "it has a rule",
    "alter table {aside} enable row level security": "it has a policy",
    "create policy mine on {aside} using (false)": "it has a policy",
    "alter table {aside} set unlogged": "it is not kept through a crash",
    "alter table {aside} set (autovacuum_enabled = off)": "it has storage options",
    "grant select on {aside} to public": "others have been granted rights",
    "create view work_transform.seen as select * from {aside}": "something is built on it",
    "create table work_transform.part () inherits ({aside})": "it is a part of another table",
    "create function work_transform.f() returns trigger language plpgsql as"
    " 'begin return null; end'; create trigger mine before insert on {aside}"
    " for each row execute function work_transform.f()":
        "it has a trigger",
}  # fmt: skip


BUILDER = "command:1"


def swap(
    connection: psycopg.Connection[Any],
    aside: str,
    day: str = DAY,
    table: str = "ledger.postings",
    owner: str | None = BUILDER,
) -> str:
    """Have a table put in a date's place by a lease's owner; return what was said."""
    try:
        connection.execute(
            "select control.swap_partition(%s::regclass, %s::regclass, %s, %s)",
            [table, aside, day, owner],
        )
    except psycopg.Error as error:
        return str(error.diag.message_primary)
    return "done"


def aside_of(connection: psycopg.Connection[Any], change: str = "") -> str:
    """Make a table aside as a build does, and change it."""
    connection.execute("set role tieout_transform")
    connection.execute(BARE.format(aside="work_transform.aside"))
    if change:
        connection.execute(change.format(aside="work_transform.aside"))
    return "work_transform.aside"


def lease(connection: psycopg.Connection[Any], kind: str, day: str, owner: str = BUILDER) -> None:
    """Take a date's lease from whoever has it."""
    connection.execute(
        "insert into control.date_leases (kind, business_date, owner_id, leased_at)"
        " values (%s, %s, %s, now())"
        " on conflict (kind, business_date) do update set owner_id = excluded.owner_id",
        [kind, day, owner],
    )


@pytest.fixture
def building(own: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A session of the role that builds, with the lease of the date; what it does is undone."""
    with database.connect(own.acting_as("transform")) as connection:
        lease(connection, "accounting_close", DAY)
        yield connection
        connection.rollback()


def test_a_bare_table_becomes_the_date_and_is_the_owner_s(
    building: psycopg.Connection[Any],
) -> None:
    assert swap(building, aside_of(building)) == "done"
    (row,) = building.execute(
        """
        select
            relowner::regrole::text,
            relispartition,
            array(
                select conname::text from pg_constraint
                where conrelid = relations.oid and contype in ('c', 'p') order by conname
            ),
            exists (select 1 from pg_trigger where tgrelid = relations.oid and tgname ~ 'sealed')
        from pg_class as relations
        where oid = 'ledger.postings_20260924'::regclass
        """
    ).fetchall()
    assert row == (
        "tieout_owner",
        True,
        ["posting_amount", "postings_20260924_pkey"],
        True,
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        building.execute("delete from ledger.postings_20260924")


@pytest.mark.parametrize("change", DRESSED)
def test_what_is_not_bare_is_refused(building: psycopg.Connection[Any], change: str) -> None:
    said = swap(building, aside_of(building, change))
    assert DRESSED[change] in said


def test_a_table_of_somebody_else_is_refused(own: Settings) -> None:
    with database.connect(own) as connection:
        connection.execute(BARE.format(aside="work_transform.foreign_one"))
        connection.execute("alter table work_transform.foreign_one owner to tieout_payout")
        connection.execute("set session authorization roles_transform_login")
        assert "it belongs to tieout_payout" in swap(connection, "work_transform.foreign_one")
        connection.rollback()


@pytest.mark.parametrize("owner", [None, "", "scheduled__2026-09-25T02:00:00+00:00"])
def test_who_holds_no_lease_swaps_nothing(
    building: psycopg.Connection[Any], owner: str | None
) -> None:
    """dbt run by hand; and a run that was thought dead, whose date another has begun again."""
    said = swap(building, aside_of(building), owner=owner)
    assert f"{owner or 'nobody named'} holds no lease of accounting date {DAY}" in said


def test_a_lease_that_was_taken_over_is_none(building: psycopg.Connection[Any]) -> None:
    lease(building, "accounting_close", DAY, "command:2")
    assert "command:1 holds no lease" in swap(building, aside_of(building))


def test_the_lease_of_another_date_or_kind_is_none(building: psycopg.Connection[Any]) -> None:
    building.execute("delete from control.date_leases")
    lease(building, "settlement_payout", DAY)
    lease(building, "accounting_close", "2026-09-25")
    assert "holds no lease" in swap(building, aside_of(building))


def test_a_payment_date_asks_for_its_own_lease_and_what_goes_on_for_any(own: Settings) -> None:
    asked = "select control.why_not_leased('payment_date', %s, %s, %s)"
    with database.connect(own) as connection:
        lease(connection, "payout_outcomes", "2026-09-30")
        said = [
            connection.execute(asked, ["2026-09-28", goes_on, owner]).fetchone()
            for goes_on, owner in ((False, BUILDER), (True, BUILDER), (True, "command:2"))
        ]
        connection.rollback()
    assert said == [
        ("command:1 holds no lease of payment date 2026-09-28",),
        (None,),
        ("command:2 holds no lease of payment date 2026-09-28",),
    ]


def test_a_sealed_date_is_not_swapped(building: psycopg.Connection[Any]) -> None:
    assert "is sealed" in swap(building, aside_of(building), SEALED)


def test_a_date_that_no_close_began_is_not_swapped(building: psycopg.Connection[Any]) -> None:
    assert "is not known" in swap(building, aside_of(building), "2031-01-01")


def test_landing_puts_nothing_into_the_ledger_nor_a_build_into_raw(own: Settings) -> None:
    with database.connect(own.acting_as("ingest")) as connection:
        connection.execute("create table work_ingest.x (like ledger.postings)")
        assert "does not put partitions into" in swap(connection, "work_ingest.x")
        connection.rollback()
    with database.connect(own.acting_as("transform")) as connection:
        connection.execute("create table work_transform.x (like raw.bank_statement_lines)")
        said = swap(connection, "work_transform.x", table="raw.bank_statement_lines")
        assert "does not put partitions into" in said
        connection.rollback()
    for role in ("gate", "payout", "finance", "people"):
        with database.connect(own.acting_as(role)) as connection:
            assert swap(connection, "ledger.postings").startswith("permission denied")


def test_a_table_that_is_not_cut_into_dates_takes_no_partition(
    building: psycopg.Connection[Any],
) -> None:
    said = swap(building, aside_of(building), table="control.accounting_days")
    assert "is not cut into dates" in said


# --- a replica ------------------------------------------------------------------------------------


def test_a_replica_is_refused(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one says so itself: the server reports `in_hot_standby` at each connection."""
    real = psycopg.ConnectionInfo.parameter_status
    with database.connect(own) as connection:
        assert real(connection.info, "in_hot_standby") == "off"
    monkeypatch.setattr(
        psycopg.ConnectionInfo,
        "parameter_status",
        lambda info, name: "on" if name == "in_hot_standby" else real(info, name),
    )
    with pytest.raises(database.DatabaseError) as caught:
        database.connect(own)
    assert caught.value.what == "the database is a replica"
