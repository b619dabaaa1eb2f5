"""Hash chains of decisions and payouts: what anybody changes afterwards is found."""

from __future__ import annotations

import json
import threading
from datetime import date, timedelta

import psycopg
import pytest

import payment_world
import payouts_again
from payment_world import PAYMENT_DATE, World
from tieout import database, gate, payouts
from tieout.core.errors import TieoutError
from tieout.payouts import chains

pytestmark = pytest.mark.slow
HEADS = chains.heads_path(PAYMENT_DATE)


@pytest.fixture
def world(world: World) -> World:
    """The world, with the logins of its database."""
    database.migrate(world.settings)
    return world


@pytest.fixture
def paid(world: World) -> World:
    """A payment date that was decided, instructed and submitted."""
    gate.decide(world.settings, PAYMENT_DATE)
    payouts.instruct(world.settings, PAYMENT_DATE)
    payouts.submit(world.settings, PAYMENT_DATE)
    return world


def forge(world: World, statement: str, *values: object) -> None:
    """Change something as a superuser does whom no trigger stops."""
    with database.connect(world.settings) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(statement, values)


def findings(world: World) -> tuple[str, ...]:
    """Return what a verification of everything finds."""
    return payouts.verify(world.settings).findings


def test_what_nobody_touched_verifies(paid: World) -> None:
    report = payouts.verify(paid.settings)
    assert report.findings == ()
    # A decision; 3 instructions, 3 attempts with two events each; a file.
    assert (report.payment_dates, report.links, report.files_of_heads) == (1, 14, 1)


def test_a_payment_file_leaves_with_the_heads_of_its_date(paid: World) -> None:
    kept = json.loads((paid.outbox / HEADS).read_bytes())
    assert kept["payment_date"] == PAYMENT_DATE.isoformat()
    assert {name: head["links"] for name, head in kept["chains"].items()} == {
        "decisions": 1, "instructions": 3, "attempts": 3, "events": 6, "files": 1,
    }  # fmt: skip


FORGERIES = {
    "amount": ("update payout.instructions set amount_minor = 1", "instructions: I-", "changed"),
    "payee": (
        "update payout.instructions set account_number_token = 'x'", "instructions: I-", "changed",
    ),
    "end-to-end id": (
        "update payout.attempts set end_to_end_id = attempt_id || 'x'", "attempts: A-", "changed",
    ),
    "event": (
        "update payout.attempt_events set status = 'paid' where event_no = 2", "events: A-",
        "changed",
    ),
    "event's time": (
        "update payout.attempt_events set recorded_at = recorded_at + interval '1 second'",
        "events: A-", "changed",
    ),
    "decision": ("update control.gate_decisions set decided_by = 'me'", "decisions: ", "changed"),
    "failures": (
        "update control.gate_decisions set detail = '{\"failures\": [1]}'", "decisions: ",
        "changed",
    ),
    "file": ("update payout.outbox_files set sha256 = repeat('0', 64)", "files: PO", "changed"),
    "gone": ("delete from payout.outbox_files", "files: PO", "is gone"),
    "new": (
        "insert into payout.outbox_files values"
        " ('B9', '2026-09-28', 'x', repeat('0', 64), 1, 1, 1000, 'CNY')",
        "files: B9", "has no link",
    ),
    "link": (
        "update control.chain_links set content_sha256 = repeat('0', 64) where chain = 'events'"
        " and link_no = 2",
        "events: link 2", "does not follow",
    ),
    "link gone": (
        "delete from control.chain_links where chain = 'events' and link_no = 2",
        "events: link 2", "is missing",
    ),
    "last link gone": (
        "delete from control.chain_links where chain = 'files'", "files: the payment files left",
        "another history",
    ),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_found(paid: World, forgery: tuple[str, str, str]) -> None:
    statement, where, what = forgery
    forge(paid, statement)
    found = findings(paid)
    assert any(where in each and what in each for each in found), found


REBUILD = """
with recursive contents as (
    select link_no, row_key, control.chain_content('instructions', to_jsonb(rows)) as content
    from control.chain_links as links
    inner join payout.instructions as rows on links.row_key = rows.instruction_id
    where links.chain = 'instructions'
),

rebuilt as (
    select 0 as link_no, '' as sha256, '' as hashed
    union all
    select
        contents.link_no,
        encode(sha256(convert_to(format('instructions|2026-09-28|%s|%s', rebuilt.sha256,
            encode(sha256(convert_to(contents.content, 'UTF8')), 'hex')), 'UTF8')), 'hex'),
        encode(sha256(convert_to(contents.content, 'UTF8')), 'hex')
    from rebuilt
    inner join contents on contents.link_no = rebuilt.link_no + 1
)

update control.chain_links as links
set content_sha256 = rebuilt.hashed, link_sha256 = rebuilt.sha256
from rebuilt
where links.chain = 'instructions' and links.link_no = rebuilt.link_no
"""


def test_a_chain_that_its_owner_rebuilt_is_another_than_left(paid: World) -> None:
    """Inside the database everything agrees again; what left with the files does not."""
    forge(paid, "update payout.instructions set amount_minor = amount_minor + 1")
    forge(paid, REBUILD.replace("%s", "%%s"), *())
    (finding,) = findings(paid)
    assert "instructions: the payment files left with link 3" in finding
    (paid.outbox / HEADS).unlink()
    (finding,) = findings(paid)
    assert "chain_heads.json is gone" in finding


def test_who_pays_on_after_a_forgery_is_stopped(paid: World) -> None:
    forge(paid, "delete from control.chain_links where chain = 'files'")
    with pytest.raises(TieoutError, match="is not what it was"):
        payouts.submit(paid.settings, PAYMENT_DATE)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"chains": {"files": 1}}', b"\xff"])
