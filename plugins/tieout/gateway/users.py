"""Who of Airflow's users reaches the decisions: with real roles, as they are now.

Auth managers differ in what a user is, and a token tells what was true when it was made. So the
roles of a user of FAB are read anew for each call, and users who are names in a configuration
(SimpleAuthManager) decide in a local demonstration only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import HTTPException
from sqlalchemy import select

from tieout import database
from tieout.core.settings import Settings

__all__ = ["DECIDER", "ROLES_VARIABLE", "deciding_name", "is_demonstration"]

ROLES_VARIABLE: Final = "TIEOUT_DECISION_ROLES"
"""The names of the roles that decide, by commas."""

DECIDER: Final = "Decider"
"""The role that decides where nobody names others; no role that comes with Airflow does."""

# SimpleAuthManager has four roles and no others.
_OF_A_DEMONSTRATION = "Op,Admin"
_FAB_USER = ("airflow.providers.fab.auth_manager.models", "User")
_SIMPLE_USER = ("airflow.api_fastapi.auth.managers.simple.user", "SimpleAuthManagerUser")


def deciding_name(
    user: Any, settings: Settings, environment: Mapping[str, str] | None = None
) -> str:
    """Return the name of an authenticated user of Airflow who has a deciding role now.

    Args:
        user: what Airflow's auth manager says of a request; None where it says nothing.
        settings: this API server's home.
        environment: where the roles are named; the process's by default.

    Raises:
        HTTPException: 401 without a user, or with one who is nobody (FAB's public role); 403
            without a deciding role, and for names in a configuration outside a demonstration.
    """
    env = os.environ if environment is None else environment
    if user is None or getattr(user, "is_anonymous", False):
        raise HTTPException(401, "nobody is logged in")
    if _is_a(user, _SIMPLE_USER):
        _refuse_outside_a_demonstration(settings)
        name, roles, usual = str(user.get_name()), _names([user.role]), _OF_A_DEMONSTRATION
    elif _is_a(user, _FAB_USER):
        name, roles = _as_fab_has_it_now(int(user.get_id()))
        usual = DECIDER
    else:
        # Another manager's user: `roles`, each a name or with one. Who has none has none here.
        name, roles, usual = str(user.get_name()), _names(getattr(user, "roles", None)), DECIDER
    if not roles & _names((env.get(ROLES_VARIABLE) or usual).split(",")):
        raise HTTPException(403, f"none of your roles in Airflow decides ({ROLES_VARIABLE})")
    return name


def is_demonstration(settings: Settings) -> bool:
    """Say whether the home's week was simulated, and its decisions stay on the home's own server.

    Nothing else is one: no variable makes real money a demonstration.
    """
    if settings.external_database_url is not None or settings.role_urls:
        return False
    if not settings.sample_note.is_file():
        return False
    gateway = settings.gateway_url
    return gateway is None or _place(gateway) == _place(database.ensure_server(settings))


def _refuse_outside_a_demonstration(settings: Settings) -> None:
    if not is_demonstration(settings):
        raise HTTPException(
            403,
            "this Airflow's users are names in a configuration (SimpleAuthManager): they decide in "
            "a home whose week was simulated, with a server of its own, and nowhere else; next: "
            "users with roles (FAB), docs/operations/roles.md",
        )


def _as_fab_has_it_now(user_id: int) -> tuple[str, frozenset[str]]:
    """Return name and roles of a user as the metadata database has them now.

    FAB keeps the users of tokens for a while (`[fab] cache_ttl`): a role that was taken away, or a
    user who was set inactive, would go on until then.
    """
    from airflow.providers.fab.auth_manager.models import Role, User  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415

    asked = select(User.username, User.active, Role.name).outerjoin(User.roles)
    with create_session() as session:
        rows = session.execute(asked.where(User.id == user_id)).all()
    if not rows or not rows[0][1]:
        raise HTTPException(401, "this user is not active")
    return str(rows[0][0]), _names(role for _, _, role in rows)


def _is_a(user: Any, where: tuple[str, str]) -> bool:
    """Say whether the user is of a class; a class whose module nobody has loaded has no objects."""
    module = sys.modules.get(where[0])
    return module is not None and isinstance(user, getattr(module, where[1]))


def _names(roles: Any) -> frozenset[str]:
    names = (str(getattr(role, "name", role) or "") for role in roles or ())
    return frozenset(name.strip().casefold() for name in names if name.strip())


def _place(url: str) -> tuple[str | None, int, str]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or 5432, parts.path
