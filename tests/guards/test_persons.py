"""People who decide with logins of their own: two people are two logins."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

import payment_world
from payment_world import PAYMENT_DATE, Finding, World, login_of
from tieout import database, gate, payouts
from tieout.commands import overview
from tieout.commands.cli import app
from tieout.core.errors import DatabaseError, TieoutError
from tieout.core.settings import Settings
from tieout.database import persons
from tieout.decisions import files, terms

pytestmark = pytest.mark.slow
OPEN_DATE = date(2026, 9, 28)
REFERENCE = terms.Wanted("reference_data")
SHOWN = {"COLUMNS": "200", "NO_COLOR": "1"}


def as_person(world: World, name: str) -> Settings:
    """Return the settings with which a person decides."""
    url = (world.settings.secrets_dir / "people" / f"{login_of(world, name)}.url").read_text()
    return replace(world.settings, role_urls={"people": url.strip()}).acting_as("people")


@pytest.fixture
def peopled(world: World) -> Iterator[World]:
    """A world in which Li, Wang and Zhao have logins."""
    database.migrate(world.settings)
    names = {"Li": "li", "Wang": "wang", "Zhao": "zhao"}
    for person, login in names.items():
        path = persons.add(world.settings, person, login_of(world, login), None)
        assert path is not None
        assert path.stat().st_mode & 0o777 == 0o600
    yield world
    with database.connect(world.settings, autocommit=True) as connection:
        for login in names.values():
            name = psycopg.sql.Identifier(login_of(world, login))
            connection.execute(psycopg.sql.SQL("drop owned by {}").format(name))
            connection.execute(psycopg.sql.SQL("drop role {}").format(name))


@pytest.fixture
def failed(peopled: World, finding: Finding) -> World:
    """The gate failed."""
    finding.failures = (gate.Failure("gate_equation", "zero", "x", "residual", "-1", "CNY", "x"),)
    gate.decide(peopled.settings.acting_as("gate"), PAYMENT_DATE)
    return peopled


def test_two_logins_release_a_date(failed: World) -> None:
    release_id = gate.request_release(as_person(failed, "li"), PAYMENT_DATE, "line comes tomorrow")
    decision = gate.approve_release(as_person(failed, "wang"), release_id)
    assert decision.outcome == "released"
    (row,) = failed.rows(
        "select released_by_first, released_by_second, decided_by_login, release_id"
        " from control.gate_decisions where outcome = 'released'"
    )
    assert row == ("Li", "Wang", login_of(failed, "wang"), release_id)
    (asked,) = failed.rows(
        "select requested_by, signed_by_login from control.gate_release_requests"
    )
    assert asked == ("Li", login_of(failed, "li"))
    assert payouts.instruct(failed.settings.acting_as("payout"), PAYMENT_DATE).created_count == 3
    assert payouts.verify(failed.settings).findings == ()


@pytest.mark.parametrize("name", ["", "Li", "ＬＩ", "Wang"])
def test_one_login_is_one_person_whatever_is_typed(failed: World, name: str) -> None:
    li = as_person(failed, "li")
    release_id = gate.request_release(li, PAYMENT_DATE, "late line", by="Li")
    words = "cannot decide as another" if name == "Wang" else "two different people"
    with pytest.raises(TieoutError, match=words):
        gate.approve_release(li, release_id, by=name)


def test_nobody_decides_for_another(failed: World) -> None:
    with pytest.raises(TieoutError, match="cannot decide as another"):
        gate.request_release(as_person(failed, "li"), PAYMENT_DATE, "late line", by="Wang")


@pytest.mark.parametrize("role", [None, "gate", "payout", "transform", "ingest", "finance"])
def test_no_step_and_no_administrator_releases(failed: World, role: str | None) -> None:
    """The administrator comes to the function, and is nobody; a step does not come so far."""
    release_id = gate.request_release(as_person(failed, "li"), PAYMENT_DATE, "late line")
    settings = failed.settings.acting_as(role)
    for by in (None, "Wang"):
        with pytest.raises(TieoutError, match=r"belongs to nobody|permission denied"):
            gate.approve_release(settings, release_id, by=by)
        with pytest.raises(TieoutError, match=r"belongs to nobody|permission denied"):
            gate.request_release(settings, PAYMENT_DATE, "late line", by=by)


def test_a_request_falls_when_the_gate_decides_anew(failed: World, finding: Finding) -> None:
    release_id = gate.request_release(as_person(failed, "li"), PAYMENT_DATE, "late line")
    finding.failures = (*finding.failures, replace(finding.failures[0], detail="and another"))
    gate.decide(failed.settings.acting_as("gate"), PAYMENT_DATE)
    with pytest.raises(TieoutError, match="is of decision"):
        gate.approve_release(as_person(failed, "wang"), release_id)


def test_a_release_is_approved_once(failed: World) -> None:
    release_id = gate.request_release(as_person(failed, "li"), PAYMENT_DATE, "late line")
    gate.approve_release(as_person(failed, "wang"), release_id)
    with pytest.raises(TieoutError, match="is of decision"):
        gate.approve_release(as_person(failed, "zhao"), release_id)


def test_of_two_who_approve_at_once_one_does(failed: World) -> None:
    release_id = gate.request_release(as_person(failed, "li"), PAYMENT_DATE, "late line")
    start = threading.Barrier(2)
    said: list[str] = []

    def approve(name: str) -> None:
        settings = as_person(failed, name)
        start.wait(timeout=30)
        try:
            said.append(gate.approve_release(settings, release_id).outcome)
        except TieoutError as error:
            said.append(error.why)

    threads = [threading.Thread(target=approve, args=(name,)) for name in ("wang", "zhao")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    refused = [text for text in said if text != "released"]
    assert len(said) == 2
    assert [f"release {release_id} is of decision" in text for text in refused] == [True]
    assert len(failed.rows("select 1 from control.gate_decisions where outcome = 'released'")) == 1
    assert payouts.verify(failed.settings).findings == ()


def test_who_left_decides_nothing(failed: World) -> None:
    settings = as_person(failed, "li")
    persons.leave(failed.settings, " li ")
    with pytest.raises(TieoutError, match=r"does not decide any more|permission denied"):
        gate.request_release(settings, PAYMENT_DATE, "late line")
    with pytest.raises(DatabaseError, match="nobody of that name"):
        persons.leave(failed.settings, "Li")


@pytest.mark.parametrize("typed", ["li", "ＬＩ"])
def test_who_changed_reference_data_does_not_release(failed: World, typed: str) -> None:
    request_id = terms.request(as_person(failed, "wang"), REFERENCE, "calendar")
    terms.approve_request(as_person(failed, "li"), request_id, typed)
    gate.decide(failed.settings.acting_as("gate"), PAYMENT_DATE)  # it is one of its inputs
    release_id = gate.request_release(as_person(failed, "zhao"), PAYMENT_DATE, "late line")
    words = "approved reference data since the last payment"
    with pytest.raises(TieoutError, match=words):
        gate.request_release(as_person(failed, "li"), PAYMENT_DATE, "late line")
    with pytest.raises(TieoutError, match=words):
        gate.approve_release(as_person(failed, "li"), release_id)
    # A date that failed was not paid: what was approved before it counts on.
    failed.execute(
        "insert into control.gate_decisions (payment_date, outcome, fingerprint,"
        " statements_covered, payout_amount_minor, decided_by)"
        " select %s, 'failed', null, 0, 0, 'x'",
        (PAYMENT_DATE - timedelta(days=1),),
    )
    with pytest.raises(TieoutError, match=words):
        gate.approve_release(as_person(failed, "li"), release_id)
    with pytest.raises(TieoutError, match=words):
        gate.approve_release(as_person(failed, "wang"), release_id)
    persons.add(failed.settings, "Sun", login_of(failed, "sun"), None)
    assert gate.approve_release(as_person(failed, "sun"), release_id).outcome == "released"


def test_a_date_above_the_limit_takes_a_supervisor(failed: World) -> None:
    """Or who has a limit by name; a changed limit is a changed input, so the gate decides anew."""

    def asked(change: str) -> int:
        failed.execute(change)
        gate.decide(failed.settings.acting_as("gate"), PAYMENT_DATE)
        return gate.request_release(as_person(failed, "li"), PAYMENT_DATE, "late line")

    release_id = asked(
        "update reference.decision_limits set limit_minor = 7123560"
        " where decision_kind = 'gate_release' and holder = 'officer'"
    )
    with pytest.raises(TieoutError, match="Wang may let 7123560 CNY pass"):
        gate.approve_release(as_person(failed, "wang"), release_id)
    raised = (
        "insert into reference.decision_limits values"
        " ('gate_release', 'person', 'ＷＡＮＧ', 'CNY', 7123561)"
    )
    failed.execute(raised)
    with pytest.raises(TieoutError, match="reference decision_limits has changed"):
        gate.approve_release(as_person(failed, "wang"), release_id)
    release_id = asked("select 1")
    assert gate.approve_release(as_person(failed, "wang"), release_id).outcome == "released"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("delete from reference.decision_limits where holder = 'officer'", "has no limit for"),
        ("drop table reference.decision_limits", "are not loaded"),
    ],
)
def test_without_a_limit_nothing_passes(failed: World, change: str, words: str) -> None:
    release_id = gate.request_release(as_person(failed, "li"), PAYMENT_DATE, "late line")
    failed.execute(change)
    with pytest.raises(TieoutError, match=words):
        gate.approve_release(as_person(failed, "wang"), release_id)


def test_terms_take_two_logins(failed: World) -> None:
    """One login is one person for terms, too; the administrator is nobody."""
    li, wang = as_person(failed, "li"), as_person(failed, "wang")
    request_id = terms.request(li, REFERENCE, "calendar of 2027")
    with pytest.raises(TieoutError, match="two different people"):
        terms.approve_request(li, request_id)
    with pytest.raises(TieoutError, match="cannot decide as another"):
        terms.approve_request(li, request_id, "Wang")
    with pytest.raises(TieoutError, match="belongs to nobody"):
        terms.approve_request(failed.settings, request_id, "Wang")
    with pytest.raises(TieoutError, match="belongs to nobody"):
        terms.approve_reference(failed.settings, terms.TwoPeople("Li", "Wang", "r"))
    assert [asked.request_id for asked in terms.waiting_requests(wang)] == [request_id]
    failed.execute("update reference.payout_retry_limits set day_attempt_limit = 1")
    with pytest.raises(TieoutError, match="other reference data than there is now"):
        terms.approve_request(wang, request_id)
    request_id = terms.request(li, REFERENCE, "limits, and the calendar")
    terms.approve_request(wang, request_id)
    assert failed.rows(
        "select approved_by_first, approved_by_second, request_id from control.term_approvals"
    ) == [("Li", "Wang", request_id)]
    with pytest.raises(psycopg.errors.RestrictViolation, match="two logins, not with two names"):
        failed.execute(
            "insert into control.term_approvals (subject, decision, approved_by_first,"
            " approved_by_second, reason, reference_sha256)"
            " values ('reference_data', 'approve', 'Li', 'Wang', 'r', repeat('0', 64))"
        )


def test_a_file_takes_two_logins(failed: World) -> None:
    """Nothing changes a file's status before another login has agreed; each request counts once."""
    li, wang = as_person(failed, "li"), as_person(failed, "wang")
    (file_id,) = failed.rows("select min(file_id) from control.channel_files")[0]
    (status,) = failed.rows(
        "select status from control.channel_files where file_id = %s", (file_id,)
    )[0]
    decision = (
        "insert into control.file_decisions"
        " (file_id, action, status_before, status_after, decided_by, reason)"
        f" values ('{file_id}', 'reject', '{status}', 'refused', 'Zhao', 'mine')"
    )
    request_id = files.ask(li, file_id, "reject", "not ours", None)
    for settings, name, words in (
        (li, None, "two different people"),
        (li, "Wang", "as another"),
        (failed.settings, "Wang", "belongs to nobody"),
    ):
        with pytest.raises(TieoutError, match=words):
            files.approve(settings, request_id, name)
    with pytest.raises(psycopg.errors.RestrictViolation, match="it takes two logins"):
        failed.execute(decision)
    assert [asked.file_id for asked in files.waiting(wang)] == [file_id]
    assert files.approve(wang, request_id, None).action == "reject"
    failed.execute(decision)
    assert failed.rows("select decided_by, reason, request_id from control.file_decisions") == [
        ("Li, Wang", "not ours", request_id)
    ]
    assert files.waiting(wang) == []
    with pytest.raises(psycopg.errors.RestrictViolation, match="it takes two logins"):
        failed.execute(decision)


