"""Airflow's users decide through the API server, each as the person they are on record as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import psycopg
import pytest
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.providers.fab.auth_manager.models.anonymous_user import AnonymousUser
from fastapi import FastAPI, Header, HTTPException
from fastapi.testclient import TestClient

from payment_world import PAYMENT_DATE, Finding, World, login_of
from tieout import database, gate
from tieout.core.settings import Settings
from tieout.database import persons
from tieout.gateway import decisions, routes, users

pytestmark = pytest.mark.slow
LOGINS = {"Qian": ("gw_qian", "qian@example.com"), "Zhou": ("gw_zhou", "zhou")}
RELEASE = "/decisions/gate-release"
BODY = {"about": str(PAYMENT_DATE), "reason": "line comes tomorrow"}


def whom_the_test_says(x_user: str = Header("")) -> str:
    """Stand in for Airflow's auth manager."""
    if not x_user:
        raise HTTPException(status_code=401)
    return x_user


@pytest.fixture
def client(world: World, finding: Finding, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API server of a home whose gate failed, with two people among its users."""
    database.migrate(world.settings)
    path = persons.add_gateway(world.settings, login_of(world, "gateway"))
    for person, (login, user) in LOGINS.items():
        persons.add(world.settings, person, login_of(world, login), user)
    finding.failures = (gate.Failure("gate_equation", "zero", "x", "residual", "-1", "CNY", "x"),)
    gate.decide(world.settings.acting_as("gate"), PAYMENT_DATE)
    monkeypatch.setenv(decisions.GATEWAY_VARIABLE, path.read_text().strip())
    monkeypatch.setattr(routes, "load_settings", lambda: world.settings)
    app = FastAPI()
    app.include_router(routes.router_for(whom_the_test_says))
    yield TestClient(app)
    with database.connect(world.settings, autocommit=True) as connection:
        for login in ("gateway", *(login for login, _ in LOGINS.values())):
            name = psycopg.sql.Identifier(login_of(world, login))
            connection.execute(psycopg.sql.SQL("drop owned by {}").format(name))
            connection.execute(psycopg.sql.SQL("drop role {}").format(name))


def as_user(name: str, **more: str) -> dict[str, str]:
    """Return the headers of a request of a user."""
    return {"x-user": name, **more}


def test_two_users_release_a_date(client: TestClient, world: World) -> None:
    qian, zhou = as_user("qian@example.com"), as_user("zhou")
    asked = client.post(RELEASE, json=BODY, headers=qian)
    assert (asked.status_code, asked.json()["number"]) == (201, 1), asked.text
    (line,) = client.get("/decisions", headers=zhou).json()
    assert line == {
        "kind": "gate-release", "number": 1, "about": str(PAYMENT_DATE), "requested_by": "Qian",
        "reason": "line comes tomorrow",
    }  # fmt: skip
    own = client.post(f"{RELEASE}/1/approval", json={}, headers=qian)
    assert (own.status_code, "two different people" in own.text) == (409, True), own.text
    agreed = client.post(f"{RELEASE}/1/approval", json={}, headers=zhou)
    assert agreed.status_code == 201, agreed.text
    assert world.rows(
        "select outcome, released_by_first, released_by_second, decided_by_login"
        " from control.gate_decisions order by decision_id desc limit 1"
    ) == [("released", "Qian", "Zhou", f"{login_of(world, 'gateway')} for Airflow user zhou")]
    assert client.get("/decisions", headers=zhou).json() == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (as_user("nobody"), 409),
        (as_user("li"), 409),
        (as_user("zhou -c role=tieout_owner"), 409),
        (as_user("zhou", origin="https://elsewhere.example"), 403),
        (as_user("zhou", **{"sec-fetch-site": "cross-site"}), 403),
        (as_user("zhou", **{"content-type": "text/plain"}), 415),
        (as_user("zhou", **{"content-type": "application/x-www-form-urlencoded"}), 415),
    ],
)
def test_nobody_else_decides(
    client: TestClient, world: World, headers: dict[str, str], status: int
) -> None:
    """No login, a user who is nobody, an option in the name, another site's page, a form."""
    answer = client.post(
        RELEASE,
        content=b'{"about": "2026-09-28", "reason": "r"}',
        headers={"content-type": "application/json", **headers},
    )
    assert answer.status_code == status, answer.text
    assert world.rows("select 1 from control.gate_release_requests") == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({**BODY, "about": "yesterday"}, 409, "YYYY-MM-DD"),
        ({**BODY, "about": "2026-09-29"}, 409, "its latest gate decision is missing"),
        ({**BODY, "reason": ""}, 422, "reason"),
        ({**BODY, "reason": " "}, 409, "no reason was given"),
        ({**BODY, "requested_by": "Qian"}, 422, "requested_by"),
        ({"about": "x"}, 422, "reason"),
    ],
)
def test_what_is_unclear_is_refused(
    client: TestClient, body: dict[str, str], status: int, words: str
) -> None:
    answer = client.post(RELEASE, json=body, headers=as_user("zhou"))
    assert (answer.status_code, words in answer.text) == (status, True), answer.text


