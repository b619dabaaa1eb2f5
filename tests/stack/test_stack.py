"""The production-like stack lands, closes and pays in containers, whoever is killed meanwhile.

Not part of `make test`: it needs a container engine. `make stack-test` runs it; CI runs what
`--stack short` asks for. The tests go in order, each on where the one before it ended.
"""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from lxml import etree

import containers
from containers import LOCALHOST, Composed, Stack, StackError
from tieout.core.settings import Settings
from tieout.simulator import sample

from .conftest import FIRST, FOURTH, SECOND, THIRD

CLOSE, PAY = "accounting_close", "settlement_payout"


def start_close(stack: Stack, day: date) -> str:
    """Start the close of a date as its schedule would."""
    return stack.trigger(CLOSE, "accounting_date", day, hour=10)


def start_payment(stack: Stack, day: date) -> str:
    """Start a payment date as its schedule would."""
    return stack.trigger(PAY, "payment_date", day, hour=11)


def day_state(stack: Stack, day: date) -> str:
    """The state of an accounting date."""
    return stack.rows(f"select state from control.accounting_days where accounting_date = '{day}'")[
        0
    ][0]


def decisions(stack: Stack, day: date) -> list[list[str]]:
    """Outcome and amount of each decision of the gate about a payment date, in order."""
    return stack.rows(
        "select outcome, coalesce(payout_amount_minor, 0) from control.gate_decisions "
        f"where payment_date = '{day}' order by decision_id"
    )


def paid_minor(files: dict[str, bytes], day: date) -> int:
    """The money in the payment files of a date, in fen."""
    amounts = [
        amount
        for name, content in files.items()
        if name.startswith(f"payouts/{day:%Y%m%d}/") and "/pain001_" in name
        for amount in etree.fromstring(content).iterfind(".//{*}CdtTrfTxInf/{*}Amt/{*}InstdAmt")
    ]
    assert all(amount.get("Ccy") == "CNY" for amount in amounts)
    return sum(int(str(amount.text).replace(".", "")) for amount in amounts)


def test_no_process_is_root(stack: Stack) -> None:
    users = stack.users()
    assert len(users) >= 5, users
    for name, ids in users.items():
        assert ids, name
        assert 0 not in ids, (name, ids)


# Run in a container: what each login is that its environment names, and may become.
# Podman's DNS forgets a name for a moment where a container of the network has just ended.
LOGINS_KNOWN = """
import json, os, psycopg, time
def opened(url, tries=5):
    try:
        return psycopg.connect(url, autocommit=True)
    except psycopg.OperationalError as error:
        if "failed to resolve host" not in str(error) or tries == 1:
            raise
    time.sleep(2)
    return opened(url, tries - 1)
known = {}
for name, value in sorted(os.environ.items()):
    scheme, found, rest = value.partition("://")
    if not found or not scheme.startswith("postgres"):
        continue
    with opened("postgresql://" + rest) as connection:
        query = "select session_user, bool_or(rolsuper or rolcreaterole) from pg_roles"
        query += " where pg_has_role(session_user, oid, 'member') group by 1"
        (row,) = connection.execute(query).fetchall()
        try:
            connection.execute("set role tieout")
            row = (*row, "became the administrator")
        except psycopg.errors.InsufficientPrivilege:
            pass
    known[name] = row
print(json.dumps(known))
"""
STEPS = {"ingest", "transform", "gate", "payout", "finance", "airflow"}


def logins_known(place: Composed, service: str) -> set[str]:
    """The logins a service's container knows; none is a superuser's, and none may become it."""
    password = dict(line.split("=", 1) for line in place.variables.read_text().splitlines())
    environment = place.execute(service, "env")
    assert "TIEOUT_AIRFLOW_DATABASE_URL=" in environment
    if "TIEOUT_PG_PASSWORD" in password:
        assert password["TIEOUT_PG_PASSWORD"] not in environment
    assert "://tieout:" not in environment
    known = json.loads(place.execute(service, "python", "-c", LOGINS_KNOWN))
    assert known, service
    assert {name: row for name, row in known.items() if row[1:] != [False]} == {}
    return {str(row[0]).removeprefix("stack_") for row in known.values()}


def test_no_container_that_stays_can_become_the_administrator(stack: Stack) -> None:
    assert logins_known(stack, "scheduler") == STEPS
    people = {"ingest", "finance", "people", "gateway", "airflow"}
    assert logins_known(stack, "api-server") == people
    assert logins_known(stack, "dag-processor") == {"airflow"}
    assert logins_known(stack, "triggerer") == {"airflow"}
    # Passwords that installing has made, or been given, lie in a home that no task sees.
    assert (
        stack.execute("scheduler", "sh", "-c", "ls /var/lib/tieout/secrets 2>&1; true").count(
            "database.json"
        )
        == 0
    )