def as_gateway(world: World, user: str | None) -> Settings:
    """Return the settings of Airflow's API server, which speaks for one of its users."""
    url = (world.settings.secrets_dir / "gateway.url").read_text().strip()
    if user is not None:
        url = persons.speaking_for(url, user)
    return replace(world.settings, role_urls={"people": url}).acting_as("people")


@pytest.fixture
def gateway(failed: World) -> Iterator[World]:
    """Airflow's API server may speak for its users; two of them are people."""
    path = persons.add_gateway(failed.settings, login_of(failed, "gateway"))
    assert path.stat().st_mode & 0o777 == 0o600
    persons.add(failed.settings, "Qian", login_of(failed, "qian"), "qian@example")
    persons.add(failed.settings, "Zhou", login_of(failed, "zhou"), "zhou")
    yield failed
    with database.connect(failed.settings, autocommit=True) as connection:
        for login in ("gateway", "qian", "zhou"):
            name = psycopg.sql.Identifier(login_of(failed, login))
            connection.execute(psycopg.sql.SQL("drop owned by {}").format(name))
            connection.execute(psycopg.sql.SQL("drop role {}").format(name))


def test_two_users_of_airflow_release_a_date(gateway: World) -> None:
    asking, agreeing = as_gateway(gateway, "qian@example"), as_gateway(gateway, "zhou")
    release_id = gate.request_release(asking, PAYMENT_DATE, "line comes tomorrow")
    with pytest.raises(TieoutError, match="two different people"):
        gate.approve_release(asking, release_id)
    with pytest.raises(TieoutError, match="two different people"):
        gate.approve_release(as_person(gateway, "qian"), release_id)  # the same with psql
    gate.approve_release(agreeing, release_id)
    login = login_of(gateway, "gateway")
    assert gateway.rows(
        "select requests.signed_by_login, decisions.decided_by_login, decisions.released_by_second"
        " from control.gate_release_requests as requests"
        " inner join control.gate_decisions as decisions using (release_id)"
    ) == [(f"{login} for Airflow user qian@example", f"{login} for Airflow user zhou", "Zhou")]
    assert payouts.verify(gateway.settings).findings == ()