@pytest.mark.parametrize("kind", sorted(decisions.REQUESTS))
def test_each_kind_says_why_it_is_refused(client: TestClient, kind: str) -> None:
    """A request about nothing and an approval of nothing: words for people, no traceback."""
    body = {"about": "1970-01-01", "reason": "r", "decision": "approve"}
    asked = client.post(f"/decisions/{kind}", json=body, headers=as_user("zhou"))
    assert asked.status_code == 409, asked.text
    assert asked.json()["detail"]["what"]
    agreed = client.post(f"/decisions/{kind}/99/approval", json={}, headers=as_user("zhou"))
    assert agreed.status_code == 409, agreed.text
    assert agreed.json()["detail"]["what"]


def test_without_its_login_nobody_decides(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(decisions.GATEWAY_VARIABLE)
    answer = client.post(RELEASE, json=BODY, headers=as_user("zhou"))
    assert (answer.status_code, "tieout people gateway" in answer.text) == (409, True)


def test_each_kind_is_asked_and_approved() -> None:
    assert len(decisions.REQUESTS) > 6
    assert set(decisions.REQUESTS) == set(decisions.APPROVALS)


def test_airflow_s_user_is_who_it_says() -> None:
    """The plugin's application has the addresses, and asks Airflow's own login for each."""
    import tieout_airflow

    paths = {route.path for route in tieout_airflow.app.routes if "decisions" in route.path}  # type: ignore[attr-defined]
    assert paths == {"/decisions", "/decisions/{kind}", "/decisions/{kind}/{number}/approval"}
    answer = TestClient(tieout_airflow.app).get("/decisions")
    assert answer.status_code in {401, 403}, answer.text


class OtherUser(BaseUser):
    """A user of an auth manager that nobody here knows: several roles, each with a name."""

    def __init__(self, *roles: str) -> None:
        self.roles = [SimpleNamespace(name=name) for name in roles]

    def get_id(self) -> str:
        return "7"

    def get_name(self) -> str:
        return "zhou"


def simple(role: str | None) -> BaseUser:
    return SimpleAuthManagerUser(username="zhou", role=role)


@pytest.mark.parametrize(
    ("user", "named", "status"),
    [
        (simple("viewer"), "", 403),
        (simple("op"), "", 403),
        (simple("admin"), "Admin", 403),
        (OtherUser("Viewer", "Op", "Admin"), "", 403),
        (OtherUser(), "", 403),
        (OtherUser("Viewer", "Decider"), "", 200),
        (OtherUser("Decider"), "Treasury", 403),
        (OtherUser("Viewer", "Treasury"), "Finance, Treasury", 200),
        (AnonymousUser(), "", 401),
    ],
)
def test_only_a_deciding_role_reaches_the_decisions(  # noqa: PLR0917  two fixtures more
    client: TestClient,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    user: BaseUser,
    named: str,
    status: int,
) -> None:
    """The plugin's own application, with a user whom Airflow has authenticated; FAB's real ones
    are test_fab_users.py's."""
    import tieout_airflow

    assert client
    monkeypatch.setenv("TIEOUT_DECISION_ROLES", named)
    monkeypatch.setattr(tieout_airflow, "load_settings", lambda: world.settings)
    app = tieout_airflow.app
    monkeypatch.setitem(app.dependency_overrides, get_user, lambda: user)
    plugin = TestClient(app)
    assert plugin.get("/decisions").status_code == status
    asked = plugin.post(RELEASE, json=BODY)
    assert asked.status_code == {200: 201}.get(status, status), asked.text
    assert len(world.rows("select 1 from control.gate_release_requests")) == (status == 200)


@pytest.fixture
def demonstration(payment_template: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A home with a server of its own whose week was simulated."""
    note = payment_template.sample_note
    assert not note.exists()
    note.write_text("{}")
    yield payment_template
    note.unlink()


def test_names_in_a_configuration_decide_in_a_demonstration_only(
    demonstration: Settings, tmp_path: Path
) -> None:
    """No other server, no login of an operator's, no real week; and there, too, with a role."""
    own = database.ensure_server(demonstration)
    port = urlsplit(own).port
    here = replace(demonstration, gateway_url=own.replace("://tieout:", "://gateway:"))
    for settings in (demonstration, here):
        assert users.is_demonstration(settings)
        assert users.deciding_name(simple("op"), settings, {}) == "zhou"
        for refused in (simple("viewer"), simple("user"), simple(None)):
            with pytest.raises(HTTPException, match="none of your roles"):
                users.deciding_name(refused, settings, {})
    elsewhere = [
        replace(demonstration, external_database_url=own),
        replace(demonstration, role_urls={"people": own}),
        replace(demonstration, gateway_url="postgresql://gateway:x@db.example:5432/tieout"),
        replace(demonstration, gateway_url=own.replace(f":{port}/", ":5432/")),
        replace(demonstration, gateway_url=own + "_production"),
        replace(demonstration, home=tmp_path),
    ]
    for settings in elsewhere:
        assert not users.is_demonstration(settings)
        with pytest.raises(HTTPException, match="SimpleAuthManager"):
            users.deciding_name(simple("admin"), settings, {})
