"""The Airflow of a home: its environment, its metadata database, its secrets, its ports.

Nothing here imports Airflow at module level: Airflow reads its settings once, on import, so `enter`
has to set the environment first.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings

__all__ = ["Login", "enter", "environment", "is_migrated", "login", "prepare", "scheduler_is_alive"]

USER_NAME = "admin"
AUTH_MANAGER = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
# A scheduler that was killed is believed alive this long; Airflow's own default is 30 s.
SCHEDULER_DEAD_AFTER_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Login:
    """Where Airflow's UI listens and who may log in; the password is of this home only."""

    url: str
    user_name: str
    password: str


def environment(settings: Settings) -> dict[str, str]:
    """Return the AIRFLOW variables of a home: loopback only, lean, no examples, no telemetry.

    The project's own variables (TIEOUT_…) are in it too, so that every process Airflow starts works
    on the same home.
    """
    secrets_file = _secrets(settings)
    port = secrets_file["api_port"]
    values = {
        "AIRFLOW_HOME": str(settings.airflow_dir),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.project_dir / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings.project_dir / "plugins"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "3",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__LAZY_LOAD_PLUGINS": "True",
        "AIRFLOW__CORE__FERNET_KEY": secrets_file["fernet_key"],
        # A local demonstration: its user is a name in a configuration (tieout.gateway.users).
        "AIRFLOW__CORE__AUTH_MANAGER": AUTH_MANAGER,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER_NAME}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords_path(settings)),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.airflow_url(settings),
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__EXPOSE_CONFIG": "False",
        "AIRFLOW__API__SECRET_KEY": secrets_file["api_secret_key"],
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets_file["jwt_secret"],
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": str(SCHEDULER_DEAD_AFTER_SECONDS),
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(settings.logs_dir / "airflow"),
        "TIEOUT_PROJECT_DIR": str(settings.project_dir),
        "TIEOUT_HOME": str(settings.home),
        "TIEOUT_INBOX": settings.inbox_url,
        "TIEOUT_OUTBOX": settings.outbox_url,
        "TIEOUT_PAYMENT_FILES": settings.payment_files_url,
        # No library of the house reports home.
        "DO_NOT_TRACK": "1",
        "SCARF_NO_ANALYTICS": "true",
        "GX_ANALYTICS_ENABLED": "false",
    }
    if settings.external_database_url is not None:
        values["TIEOUT_DATABASE_URL"] = settings.external_database_url
    if settings.airflow_database_url is not None:
        values["TIEOUT_AIRFLOW_DATABASE_URL"] = settings.airflow_database_url
    return values


def enter(settings: Settings) -> None:
    """Make this process one of the home's Airflow processes; before Airflow's first import."""
    if "airflow" in sys.modules and os.environ.get("AIRFLOW_HOME") != str(settings.airflow_dir):
        raise TieoutError(
            what="this process already uses another Airflow",
            where=f"AIRFLOW_HOME={os.environ.get('AIRFLOW_HOME')}",
            why="Airflow reads its settings once, when it is imported",
            next_step="use one process for each home",
        )
    prepare(settings)
    os.environ.update(environment(settings))


def prepare(settings: Settings) -> bool:
    """Make folders, secrets and metadata tables of the home's Airflow; True when it migrated."""
    settings.ensure_dirs()
    (settings.logs_dir / "airflow").mkdir(parents=True, exist_ok=True)
    _write_passwords(settings)
    if is_migrated(settings):
        return False
    log = settings.logs_dir / "airflow_migrate.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env={**os.environ, **environment(settings)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise TieoutError(
            what="Airflow's metadata tables could not be made",
            where=str(log),
            why=f"`airflow db migrate` ended with {done.returncode}",
            next_step="read the log",
        )
    _migrated_marker(settings).write_text(_airflow_version(), encoding="utf-8")
    return True


def is_migrated(settings: Settings) -> bool:
    """Say whether the metadata tables are those of the installed Airflow.

    `airflow db migrate` takes seconds even when there is nothing to do, so the version it last ran
    for is noted in the home; the note counts only while the tables are there.
    """
    marker = _migrated_marker(settings)
    if not marker.is_file() or marker.read_text(encoding="utf-8") != _airflow_version():
        return False
    with psycopg.connect(_plain_url(settings)) as connection:
        return database.has_table(connection, "public.dag_run")


def login(settings: Settings) -> Login:
    """Return where the UI listens, and its user."""
    noted = _secrets(settings)
    return Login(f"http://127.0.0.1:{noted['api_port']}", USER_NAME, noted["admin_password"])


def renew_port(settings: Settings) -> None:
    """Choose another port for the UI when something else took this home's."""
    noted = _secrets(settings)
    if not _is_free(int(noted["api_port"])):
        _write_secrets(settings, {**noted, "api_port": str(_free_port())})


def scheduler_is_alive(settings: Settings) -> bool:
    """Say whether a scheduler works on the home's metadata database (by its heartbeat)."""
    if not is_migrated(settings):
        return False
    with psycopg.connect(_plain_url(settings)) as connection:
        row = connection.execute(
            """
            select count(*)
            from job
            where job_type = 'SchedulerJob'
                and state = 'running'
                and latest_heartbeat > now() - make_interval(secs => %s)
            """,
            [SCHEDULER_DEAD_AFTER_SECONDS],
        ).fetchone()
    return row is not None and row[0] > 0


# --- secrets ------------------------------------------------------------------------------------


def _secrets(settings: Settings) -> Mapping[str, str]:
    """Return the home's Airflow secrets; make them the first time (0600 in a 0700 folder)."""
    path = _secrets_path(settings)
    if not path.is_file():
        settings.ensure_dirs()
        _write_secrets(
            settings,
            {
                "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "jwt_secret": secrets.token_urlsafe(48),
                "api_secret_key": secrets.token_urlsafe(48),
                "admin_password": secrets.token_urlsafe(12),
                "api_port": str(_free_port()),
            },
        )
    noted: Mapping[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return noted


def _write_secrets(settings: Settings, values: Mapping[str, str]) -> None:
    _write_private(_secrets_path(settings), json.dumps(dict(values)))


def _write_passwords(settings: Settings) -> None:
    path = _passwords_path(settings)
    if not path.is_file():
        _write_private(path, json.dumps({USER_NAME: _secrets(settings)["admin_password"]}) + "\n")


def _write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read; a reader sees the old or the new one."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).replace(path)


def _secrets_path(settings: Settings) -> Path:
    return settings.secrets_dir / "airflow.json"


def _passwords_path(settings: Settings) -> Path:
    return settings.secrets_dir / "airflow_passwords.json"


def _migrated_marker(settings: Settings) -> Path:
    return settings.airflow_dir / "migrated_for"


def _airflow_version() -> str:
    """Return the installed versions without importing Airflow (a second).

    FAB's tables are made with Airflow's, whoever its users come from.
    """
    from importlib.metadata import version  # noqa: PLC0415

    packages = ("apache-airflow-core", "apache-airflow-providers-fab")
    return " ".join(version(package) for package in packages)


def _plain_url(settings: Settings) -> str:
    return database.airflow_url(settings).replace("postgresql+psycopg2://", "postgresql://", 1)


# --- ports --------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