@pytest.mark.parametrize(
    ("user", "words"), [(None, "none is named"), ("li", "belongs to nobody"), ("", "none is named")]
)
def test_the_gateway_is_nobody_itself(gateway: World, user: str | None, words: str) -> None:
    with pytest.raises(TieoutError, match=words):
        gate.request_release(as_gateway(gateway, user), PAYMENT_DATE, "late line", by="Li")


def test_a_person_does_not_speak_for_another_user(gateway: World) -> None:
    """The setting counts for the gateway's login only."""
    url = as_person(gateway, "li").role_urls["people"]
    settings = replace(gateway.settings, role_urls={"people": persons.speaking_for(url, "zhou")})
    gate.request_release(settings.acting_as("people"), PAYMENT_DATE, "late line")
    assert gateway.rows("select requested_by from control.gate_release_requests") == [("Li",)]


ACTION = (
    "insert into reconciliation.actions (action_kind, suspense_item_id, effective_on, reason,"
    " requested_by) values ('write_off', 'S:1', '2026-09-28', 'r', %s) returning action_id"
)
APPROVAL = (
    "insert into reconciliation.action_approvals (action_id, approved_by)"
    " select max(action_id), %s from reconciliation.actions"
)


def decide(settings: Settings, statement: str, name: str) -> None:
    """Write a decision about an item."""
    with database.connect(settings) as connection:
        connection.execute(statement, [name])  # type: ignore[arg-type]


