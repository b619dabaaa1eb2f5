"""Make what Airflow's users need before the first of them logs in (FAB), and end.

    python -m tieout.gateway.airflow_users

after `airflow db migrate`, with the environment of Airflow's API server, and the first password of
its administrator in TIEOUT_AIRFLOW_ADMIN_PASSWORD. Everybody else is made by that administrator
(docs/operations/roles.md). It may run at each start: who is there is not changed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from tieout.core.errors import TieoutError
from tieout.gateway.users import DECIDER

__all__ = ["ADMIN", "PASSWORD_VARIABLE", "PERMISSIONS", "make"]

ADMIN: Final = "admin"
PASSWORD_VARIABLE: Final = "TIEOUT_AIRFLOW_ADMIN_PASSWORD"  # noqa: S105  a name
PASSWORD_LENGTH: Final = 16

# What a person needs to log in, to change their own password, and nothing of Airflow's. Who decides
# and looks at runs as well has a second role, Viewer.
PERMISSIONS: Final = frozenset(
    {
        ("can_read", "Website"),
        ("can_read", "My Profile"),
        ("can_read", "My Password"),
        ("can_edit", "My Password"),
    }
)


def make(environment: Mapping[str, str]) -> list[str]:
    """Make FAB's roles, the role Decider with exactly its permissions, and an administrator.

    An administrator is made only where nobody is one: an account that was removed does not come
    back with the password of its first day.

    Returns:
        What was done, a line each; no password is in any.

    Raises:
        TieoutError: Airflow's users do not come from FAB, whoever is not logged in has a role, or
            the first password is missing or short.
    """
    from airflow.utils.providers_configuration_loader import (  # noqa: PLC0415
        providers_configuration_loaded,
    )

    made: list[str] = providers_configuration_loaded(_make)(environment)
    return made


def _make(environment: Mapping[str, str]) -> list[str]:
    from airflow.configuration import conf  # noqa: PLC0415

    manager = str(conf.get("core", "auth_manager"))
    if not manager.endswith(".FabAuthManager"):
        raise _refused("[core] auth_manager", f"its users come from {manager}, not from FAB")
    from airflow.providers.fab.auth_manager.cli_commands.utils import (  # noqa: PLC0415
        get_application_builder,
    )

    with get_application_builder() as builder:
        manages = builder.sm
        # The first is what webserver_config.py says; the API server takes the second before it.
        if manages.auth_role_public or conf.get("fab", "auth_role_public", fallback=""):
            raise _refused("[fab] auth_role_public", "whoever is not logged in would have a role")
        # As `airflow sync-perm`: the pages first, then who may see them.
        builder.add_permissions(update_perms=True)
        manages.sync_roles()
        done = [f"role {DECIDER}: {_set_permissions(manages)} permissions"]
        if not _has_admin(manages):
            done.append(_add_admin(manages, environment.get(PASSWORD_VARIABLE) or ""))
    return done


def _set_permissions(manages: Any) -> int:
    """Give the role Decider exactly its permissions; what it had beside them is taken away."""
    role = manages.find_role(DECIDER) or manages.add_role(DECIDER)
    for permission in list(role.permissions):
        if (permission.action.name, permission.resource.name) not in PERMISSIONS:
            manages.remove_permission_from_role(role, permission)
    for action, resource in sorted(PERMISSIONS):
        manages.add_permission_to_role(role, manages.create_permission(action, resource))
    return len(role.permissions)


def _has_admin(manages: Any) -> bool:
    return any(
        user.active and any(role.name == "Admin" for role in user.roles)
        for user in manages.get_all_users()
    )


def _add_admin(manages: Any, password: str) -> str:
    if len(password) < PASSWORD_LENGTH:
        raise _refused(PASSWORD_VARIABLE, f"it has fewer than {PASSWORD_LENGTH} characters")
    manages.add_user(
        ADMIN, "Airflow", "Administrator", "admin@tieout.invalid",
        manages.find_role("Admin"), password,
    )  # fmt: skip
    return f"user {ADMIN}: made, decides nothing"


def _refused(where: str, why: str) -> TieoutError:
    return TieoutError(
        what="Airflow's users are not made",
        where=where,
        why=why,
        next_step="see docs/operations/roles.md, then run it again",
    )


if __name__ == "__main__":
    try:
        sys.stdout.write("\n".join(make(os.environ)) + "\n")
    except TieoutError as error:
        sys.exit(str(error))
