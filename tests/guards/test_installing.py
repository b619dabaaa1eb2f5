"""Installing makes the logins that were named; who has only those makes and starts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

import database_copies
from tieout import database
from tieout.core.errors import DatabaseError
from tieout.core.settings import Settings, load_settings
from tieout.database import logins, persons
from tieout.dates import days
from tieout.decisions import terms
from tieout.runs import transform

pytestmark = pytest.mark.slow
ROLES = ("ingest", "transform", "gate", "payout", "finance", "people", "airflow")
DAY = "2026-09-24"
SETUP = "a" * 64


def named(admin_url: str, login: str, password: str = "first", database_name: str = "") -> str:
    """Return the URL of a login of the stack's kind."""
    url = logins.url_as(admin_url, login, password)
    return urlunsplit(urlsplit(url)._replace(path=f"/{database_name}")) if database_name else url


@pytest.fixture(scope="module")
def installed(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The installer's settings: an administrator, and a login named for each role; installed."""
    home = tmp_path_factory.mktemp("installing")
    with database_copies.copied(settings, home, "installing") as copy:
        admin = database.ensure_server(copy)
        place = replace(
            copy,
            airflow_database_url=named(admin, "inst_airflow", database_name="installing_airflow"),
            role_urls={role: named(admin, f"inst_{role}") for role in ROLES[:-1]},
        )
        database.make_logins(place)
        database.make_airflow_database(place)
        try:
            yield place
        finally:
            with psycopg.connect(admin, autocommit=True) as server:
                server.execute("drop database installing_airflow (force)")
                for role in ROLES:
                    drop(server, f"inst_{role}")


def drop(server: psycopg.Connection[object], login: str) -> None:
    """Drop a login and what it was given."""
    name = sql.Identifier(login)
    server.execute(sql.SQL("drop owned by {}").format(name))
    server.execute(sql.SQL("drop role {}").format(name))


@pytest.fixture
def task(installed: Settings, tmp_path: Path) -> Settings:
    """A process of the stack that stays: logins of roles, no administrator, another home."""
    return replace(installed, home=tmp_path / "task", external_database_url=None)


def without(task: Settings, *roles: str) -> Settings:
    """Return the process without the logins of some roles."""
    kept = {role: url for role, url in task.role_urls.items() if role not in roles}
    return replace(task, role_urls=kept)


def user_of(settings: Settings) -> str:
    """Return the login with which the settings reach the database."""
    with database.connect(settings) as connection:
        (row,) = connection.execute("select session_user::text").fetchall()
    return str(row[0])


# --- what installing makes ------------------------------------------------------------------------


def test_each_named_login_is_there_and_in_its_group_alone(installed: Settings) -> None:
    with database.connect(installed.acting_as(None)) as connection:
        rows = connection.execute(
            """
            select
                logins.rolname,
                logins.rolsuper or logins.rolcreaterole or logins.rolcreatedb,
                array_agg(groups.rolname::text order by groups.rolname)
            from pg_roles as logins
            inner join pg_auth_members as members on members.member = logins.oid
            inner join pg_roles as groups on members.roleid = groups.oid
            where logins.rolname like 'inst\\_%'
            group by 1, 2
            """
        ).fetchall()
    assert {name: groups for name, _, groups in rows} == {
        **{f"inst_{role}": [f"tieout_{role}"] for role in ROLES},
        "inst_people": ["tieout_finance", "tieout_people"],
    }
    assert [name for name, is_more, _ in rows if is_more] == []


@pytest.mark.parametrize("role", ROLES[:-1])
def test_a_task_works_as_the_login_it_was_given(task: Settings, role: str) -> None:
    assert user_of(task.acting_as(role)) == f"inst_{role}"


def test_no_login_of_a_task_becomes_the_administrator(task: Settings) -> None:
    urls = {**task.role_urls, "airflow": str(task.airflow_database_url)}
    assert set(urls) == set(ROLES)
    for role, url in urls.items():
        with psycopg.connect(url, autocommit=True) as connection:
            (row,) = connection.execute(
                "select rolsuper from pg_roles where rolname = session_user"
            ).fetchall()
            assert row == (False,), role
            for wanted in ("tieout_owner", "tieout"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql.SQL("set role {}").format(sql.Identifier(wanted)))


def test_airflow_s_login_owns_its_database_and_reaches_no_other(installed: Settings) -> None:
    url = str(installed.airflow_database_url)
    with psycopg.connect(url) as connection:
        connection.execute("create table dag_run (run_id text)")
        connection.rollback()
    money = urlsplit(str(installed.external_database_url)).path
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(urlunsplit(urlsplit(url)._replace(path=money)))
    for role in ROLES[:-1]:
        other = urlsplit(installed.role_urls[role])._replace(path="/installing_airflow")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(urlunsplit(other))


def test_installing_again_changes_no_login(installed: Settings) -> None:
    """Not even where another password is named: whoever uses the login keeps working."""
    admin = str(installed.external_database_url)
    others = {role: named(admin, f"inst_{role}", "second") for role in ROLES[:-1]}
    again = replace(
        installed,
        role_urls=others,
        airflow_database_url=named(admin, "inst_airflow", "second", "installing_airflow"),
    )
    database.make_logins(again)
    database.make_airflow_database(again)
    for role in ROLES[:-1]:
        psycopg.connect(installed.role_urls[role]).close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(others[role])
    psycopg.connect(str(installed.airflow_database_url)).close()


def test_a_login_that_cannot_do_the_work_is_refused(installed: Settings) -> None:
    admin = str(installed.external_database_url)
    for wrong, role in ((admin, "gate"), (installed.role_urls["gate"], "payout")):
        with pytest.raises(DatabaseError) as caught:
            database.make_logins(replace(installed, role_urls={role: wrong}))
        assert f"TIEOUT_DATABASE_URL_{role.upper()}" in caught.value.where


def test_a_metadata_database_of_the_operator_s_is_left_alone(installed: Settings) -> None:
    admin = str(installed.external_database_url)
    with psycopg.connect(admin, autocommit=True) as server:
        server.execute("create role inst_theirs login password 'theirs'")
        server.execute("create database installing_theirs owner inst_theirs")
    try:
        url = named(admin, "inst_theirs", "theirs", "installing_theirs")
        database.make_airflow_database(replace(installed, airflow_database_url=url))
        with psycopg.connect(url) as connection:
            (row,) = connection.execute(
                "select datacl is null from pg_database where datname = current_database()"
            ).fetchall()
        assert row == (True,)
    finally:
        with psycopg.connect(admin, autocommit=True) as server:
            server.execute("drop database installing_theirs (force)")
            drop(server, "inst_theirs")


# --- a process without an administrator -----------------------------------------------------------


def test_a_command_without_a_role_reads_as_people_or_finance(task: Settings) -> None:
    assert user_of(task) == "inst_people"
    assert user_of(without(task, "people")) == "inst_finance"
    with pytest.raises(DatabaseError, match="knows no administrator"):
        database.connect(without(task, "people", "finance"))


def test_a_command_works_as_a_role_where_nobody_is_the_administrator(
    installed: Settings, task: Settings
) -> None:
    assert user_of(database.working_as(task, "ingest")) == "inst_ingest"
    assert user_of(database.working_as(task.acting_as("gate"), "ingest")) == "inst_gate"
    assert database.working_as(installed, "ingest") == installed


def test_a_process_without_an_administrator_starts_and_migrates_nothing(task: Settings) -> None:
    assert not database.migrate(task)
    for work in (
        lambda: database.ensure_server(task),
        lambda: database.make_logins(task),
        lambda: database.connect(without(task, "gate").acting_as("gate")),
    ):
        with pytest.raises(DatabaseError) as caught:
            work()
        assert "tieout-migrate" in caught.value.next_step
    assert not task.home.exists()


def test_a_home_with_a_server_keeps_its_administrator(settings: Settings) -> None:
    """There a person's own URL is named beside the home's server."""
    person = replace(settings, role_urls={"people": "postgresql://li:x@127.0.0.1:1/tieout"})
    assert database.has_administrator(person)
    assert user_of(person) == urlsplit(database.ensure_server(settings)).username


def test_reference_data_is_loaded_where_it_is_installed(
    installed: Settings, task: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task, on whatever host, goes on with its own version and refuses any other."""
    monkeypatch.setattr(transform, "_setup_fingerprint", lambda _: SETUP)
    ran: list[str] = []

    def run_dbt(settings: Settings, arguments: list[str], dates: object) -> transform.BuildReport:
        ran.append(arguments[0])
        with database.connect(settings) as connection:
            connection.execute("create table if not exists reference.channels ()")
        return transform.BuildReport(arguments[0], 1, 0, 0.0, ())

    monkeypatch.setattr(transform, "run_dbt", run_dbt)
    step = task.acting_as("ingest")
    with pytest.raises(DatabaseError, match="not set up for this version") as caught:
        transform.seed(step)
    assert "tieout install" in caught.value.next_step
    assert ran == []
    transform.seed(installed)
    assert ran == ["build", "run"]
    for settings in (step, task.acting_as("transform"), task, installed):
        transform.seed(settings)
    assert ran == ["build", "run"]
    monkeypatch.setattr(transform, "_setup_fingerprint", lambda _: "b" * 64)
    with pytest.raises(DatabaseError, match="not set up for this version"):
        transform.seed(step)


def test_who_decides_counts_a_first_list_and_reads_none_of_its_landed_rows(
    installed: Settings, task: Settings
) -> None:
    with database.connect(installed.acting_as(None)) as connection:
        for table in ("contract_terms", "fee_rate_terms", "payee_terms"):
            connection.execute(f"create table clearing.{table} (accounting_date date)")
        connection.execute(
            "create table clearing.term_lists (accounting_date date,"
            " first_accounting_date date, first_list_sha256 text)"
        )
        connection.execute("insert into clearing.term_lists values (%s, %s, %s)", [DAY, DAY, SETUP])
        connection.execute(
            "grant select on all tables in schema clearing to tieout_people, tieout_finance"
        )
    for settings in (task, without(task, "people")):
        counts = terms.first_date_list(settings).counts
        assert set(counts) == {"contracts", "fee rules", "payees", "freezes", "opening balances"}
        assert days.operating_window(settings) is None  # nothing has landed; it may be asked
        with (
            database.connect(settings) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("select * from raw.platform_freezes")


def test_settings_of_a_task_are_what_the_environment_says(tmp_path: Path) -> None:
    given = {"TIEOUT_HOME": str(tmp_path), "TIEOUT_DATABASE_URL_FINANCE": "postgresql://a:b@h/d"}
    assert not database.has_administrator(load_settings(given))
    given["TIEOUT_DATABASE_URL"] = "postgresql://c:d@h/d"
    assert database.has_administrator(load_settings(given))
    assert database.has_administrator(load_settings({"TIEOUT_HOME": str(tmp_path)}))


# --- the gateway ----------------------------------------------------------------------------------


def test_installing_makes_the_gateways_login_once_and_takes_nobodys(installed: Settings) -> None:
    admin = database.ensure_server(installed)
    ours = replace(installed, gateway_url=named(admin, "inst_gateway"))
    try:
        assert persons.make_named_gateway(ours)
        assert not persons.make_named_gateway(ours)
        # It stays as an operator has set it.
        other = replace(installed, gateway_url=named(admin, "inst_gateway", "second"))
        assert not persons.make_named_gateway(other)
        with psycopg.connect(str(ours.gateway_url)) as connection:
            (row,) = connection.execute(
                "select pg_has_role(session_user, 'tieout_people', 'member'),"
                " pg_has_role(session_user, 'tieout_payout', 'member'),"
                " pg_has_role(session_user, 'tieout_ingest', 'member')"
            ).fetchall()
        assert row == (True, False, False)
        with psycopg.connect(admin) as server:
            assert server.execute("select database_login from control.gateways").fetchall() == [
                ("inst_gateway",)
            ]
        for login in ("inst_people", "inst_payout"):
            taken = replace(installed, gateway_url=named(admin, login))
            with pytest.raises(DatabaseError, match="may be somebody's"):
                persons.make_named_gateway(taken)
        nameless = replace(installed, gateway_url="postgresql://host/tieout")
        with pytest.raises(DatabaseError, match="no login and password"):
            persons.make_named_gateway(nameless)
    finally:
        with psycopg.connect(admin, autocommit=True) as server:
            drop(server, "inst_gateway")