def put_item(world: World, amount_minor: int) -> None:
    """Leave an item open after the latest close."""
    world.execute(
        "insert into control.accounting_days (accounting_date) values ('2026-09-27')"
        " on conflict do nothing;"
        " update control.accounting_days set state = 'closed', closed_run_id = 'x',"
        " close_count = 1, inputs_fingerprint = 'x' where accounting_date = '2026-09-27';"
        " create table if not exists reconciliation.suspense_items (accounting_date date,"
        " suspense_item_id text, currency_code text, amount_minor bigint);"
        " alter table reconciliation.suspense_items owner to tieout_owner;"
        " insert into reconciliation.suspense_items select max(accounting_date), 'S:1', 'CNY',"
        f" {amount_minor} from control.accounting_days where state in ('closed', 'sealed')"
    )


def test_an_item_that_no_close_knows_is_not_approved(peopled: World) -> None:
    """Its amount would be nobody's limit."""
    put_item(peopled, 1)
    decide(as_person(peopled, "li"), ACTION.replace("S:1", "S:2"), "")
    with pytest.raises(psycopg.errors.RestrictViolation, match="no closed date knows"):
        decide(as_person(peopled, "wang"), APPROVAL, "")


@pytest.mark.parametrize("amount_minor", [10_000_001, -10_000_001])
def test_an_item_above_the_limit_takes_a_supervisor(peopled: World, amount_minor: int) -> None:
    put_item(peopled, amount_minor)
    decide(as_person(peopled, "li"), ACTION, "")
    with pytest.raises(psycopg.errors.RestrictViolation, match="Wang may let 10000000 CNY pass"):
        decide(as_person(peopled, "wang"), APPROVAL, "")
    persons.give_role(peopled.settings, "Wang", "supervisor")
    decide(as_person(peopled, "wang"), APPROVAL, "")


