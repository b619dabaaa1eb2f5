"""Where this installation keeps its things. Read once from the environment, then passed along."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tieout.core.errors import TieoutError

__all__ = ["Settings", "load_settings"]

PROJECT_DIR = Path(__file__).resolve().parents[3]
# By the role that logs in.
_ROLE_URLS = {
    "ingest": "TIEOUT_DATABASE_URL_INGEST",
    "transform": "TIEOUT_DATABASE_URL_TRANSFORM",
    "gate": "TIEOUT_DATABASE_URL_GATE",
    "payout": "TIEOUT_DATABASE_URL_PAYOUT",
    "finance": "TIEOUT_DATABASE_URL_FINANCE",
    "people": "TIEOUT_DATABASE_URL_PEOPLE",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """One installation: a home folder, stores and a database.

    `inbox_url`, `outbox_url` and `payment_files_url` (where payment files go: the outbox, unless
    the bank has a place of its own) are fsspec URLs without a trailing slash.
    `external_database_url` is None when the embedded server is used. The folders below `home` exist
    only once something made them (`ensure_dirs`). A file above `max_file_bytes` is not parsed; a
    close looks for files that are not due yet every `files_poll_seconds`. `role` is the database
    role whose work is done (`ingest`, `transform`…), None where the administrator works;
    `role_urls` has the logins that an operator made, `gateway_url` the one that speaks for users of
    Airflow: installing makes it, the API server alone works with it.
    """

    project_dir: Path
    home: Path
    inbox_url: str
    outbox_url: str
    payment_files_url: str
    external_database_url: str | None = field(default=None, repr=False)
    airflow_database_url: str | None = field(default=None, repr=False)
    max_file_bytes: int = 1024**3
    files_poll_seconds: int = 60
    role: str | None = None
    role_urls: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    gateway_url: str | None = field(default=None, repr=False, hash=False)

    def acting_as(self, role: str | None) -> Settings:
        """Return the same home for work that is done as one database role; None: administrator."""
        return self if self.role == role else replace(self, role=role)

    @property
    def pg_dir(self) -> Path:
        """The embedded server's data, port and log."""
        return self.home / "pg"

    @property
    def airflow_dir(self) -> Path:
        """AIRFLOW_HOME."""
        return self.home / "airflow"

    @property
    def docs_dir(self) -> Path:
        """The dbt docs and the Data Docs."""
        return self.home / "docs"

    @property
    def gx_dir(self) -> Path:
        """What Great Expectations writes."""
        return self.home / "gx"

    @property
    def dbt_dir(self) -> Path:
        """What dbt writes: target and logs."""
        return self.home / "dbt"

    @property
    def logs_dir(self) -> Path:
        """Logs of tasks and servers."""
        return self.home / "logs"

    @property
    def truth_dir(self) -> Path:
        """The simulator's truth, beside the inbox, for tests."""
        return self.home / "truth"

    @property
    def sample_note(self) -> Path:
        """The note that the home's week was simulated."""
        return self.home / "sample.json"

    @property
    def archive_dir(self) -> Path:
        """The bytes of files that were not landed."""
        return self.home / "archive"

    @property
    def secrets_dir(self) -> Path:
        """Generated keys (0700, files 0600)."""
        return self.home / "secrets"

    def ensure_dirs(self) -> None:
        """Make the home and its folders; all that may hold numbers is for the owner only (0700).

        A folder that is there keeps its mode: whoever made an inbox says who may write to it.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        for folder in (self.airflow_dir, self.docs_dir, self.gx_dir, self.dbt_dir, self.logs_dir):
            folder.mkdir(exist_ok=True)
        for folder in (self.pg_dir, self.secrets_dir, self.archive_dir):
            folder.mkdir(mode=0o700, exist_ok=True)
        for url in (self.inbox_url, self.outbox_url, self.payment_files_url):
            if url.startswith("file://"):
                # Deliveries and payment files hold card and account numbers in the clear.
                folder = Path(url.removeprefix("file://"))
                folder.parent.mkdir(parents=True, exist_ok=True)
                folder.mkdir(mode=0o700, exist_ok=True)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read TIEOUT_HOME, TIEOUT_INBOX, TIEOUT_OUTBOX, TIEOUT_PAYMENT_FILES and the others.

    A relative path counts from the current folder. An empty value counts as not set. Raises
    TieoutError for a database URL that is not PostgreSQL's, and for a limit that is no number.
    """
    env = os.environ if environ is None else environ
    project_dir = Path(env.get("TIEOUT_PROJECT_DIR") or PROJECT_DIR).expanduser().absolute()
    home = Path(env.get("TIEOUT_HOME") or project_dir / "var").expanduser().absolute()
    return Settings(
        project_dir=project_dir,
        home=home,
        inbox_url=_store_url(env.get("TIEOUT_INBOX") or "", home / "inbox"),
        outbox_url=_store_url(env.get("TIEOUT_OUTBOX") or "", home / "outbox"),
        payment_files_url=_store_url(
            env.get("TIEOUT_PAYMENT_FILES") or env.get("TIEOUT_OUTBOX") or "", home / "outbox"
        ),
        external_database_url=_database_url(env, "TIEOUT_DATABASE_URL"),
        airflow_database_url=_database_url(env, "TIEOUT_AIRFLOW_DATABASE_URL"),
        max_file_bytes=_whole_number(env, "TIEOUT_MAX_FILE_BYTES") or _memory_bytes() // 12,
        files_poll_seconds=_whole_number(env, "TIEOUT_FILES_POLL_SECONDS", most=300) or 60,
        role_urls={
            role: url
            for role, name in _ROLE_URLS.items()
            if (url := _database_url(env, name)) is not None
        },
        gateway_url=_database_url(env, "TIEOUT_DATABASE_URL_GATEWAY"),
    )


def _whole_number(env: Mapping[str, str], name: str, most: int | None = None) -> int | None:
    value = env.get(name) or ""
    if not value:
        return None
    is_number = value.isascii() and value.isdigit() and int(value) > 0
    if not is_number or (most is not None and int(value) > most):
        upto = "" if most is None else f" and at most {most}"
        raise TieoutError(
            what=f"{name} is not a whole number that it can be",
            where=f"environment variable {name}",
            why=f"it has to be written in digits and be above 0{upto}",
            next_step=f"set {name} to a number such as 60, or unset it",
        )
    return int(value)


def _memory_bytes() -> int:
    """Return the memory this process may use: the machine's, or its container's where less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        limit = ""
    return min(machine, int(limit)) if limit.isdigit() else machine


def _store_url(value: str, default: Path) -> str:
    """Return an fsspec URL; a plain path becomes file://, never percent-encoded (fsspec is not)."""
    if "://" in value and not value.startswith("file://"):
        return value.rstrip("/")
    path = Path(value.removeprefix("file://")).expanduser() if value else default
    return f"file://{path.absolute()}"


def _database_url(env: Mapping[str, str], name: str) -> str | None:
    """Return `postgresql://…` whatever driver the value names, or None when it is not set."""
    value = env.get(name) or ""
    if not value:
        return None
    scheme, found, rest = value.partition("://")
    if not found or scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise TieoutError(
            what=f"{name} is not a PostgreSQL URL",
            where=f"environment variable {name}",
            why="it has to start with postgresql://",
            next_step=f"set {name}=postgresql://user:password@host:5432/database, or unset it to "
            "use the embedded server",
        )
    return f"postgresql://{rest}"