# Who decides here: each with a login of the database, a user of Airflow, and roles there.
PEOPLE = {
    "Li Na": ("li.na", ["Decider"]),
    "Wu Fang": ("wu.fang", ["Decider", "Viewer"]),
    "Sun Wei": ("sun.wei", ["Viewer", "Op"]),
}
DECISIONS = "/tieout/decisions"


def make_people(stack: Stack) -> dict[str, str]:
    """Put people on record, as the install job, and make their users; return passwords by user."""
    passwords = {user: secrets.token_urlsafe(18) for user, _ in PEOPLE.values()}
    adding = " && ".join(
        f"tieout people add '{person}' --login {user.replace('.', '_')} --airflow-user {user}"
        for person, (user, _) in PEOPLE.items()
    )
    stack.compose("run", "--rm", "--no-deps", "tieout-migrate", "sh", "-c", adding)
    for person, (user, roles) in PEOPLE.items():
        first, last = person.split()
        stack.administer(
            "POST",
            "/auth/fab/v1/users",
            {
                "username": user,
                "email": f"{user}@example.com",
                "first_name": first,
                "last_name": last,
                "password": passwords[user],
                "roles": [{"name": role} for role in roles],
            },
        )
    return passwords


def test_no_task_sees_what_logs_people_in(stack: Stack) -> None:
    """Its first password is known to who makes it; what the API server runs, no task can write."""
    kept = "/var/lib/airflow"
    for service in ("api-server", "scheduler", "dag-processor", "triggerer"):
        assert stack.admin_password not in stack.execute(service, "env"), service
    assert "airflow.cfg" in stack.execute("api-server", "ls", kept)
    assert stack.execute("scheduler", "ls", kept) == ""
    for service in ("scheduler", "api-server"):
        with pytest.raises(StackError, match="Permission denied"):
            stack.execute(service, "touch", "/opt/tieout/docker/airflow/webserver_config.py")


def test_no_image_says_where_its_packages_came_from(stack: Stack) -> None:
    """Package settings are mounts of the build: their addresses may hold passwords."""
    folder = stack.folder / "settings"
    folder.mkdir()
    containers.run([str(containers.PROJECT / "bin/stack-build"), "settings", str(folder)], {})
    hosts = containers.hosts_in(folder)
    if not hosts:
        pytest.skip("apt and pip of this machine name no host: there is nothing to find")
    patterns = [word for host in sorted(hosts) for word in ("-e", host)]
    places = "/etc /var /opt/tieout/.venv/pyvenv.cfg /opt/postgres/*.cfg /root"
    for image in ("tieout:0.1.0", "tieout-postgres:0.1.0"):
        script = f'grep -rIlF "$@" {places} 2>/dev/null; true'
        found = stack.engine.run(
            "run", "--rm", "--entrypoint", "sh", image, "-c", script, "sh", *patterns
        ).stdout
        assert found == "", (image, found)
        history = stack.engine.run("history", "--no-trunc", image).stdout
        assert [host for host in hosts if host in history] == []


def test_the_drop_takes_files_with_a_key_and_nothing_else(stack: Stack, senders: Settings) -> None:
    sample.bank_morning(senders, SECOND)
    inbox = Path(senders.inbox_url.removeprefix("file://"))
    assert stack.upload(inbox) > 20

    async def names(client: asyncssh.SFTPClient) -> list[str]:
        return sorted(str(name) for name in await client.listdir("/"))

    assert set(stack.with_sftp(names)) - {".", ".."} == {"inbox", "outbox"}
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    for user, key in (("drop", stranger), ("root", None), ("tieout", None)):
        with pytest.raises(asyncssh.PermissionDenied):
            stack.with_sftp(names, user=user, key=key)

    async def leave(client: asyncssh.SFTPClient) -> None:
        await client.symlink("../../sftp-keys", "/inbox/way_out")

    async def read_host_key(client: asyncssh.SFTPClient) -> None:
        await client.stat("/../sftp-keys/ssh_host_ed25519_key")

    for work in (leave, read_host_key):
        with pytest.raises(asyncssh.SFTPError):
            stack.with_sftp(work)