def test_an_item_is_decided_by_the_logins(peopled: World) -> None:
    put_item(peopled, 10_000_000)
    decide(as_person(peopled, "li"), ACTION, "")
    with pytest.raises(psycopg.errors.RestrictViolation, match="another person"):
        decide(as_person(peopled, "li"), APPROVAL, "li")
    with pytest.raises(psycopg.errors.RestrictViolation, match="as another"):
        decide(as_person(peopled, "li"), APPROVAL, "Wang")
    with pytest.raises(psycopg.errors.RestrictViolation, match="belongs to nobody"):
        decide(peopled.settings, APPROVAL, "Wang")
    decide(as_person(peopled, "wang"), APPROVAL, "Wang")
    assert peopled.rows(
        "select actions.requested_by, actions.signed_by_login, approvals.approved_by,"
        " approvals.signed_by_login from reconciliation.actions as actions"
        " inner join reconciliation.action_approvals as approvals using (action_id)"
    ) == [("Li", login_of(peopled, "li"), "Wang", login_of(peopled, "wang"))]


def test_an_undo_is_decided_by_the_logins(peopled: World) -> None:
    gate.decide(peopled.settings.acting_as("gate"), PAYMENT_DATE)
    payouts.instruct(peopled.settings.acting_as("payout"), PAYMENT_DATE)
    with database.connect(as_person(peopled, "li")) as connection:
        connection.execute(
            "insert into payout.undo_requests (payment_date, reason, requested_by)"
            " values (%s, 'r', '')",
            [PAYMENT_DATE],
        )
    with database.connect(as_person(peopled, "wang")) as connection:
        connection.execute(
            "insert into payout.undo_approvals (undo_id, payment_date, approved_by)"
            " select undo_id, payment_date, '' from payout.undo_requests"
        )
    assert peopled.rows("select approved_by from payout.undo_approvals") == [("Wang",)]
    assert peopled.rows("select 1 from payout.instructions") == []