def test_heads_that_cannot_be_read_are_a_finding(paid: World, content: bytes) -> None:
    (paid.outbox / HEADS).write_bytes(content)
    (finding,) = findings(paid)
    assert finding.endswith("cannot be read")


def test_every_link_is_what_the_database_and_python_both_make(paid: World) -> None:
    """Odd texts, too: both make the same bytes of them."""
    odd = 'a"b\\c\n\t\x0b\x7f/é中\u2028😀'
    with database.connect(paid.settings) as connection:
        connection.execute(
            "insert into control.gate_decisions (payment_date, outcome, decided_by, detail)"
            " values (%s, 'failed', %s, %s)",
            [PAYMENT_DATE, odd, json.dumps({"failures": [{"b": odd, "aa": None}]})],
        )
    assert findings(paid) == ()


def test_an_undone_payment_verifies(world: World) -> None:
    gate.decide(world.settings, PAYMENT_DATE)
    payouts.instruct(world.settings, PAYMENT_DATE)
    world.execute("select payout.start_attempts(%s, 3000)", (PAYMENT_DATE,))
    world.execute(
        "insert into payout.undo_requests (payment_date, reason, requested_by)"
        " values (%s, 'r', 'Li')",
        (PAYMENT_DATE,),
    )
    world.execute(
        "insert into payout.undo_approvals (undo_id, payment_date, approved_by)"
        " select undo_id, payment_date, 'Wang' from payout.undo_requests"
    )
    assert world.value("select count(*) from payout.attempts") == 0
    payouts.instruct(world.settings, PAYMENT_DATE)
    payouts.submit(world.settings, PAYMENT_DATE)
    report = payouts.verify(world.settings)
    assert report.findings == ()
    assert report.links == 1 + 2 * 3 + 2 * 3 + 3 + 6 + 1 + 3


def test_whom_a_new_attempt_pays_is_a_link(world: World) -> None:
    payouts_again.submit(world)
    payouts_again.fail(world)
    payouts_again.prove_day(world)
    payouts.pay_again(
        world.settings,
        payment_world.statement_id(1),
        payouts_again.NEXT_DAY,
        by="Zhou Min",
        reason="the payee asked",
    )
    assert findings(world) == ()
    forge(world, "update payout.new_attempts set account_number_token = 'another'")
    (finding,) = findings(world)
    assert "new_attempts: A-" in finding
    assert "changed" in finding