def kill_in_the_build(stack: Stack, run_id: str) -> None:
    """Kill the scheduler, with the task that runs in it, while dbt builds; start it again."""

    def builds() -> bool | None:
        if stack.run_state(CLOSE, run_id) == "failed":
            pytest.fail(f"the close failed: {stack.why(CLOSE, run_id)}")
        return True if stack.tasks(CLOSE, run_id)["build"]["state"] == "running" else None

    containers.wait_for("the build begins", builds, 300, every=0.5)
    scheduler = stack.container("scheduler")
    stack.engine.run("kill", "--signal", "KILL", scheduler)
    assert day_state(stack, FIRST) == "open"
    stack.engine.run("start", scheduler)


def test_a_date_closes_through_the_scheduler(stack: Stack, request: pytest.FixtureRequest) -> None:
    """In the full form though the scheduler is killed meanwhile: its task is taken up again."""
    is_killed = request.config.getoption("stack") == "full"
    stack.unpause(CLOSE)
    run_id = start_close(stack, FIRST)
    if is_killed:
        kill_in_the_build(stack, run_id)
    assert stack.wait_run(CLOSE, run_id) == "success", stack.why(CLOSE, run_id)
    assert (stack.tasks(CLOSE, run_id)["build"]["try_number"] > 1) == is_killed
    assert day_state(stack, FIRST) == "closed"


@pytest.fixture(scope="module")
def users(stack: Stack) -> dict[str, dict[str, str]]:
    """The people's users, logged in: the header of the requests of each."""
    passwords = make_people(stack)
    tokens = {user: stack.token(user, password) for user, password in passwords.items()}
    said = stack.logs("api-server") + stack.logs("airflow-users")
    assert [word for word in (*passwords.values(), stack.admin_password) if word in said] == []
    return tokens


def test_two_users_approve_the_first_list_and_nobody_else(
    stack: Stack, users: dict[str, dict[str, str]]
) -> None:
    """By their roles in Airflow, each as the person they are; a role taken away is gone at once."""
    asking = f"{DECISIONS}/terms"
    body = {"about": "first_date_list", "reason": "the first list"}
    administrator = stack.token("admin", stack.admin_password)
    assert stack.say("POST", asking, body, {})[0] == 401
    for refused in (users["sun.wei"], administrator):
        assert stack.say("POST", asking, body, refused)[0] == 403
    status, answer = stack.say("POST", asking, body, users["li.na"])
    assert status == 201, answer
    approving = f"{asking}/{answer['number']}/approval"
    status, answer = stack.say("POST", approving, {}, users["li.na"])
    assert (status, "two different people" in answer) == (409, True), answer
    status, answer = stack.say("POST", approving, {}, users["wu.fang"])
    assert status == 201, answer
    roles = "/auth/fab/v1/users/wu.fang?update_mask=roles"
    stack.administer("PATCH", roles, {"roles": [{"name": "Viewer"}]})
    assert stack.say("GET", DECISIONS, None, users["wu.fang"])[0] == 403
    stack.administer("PATCH", roles, {"roles": [{"name": "Decider"}]})
    assert stack.say("GET", DECISIONS, None, users["wu.fang"]) == (200, [])
    people = "approved_by_first, approved_by_second"
    assert stack.rows(f"select distinct {people} from control.term_approvals") == [
        ["Li Na", "Wu Fang"]
    ]


def test_the_bank_fetches_what_the_gate_decided(
    stack: Stack, users: dict[str, dict[str, str]]
) -> None:
    stack.unpause(PAY)
    run_id = start_payment(stack, SECOND)
    assert stack.wait_run(PAY, run_id) == "success", stack.why(PAY, run_id)
    ((outcome, amount),) = decisions(stack, SECOND)
    assert outcome == "passed"
    assert int(amount) > 0
    assert paid_minor(stack.outbox(), SECOND) == int(amount)
    assert day_state(stack, FIRST) == "sealed"


def test_the_commands_of_people_need_no_administrator(stack: Stack) -> None:
    for service in ("scheduler", "api-server"):
        assert str(FIRST) in stack.execute(service, "tieout", "status")
        assert "passed" in stack.execute(service, "tieout", "gate", "list")
        stack.execute(service, "tieout", "quarantine", "list")
        with pytest.raises(StackError, match="knows no administrator"):
            stack.execute(service, "tieout", "people", "add", "Li Na", "--login", "li_na")


def test_the_documentation_is_served(stack: Stack) -> None:
    """Data Docs of the close, by the service that sees nothing but them."""
    url = f"http://{LOCALHOST}:{stack.docs_port}/data-docs/index.html"

    def page() -> bytes | None:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bytes(answer.read())

    assert b"<html" in containers.wait_for("the site answers", page, 30).lower()


@pytest.fixture(scope="module")
def workers(stack: Stack) -> Iterator[list[Composed]]:
    """Two workers as on two other hosts, in place of the stack's own scheduler."""
    stack.compose("stop", "--timeout", "60", "scheduler")
    with containers.worker(stack, 1) as one, containers.worker(stack, 2) as two:
        yield [one, two]


