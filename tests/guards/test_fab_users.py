"""Users of FAB decide through the API server's own door: real users, tokens, roles, and a gate.

The settings of FAB are those of docker-compose.yml. One API server serves the module; each test has
users of its own, or asks the last thing of those it has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from payment_world import PAYMENT_DATE, Finding, World, copy_of, login_of
from tieout import database, gate
from tieout.core.settings import PROJECT_DIR, Settings
from tieout.database import persons
from tieout.gateway import airflow_users, decisions
from tieout.gateway.users import DECIDER
from tieout.runs import airflow_home

pytestmark = pytest.mark.slow

COMPOSE = yaml.safe_load((PROJECT_DIR / "docker-compose.yml").read_text())
PASSWORD = "drawn-by-the-test-1"
RELEASE = "/tieout/decisions/gate-release"
BODY = {"about": str(PAYMENT_DATE), "reason": "line comes tomorrow"}
# Who is on record as a person, with the same name in Airflow: two who decide, one who looks on, one
# whose role is taken away, one who leaves, and Airflow's administrator.
ROLES = {
    "qian": [DECIDER, "Viewer"],
    "zhou": [DECIDER],
    "li": ["Viewer", "Op"],
    "wu": [DECIDER],
    "sun": [DECIDER],
}


@dataclass(frozen=True)
class Server:
    """A running API server whose users are FAB's, and the home it decides about."""

    world: World
    client: httpx.Client
    environment: Mapping[str, str]
    log: Path

    def token(self, name: str, password: str = PASSWORD) -> dict[str, str]:
        """Log in as a user; return the header of their requests."""
        said = self.client.post("/auth/token", json={"username": name, "password": password})
        assert said.status_code == 201, said.text
        return {"Authorization": f"Bearer {said.json()['access_token']}"}

    def manage(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask FAB as its administrator."""
        said = self.client.request(
            method, f"/auth/fab/v1{path}", json=body, headers=self.token(airflow_users.ADMIN)
        )
        assert said.is_success, said.text
        return said

    def ask(self, headers: Mapping[str, str]) -> int:
        """Ask for a release; return the answer's status."""
        return self.client.post(RELEASE, json=BODY, headers=headers).status_code


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment of the stack's API server, on a home of the test's."""
    stack = COMPOSE["x-logins-to-airflow"] | {
        "AIRFLOW__CORE__AUTH_MANAGER": COMPOSE["x-airflow"]["environment"][
            "AIRFLOW__CORE__AUTH_MANAGER"
        ],
        "AIRFLOW__FAB__CONFIG_FILE": str(PROJECT_DIR / "docker/airflow/webserver_config.py"),
        "AIRFLOW_HOME": str(settings.airflow_dir),
        # Longer than the tests: what is asked here does not hang on the stack's setting.
        "AIRFLOW__FAB__CACHE_TTL": "3600",
    }
    return {**os.environ, **airflow_home.environment(settings), **stack}


def run_python(
    environment: Mapping[str, str], *words: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a Python program beside the API server, with its environment and more."""
    return subprocess.run(
        [sys.executable, *words],
        env={**environment, **more},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


@contextmanager
def serving(environment: Mapping[str, str], log: Path) -> Iterator[httpx.Client]:
    """Run the API server; end it, and what it started, at the end."""
    url = f"http://127.0.0.1:{environment['AIRFLOW__API__PORT']}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", "api-server", "--apps", "core"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            deadline = time.monotonic() + 240
            while True:
                assert process.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                try:
                    if client.get("/api/v2/version").is_success:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
            yield client
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def server(
    payment_template: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A home whose gate failed, its people, and an API server with FAB's users."""
    folder = tmp_path_factory.mktemp("fab")
    with copy_of(payment_template, folder / "home") as world, pytest.MonkeyPatch.context() as patch:
        database.migrate(world.settings)
        Finding(patch).failures = (
            gate.Failure("gate_equation", "zero", "x", "residual", "-1", "CNY", "x"),
        )
        gate.decide(world.settings.acting_as("gate"), PAYMENT_DATE)
        path = persons.add_gateway(world.settings, login_of(world, "fab_gateway"))
        logins = {name: login_of(world, f"fab_{name}") for name in (*ROLES, airflow_users.ADMIN)}
        for name, login in logins.items():
            persons.add(world.settings, name.title(), login, name)
        airflow_home.prepare(world.settings)
        environment = environment_of(world.settings)
        environment[decisions.GATEWAY_VARIABLE] = path.read_text().strip()
        words = ("-m", airflow_users.__name__)  # as the stack's `airflow-users`
        first = run_python(environment, *words, **{airflow_users.PASSWORD_VARIABLE: PASSWORD})
        assert first.returncode == 0, first.stderr
        assert PASSWORD not in first.stdout + first.stderr
        log = folder / "api-server.log"
        with serving(environment, log) as client:
            found = Server(world, client, environment, log)
            for name, roles in ROLES.items():
                found.manage(
                    "POST", "/users",
                    {
                        "username": name, "password": PASSWORD, "first_name": name,
                        "last_name": name, "email": f"{name}@example.com",
                        "roles": [{"name": role} for role in roles],
                    },
                )  # fmt: skip
            yield found
        with database.connect(world.settings, autocommit=True) as connection:
            for login in (login_of(world, "fab_gateway"), *logins.values()):
                name = psycopg.sql.Identifier(login)
                connection.execute(psycopg.sql.SQL("drop owned by {}").format(name))
                connection.execute(psycopg.sql.SQL("drop role {}").format(name))


def requests_of(server: Server, person: str) -> int:
    """How many releases a person has asked for."""
    return int(
        server.world.value(
            "select count(*) from control.gate_release_requests where requested_by = %s", [person]
        )
    )


def test_two_users_release_a_date_and_one_twice_does_not(server: Server) -> None:
    qian, zhou = server.token("qian"), server.token("zhou")
    asked = server.client.post(RELEASE, json=BODY, headers=qian)
    assert asked.status_code == 201, asked.text
    address = f"{RELEASE}/{asked.json()['number']}/approval"
    own = server.client.post(address, json={}, headers=qian)
    assert (own.status_code, "two different people" in own.text) == (409, True), own.text
    agreed = server.client.post(address, json={}, headers=zhou)
    assert agreed.status_code == 201, agreed.text
    assert server.world.rows(
        "select outcome, released_by_first, released_by_second, decided_by_login"
        " from control.gate_decisions order by decision_id desc limit 1"
    ) == [
        (
            "released",
            "Qian",
            "Zhou",
            f"{login_of(server.world, 'fab_gateway')} for Airflow user zhou",
        )
    ]


def test_who_looks_on_or_administers_does_not_decide(server: Server) -> None:
    """Both are on record as people who decide: what they lack is the role."""
    for name in ("li", airflow_users.ADMIN):
        headers = server.token(name)
        assert server.client.get("/api/v2/dags", headers=headers).status_code == 200, name
        assert server.ask(headers) == 403, name
        assert server.client.get("/tieout/decisions", headers=headers).status_code == 403, name
        assert requests_of(server, name.title()) == 0


def test_nobody_without_a_login_decides(server: Server) -> None:
    assert server.ask({}) == 401
    assert server.ask({"Authorization": "Bearer nonsense"}) in {401, 403}
    wrong = server.client.post("/auth/token", json={"username": "zhou", "password": "wrong"})
    assert wrong.status_code == 401


def test_a_role_that_was_taken_away_is_gone_at_the_next_call(server: Server) -> None:
    """With the token of before; a cache of users in between would still know the role."""
    wu = server.token("wu")
    listed = server.client.get("/tieout/decisions", headers=wu)
    assert listed.status_code == 200, listed.text
    server.manage("PATCH", "/users/wu?update_mask=roles", {"roles": [{"name": "Viewer"}]})
    assert server.ask(wu) == 403
    server.manage("PATCH", "/users/wu?update_mask=roles", {"roles": [{"name": DECIDER}]})
    assert server.client.get("/tieout/decisions", headers=wu).status_code == 200


def test_a_user_who_is_gone_is_nobody_at_the_next_call(server: Server) -> None:
    """First inactive, then removed; the token is the one of before."""
    sun = server.token("sun")
    assert server.client.get("/tieout/decisions", headers=sun).status_code == 200
    plain = database.airflow_url(server.world.settings).replace("+psycopg2", "", 1)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("update ab_user set active = false where username = 'sun'")
        assert server.ask(sun) in {401, 403}
        connection.execute("update ab_user set active = true where username = 'sun'")
    assert server.client.get("/tieout/decisions", headers=sun).status_code == 200
    server.manage("DELETE", "/users/sun")
    assert server.ask(sun) in {401, 403}
    assert requests_of(server, "Sun") == 0


def test_who_decides_may_do_nothing_else_in_airflow(server: Server) -> None:
    (role,) = [
        found
        for found in server.manage("GET", "/roles").json()["roles"]
        if found["name"] == DECIDER
    ]
    assert {(each["action"]["name"], each["resource"]["name"]) for each in role["actions"]} == set(
        airflow_users.PERMISSIONS
    )
    zhou = server.token("zhou")
    for path in ("dags", "connections", "variables", "config", "pools"):
        assert server.client.get(f"/api/v2/{path}", headers=zhou).status_code == 403, path
    assert server.client.get("/auth/fab/v1/users", headers=zhou).status_code == 403


# As the module does, three times in one process: Airflow takes seconds to start.
AGAIN = """
import json, os
from tieout.core.errors import TieoutError
from tieout.gateway import airflow_users
said = [airflow_users.make(os.environ)]
for name, value in json.loads(os.environ["CHANGES"]):
    kept = os.environ[name]
    os.environ[name] = value
    try:
        said.append(airflow_users.make(os.environ))
    except TieoutError as error:
        said.append(error.why)
    os.environ[name] = kept
print(json.dumps(said))
"""


def test_making_users_again_changes_no_user_and_gives_the_role_its_own_permissions(
    server: Server,
) -> None:
    """It runs at each start of the stack; and it makes nothing where anybody could be somebody."""
    extra = {"action": {"name": "can_read"}, "resource": {"name": "Connections"}}
    server.manage("PATCH", f"/roles/{DECIDER}", {"name": DECIDER, "actions": [extra]})
    changes = [
        ("AIRFLOW__FAB__AUTH_ROLE_PUBLIC", DECIDER),
        ("AIRFLOW__CORE__AUTH_MANAGER", airflow_home.AUTH_MANAGER),
    ]
    more = {airflow_users.PASSWORD_VARIABLE: "another-password-2", "CHANGES": json.dumps(changes)}
    again = run_python(server.environment, "-c", AGAIN, **more)
    assert again.returncode == 0, again.stderr
    made, with_public_role, of_another_manager = json.loads(again.stdout.splitlines()[-1])
    assert made == [f"role {DECIDER}: {len(airflow_users.PERMISSIONS)} permissions"]
    assert with_public_role == "whoever is not logged in would have a role"
    assert of_another_manager.endswith("SimpleAuthManager, not from FAB")
    test_who_decides_may_do_nothing_else_in_airflow(server)
    assert server.token(airflow_users.ADMIN)


def test_no_password_is_in_a_log(server: Server) -> None:
    """Last: all that the API server has said so far, with its users made and logged in."""
    said = server.log.read_text()
    assert "/auth/token" in said
    assert PASSWORD not in said
    kept = server.world.settings
    for path in [*kept.airflow_dir.rglob("*"), *kept.logs_dir.rglob("*")]:
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