def test_writers_of_two_dates_in_any_order_make_no_fork(world: World) -> None:
    """Links come at commit under one lock: nobody waits for who waits for them."""
    days = [PAYMENT_DATE + timedelta(days=1), PAYMENT_DATE + timedelta(days=2)]
    start = threading.Barrier(6)
    failed: list[BaseException] = []

    def write(number: int, order: list[date]) -> None:
        try:
            with database.connect(world.settings) as connection:
                start.wait(timeout=30)
                for turn in range(8):
                    for day in order:
                        row = {"batch_message_id": f"B{number}-{turn}"}
                        connection.execute(
                            "select control.add_link('files', %s, %s)", [day, json.dumps(row)]
                        )
                    connection.commit()
        except BaseException as error:
            failed.append(error)

    orders = [days if number % 2 else days[::-1] for number in range(6)]
    threads = [
        threading.Thread(target=write, args=(number, order)) for number, order in enumerate(orders)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert failed == []
    found = findings(world)
    assert len(found) == 6 * 8 * 2
    assert all("was written and is gone" in each for each in found), "and the links follow"


def test_many_rows_of_one_statement_are_links_of_one_chain(world: World) -> None:
    world.execute(
        "insert into control.gate_decisions (payment_date, outcome, decided_by)"
        " select %s, 'failed', 'x' from generate_series(1, 400)",
        (PAYMENT_DATE,),
    )
    report = payouts.verify(world.settings)
    assert (report.links, report.findings) == (400, ())


REFUSED: dict[str, tuple[str, str]] = {
    "submitted without a file": (
        "select payout.append_events(array['{attempt}'], array['submitted'], array[null],"
        " array[null], '2026-09-28', null)",
        "no file .* is on record",
    ),
    "paid without a file of the bank's": (
        "select payout.append_events(array['{attempt}'], array['paid'], array[null],"
        " array[null], '2026-09-28', null)",
        "without a file of the bank's",
    ),
    "paid by a file that never came": (
        "select payout.append_events(array['{attempt}'], array['paid'], array[null],"
        " array[null], '2026-09-28', 'ffffffffffffffff')",
        "no file ffffffffffffffff has come",
    ),
    "created by an event": (
        "select payout.append_events(array['{attempt}'], array['created'], array[null],"
        " array[null], '2026-09-28', null)",
        "is not created by an event",
    ),
    "sealed by who does not hold the date": (
        "select control.seal('2026-09-28', 'nobody')", "is not held by nobody",
    ),
    "sealed by another than who holds the date": (
        "insert into control.date_leases (kind, business_date, owner_id) values"
        " ('settlement_payout', '2026-09-28', 'somebody');"
        " select control.seal('2026-09-28', 'nobody')",
        "is not held by nobody",
    ),
    "files of no payments": (
        "select payout.start_attempts('2026-09-28', 0)", "at least one payment",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_step_gets_nothing_without_its_evidence(world: World, case: tuple[str, str]) -> None:
    statement, words = case
    gate.decide(world.settings, PAYMENT_DATE)
    payouts.instruct(world.settings, PAYMENT_DATE)
    world.execute("select payout.start_attempts(%s, 3000)", (PAYMENT_DATE,))
    attempt = world.value("select min(attempt_id) from payout.attempts")
    with pytest.raises(psycopg.errors.RestrictViolation, match=words):
        as_role(world, "payout", statement.replace("{attempt}", str(attempt)))


def as_role(world: World, role: str, statement: str) -> None:
    """Run a statement with a step's login."""
    with database.connect(world.settings.acting_as(role)) as connection:
        connection.execute(statement)


DECIDES: dict[str, tuple[str, str]] = {
    "passed with failures": (
        "select gate.decide('2026-09-28', 'passed', '{\"failures\": [1]}', null, 'x')",
        "something does not hold",
    ),
    "passed without a list of failures": (
        "select gate.decide('2026-09-28', 'passed', '{}', null, 'x')", "something does not hold",
    ),
    "passed on other statements": (
        "select gate.decide('2026-09-28', 'passed', '{\"failures\": []}', 'other', 'x')",
        "not those that were checked",
    ),
    "released": (
        "select gate.decide('2026-09-28', 'released', '{\"failures\": []}', null, 'x')",
        "passed or failed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DECIDES.values(), ids=DECIDES)
def test_the_gate_says_passed_of_what_it_checked_only(world: World, case: tuple[str, str]) -> None:
    statement, words = case
    with pytest.raises(psycopg.errors.RestrictViolation, match=words):
        as_role(world, "gate", statement)
    assert world.rows("select 1 from control.gate_decisions") == []


def test_the_login_that_decided_is_on_record(world: World) -> None:
    gate.decide(world.settings.acting_as("gate"), PAYMENT_DATE)
    login = world.value("select decided_by_login from control.gate_decisions")
    assert str(login).endswith("_gate_login")