def at_once(first: dict[str, dict[str, Any]], second: dict[str, dict[str, Any]]) -> bool:
    """Whether a step of the one and a step of the other ran at one time on two hosts."""
    spans = [
        [
            (containers.moment(task["start_date"]), containers.moment(task["end_date"]), host)
            for task in tasks.values()
            if (host := task["hostname"]) and task["start_date"] and task["end_date"]
        ]
        for tasks in (first, second)
    ]
    return any(
        begin < other_end and other_begin < end and host != other_host
        for begin, end, host in spans[0]
        for other_begin, other_end, other_host in spans[1]
    )


def test_two_workers_share_nothing_but_stores_and_work_on_two_dates_at_once(
    stack: Stack, senders: Settings, workers: list[Composed]
) -> None:
    sample.bank_morning(senders, THIRD)
    assert stack.upload(Path(senders.inbox_url.removeprefix("file://"))) > 0
    closing = start_close(stack, SECOND)
    assert stack.wait_run(CLOSE, closing) == "success", workers[0].logs("worker")
    # A close is built on the close before it: two at once are a close and the payment before it,
    # once that has its bank statement, which no close may meet in its middle.
    paying = start_payment(stack, THIRD)

    def landed() -> bool | None:
        state = stack.tasks(PAY, paying)["land_bank"]["state"]
        return True if state in {"success", "failed", "upstream_failed"} else None

    containers.wait_for("the bank's morning lands", landed, 300, every=0.5)
    closing = start_close(stack, THIRD)
    assert stack.wait_run(PAY, paying) == "success", workers[0].logs("worker")
    assert stack.wait_run(CLOSE, closing) == "success", workers[1].logs("worker")
    steps = stack.tasks(PAY, paying), stack.tasks(CLOSE, closing)
    hosts = {task["hostname"] for tasks in steps for task in tasks.values()} - {"", None}
    assert len(hosts) == 2, hosts
    assert at_once(*steps), steps
    assert (day_state(stack, SECOND), day_state(stack, THIRD)) == ("sealed", "closed")
    ((outcome, amount),) = decisions(stack, THIRD)
    assert outcome == "passed"
    assert paid_minor(stack.outbox(), THIRD) == int(amount) > 0


def test_nobody_is_paid_while_the_bank_does_not_tie_out(
    stack: Stack, workers: list[Composed]
) -> None:
    """The bank's morning of the last payment date is not sent: the run waits for two people."""
    before = stack.outbox()
    run_id = start_payment(stack, FOURTH)

    def waits() -> bool | None:
        if stack.run_state(PAY, run_id) == "failed":
            pytest.fail(f"the run does not wait: {stack.why(PAY, run_id)}")
        state = stack.tasks(PAY, run_id)["agreed"]["state"]
        return True if state == "up_for_reschedule" else None

    containers.wait_for("the run waits for two people", waits, 300)
    assert [outcome for outcome, _ in decisions(stack, FOURTH)] == ["failed"]
    tasks = stack.tasks(PAY, run_id)
    assert {tasks[name]["state"] for name in ("instruct", "submit")} == {None}
    assert stack.outbox() == before
    assert day_state(stack, THIRD) == "closed"


def test_two_users_release_the_date_that_waits(
    stack: Stack, users: dict[str, dict[str, str]], workers: list[Composed]
) -> None:
    """Money leaves by two people's word, who have logged in to Airflow, and the run goes on."""
    asking = f"{DECISIONS}/gate-release"
    body = {"about": str(FOURTH), "reason": "the statement comes tomorrow"}
    assert stack.say("POST", asking, body, users["sun.wei"])[0] == 403
    status, answer = stack.say("POST", asking, body, users["li.na"])
    assert status == 201, answer
    approving = f"{asking}/{answer['number']}/approval"
    assert stack.say("POST", approving, {}, users["li.na"])[0] == 409
    status, answer = stack.say("POST", approving, {}, users["wu.fang"])
    assert status == 201, answer
    assert stack.rows(
        "select outcome, released_by_first, released_by_second from control.gate_decisions"
        f" where payment_date = '{FOURTH}' order by decision_id desc limit 1"
    ) == [["released", "Li Na", "Wu Fang"]]


def test_no_worker_is_root_nor_knows_the_administrator(
    stack: Stack, workers: list[Composed]
) -> None:
    for worker in workers:
        assert logins_known(worker, "worker") == STEPS
        users = worker.users()
        assert len(users) == 1
        assert all(ids and 0 not in ids for ids in users.values()), users