@pytest.mark.parametrize(
    "statement",
    [
        "update control.persons set is_active = true",
        "insert into control.persons (person, database_login) values ('Me', session_user)",
        "insert into control.gate_decisions (payment_date, outcome, decided_by)"
        " values ('2026-09-28', 'passed', 'x')",
        "select raw.platform_payees from raw.platform_payees",
        "select payout.instruct('2026-09-28')",
        "set role tieout_owner",
    ],
)
def test_a_person_does_nothing_but_decide_and_read(peopled: World, statement: str) -> None:
    with (
        database.connect(as_person(peopled, "li")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("person", "login", "words"),
    [
        ("ＬＩ", "other", "persons_are_different_people"),
        ("Sun", "li", "persons_database_login_key"),
        ("", "other", "persons_person_check"),
    ],
)
def test_a_person_has_one_name_and_one_login(
    peopled: World, person: str, login: str, words: str
) -> None:
    with pytest.raises(DatabaseError, match=words):
        persons.add(peopled.settings, person, login_of(peopled, login), None)


def test_no_person_is_a_step_or_the_administrator(peopled: World) -> None:
    admin = urlsplit(database.ensure_server(peopled.settings)).username or ""
    with database.connect(peopled.settings.acting_as("payout")) as connection:
        payout = connection.info.user
    for login in (admin, payout, "tieout_owner"):
        with pytest.raises(DatabaseError, match="login of a step, of an owner or a superuser"):
            persons.add(peopled.settings, "Sun", login, None)
    assert len(peopled.rows("select 1 from control.persons")) == 3


@pytest.mark.parametrize(
    "change",
    [
        "update control.persons set person = 'Other' where person = 'Li'",
        "update control.persons set database_login = 'x' where person = 'Li'",
        "delete from control.persons",
        "truncate control.persons",
    ],
)
def test_a_person_stays_who_it_is(peopled: World, change: str) -> None:
    with pytest.raises((psycopg.errors.RestrictViolation, psycopg.errors.FeatureNotSupported)):
        peopled.execute(change)


def run(settings: Settings, *arguments: str, url: Path | None = None) -> tuple[int, str]:
    """Run a command of the home; return its exit code and what it printed."""
    environ = {
        **SHOWN,
        "TIEOUT_HOME": str(settings.home),
        "TIEOUT_DATABASE_URL": str(settings.external_database_url),
    }
    if url is not None:
        environ["TIEOUT_DATABASE_URL_PEOPLE"] = url.read_text().strip()
    done = CliRunner().invoke(app, list(arguments), env=environ)
    said = done.output + (str(done.exception) if done.exception else "")
    return done.exit_code, said


def status(settings: Settings) -> str:
    """Return what the status says of releases and chains."""
    console = Console(file=io.StringIO(), width=200)
    overview.print_waiting_releases(console, settings, None)
    overview.print_chains(console, settings, None)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_commands_release_with_two_logins(failed: World) -> None:
    folder = failed.settings.secrets_dir / "people"
    li, wang = (folder / f"{login_of(failed, name)}.url" for name in ("li", "wang"))
    day = str(PAYMENT_DATE)
    code, said = run(failed.settings, "gate", "request", day, "--reason", "late line", url=li)
    assert (code, "tieout gate approve 1" in said) == (0, True), said
    code, said = run(failed.settings, "gate", "list", day, url=wang)
    assert (code, "asked for by Li: late line" in said) == (0, True), said
    said = status(failed.settings)
    assert "release 1 of payment date 2026-09-28, asked for by Li: late line" in said
    assert "chains of payment date 2026-09-28 (哈希链): decisions 1 " in said
    code, said = run(failed.settings, "gate", "approve", "1", url=li)
    assert (code, "two different people" in said) == (1, True), said
    code, said = run(failed.settings, "gate", "approve", "1", url=wang)
    assert (code, f"next: tieout pay {day}" in said) == (0, True), said
    assert "waits for a second person" not in status(failed.settings)
    code, said = run(failed.settings, "gate", "list")
    assert (code, "Li, Wang" in said) == (0, True), said
    code, said = run(failed.settings, "people", "list")
    assert (code, "3 people" in said) == (0, True), said
    code, said = run(failed.settings, "verify", day)
    assert (code, "0 findings" in said) == (0, True), said


def test_a_person_is_added_by_command(world: World) -> None:
    database.migrate(world.settings)
    login = login_of(world, "sun")
    code, said = run(world.settings, "people", "list")
    assert (code, "nobody has a login yet" in said) == (0, True), said
    code, said = run(world.settings, "people", "add", "孙", "--login", login)
    assert (code, f"{login}.url" in said) == (0, True), said
    url = (world.settings.secrets_dir / "people" / f"{login}.url").read_text()
    assert (urlsplit(url).password or "x") not in said
    code, said = run(world.settings, "people", "leave", "孙")
    assert (code, "does not decide any more" in said) == (0, True), said
    with database.connect(world.settings, autocommit=True) as connection:
        name = psycopg.sql.Identifier(login)
        connection.execute(psycopg.sql.SQL("drop owned by {}").format(name))
        connection.execute(psycopg.sql.SQL("drop role {}").format(name))


def test_a_hold_is_released_by_another_login(peopled: World) -> None:
    """Whatever is typed: a name left out does not make the same person another."""
    statement = payment_world.statement_id(1)

    def call(name: str, query: str, typed: str) -> None:
        with database.connect(as_person(peopled, name)) as connection:
            connection.execute(query, [statement, typed])  # type: ignore[arg-type]

    call("li", "select payout.hold(%s, %s, 'a court asks')", "Li")
    for typed, words in (("", "another person"), ("Li", "another person"), ("Wang", "as another")):
        with pytest.raises(psycopg.errors.RestrictViolation, match=words):
            call("li", "select payout.release_hold(%s, %s, 'over')", typed)
    call("wang", "select payout.release_hold(%s, %s, 'over')", "")
    assert peopled.rows(
        "select holds.held_by, releases.released_by, releases.released_by_login"
        " from payout.payout_holds as holds"
        " inner join payout.payout_hold_releases as releases using (hold_id)"
    ) == [("Li", "Wang", login_of(peopled, "wang"))]
