"""Settings come from four variables; everything else is derived from them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from tieout.core.errors import TieoutError
from tieout.core.settings import load_settings

SECRET = "a-password"


def test_everything_lies_under_the_home_by_default() -> None:
    settings = load_settings({})
    assert settings.home == settings.project_dir / "var"
    assert (settings.project_dir / "pyproject.toml").is_file()
    assert settings.inbox_url == f"file://{settings.home}/inbox"
    assert settings.outbox_url == f"file://{settings.home}/outbox"
    assert settings.external_database_url is None
    folders = [
        settings.pg_dir,
        settings.airflow_dir,
        settings.docs_dir,
        settings.gx_dir,
        settings.dbt_dir,
        settings.logs_dir,
        settings.truth_dir,
        settings.archive_dir,
        settings.secrets_dir,
    ]
    assert len(set(folders)) == 9
    assert all(folder.parent == settings.home for folder in folders)


def test_a_relative_home_counts_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings({"TIEOUT_HOME": "my home"}).home == tmp_path / "my home"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("s3://bucket/in/", "s3://bucket/in"),
        ("sftp://host/in", "sftp://host/in"),
        ("/data/in/", "file:///data/in"),
        ("file:///data/收件", "file:///data/收件"),
    ],
)
def test_a_store_is_a_url_or_a_path(value: str, expected: str) -> None:
    assert load_settings({"TIEOUT_INBOX": value}).inbox_url == expected


def test_payment_files_go_to_the_outbox_unless_the_bank_has_a_place() -> None:
    assert load_settings({"TIEOUT_OUTBOX": "/out"}).payment_files_url == "file:///out"
    there = {"TIEOUT_OUTBOX": "/out", "TIEOUT_PAYMENT_FILES": "sftp://bank/drop/"}
    assert load_settings(there).payment_files_url == "sftp://bank/drop"
    assert load_settings(there).outbox_url == "file:///out"


def test_an_empty_variable_counts_as_not_set() -> None:
    names = (
        "TIEOUT_HOME",
        "TIEOUT_INBOX",
        "TIEOUT_OUTBOX",
        "TIEOUT_PAYMENT_FILES",
        "TIEOUT_DATABASE_URL",
    )
    assert load_settings(dict.fromkeys(names, "")) == load_settings({})


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_database_url_of_any_driver_becomes_plain(scheme: str) -> None:
    settings = load_settings(
        {"TIEOUT_DATABASE_URL": f"{scheme}://u:{SECRET}@h:5432/d?sslmode=require"}
    )
    assert settings.external_database_url == f"postgresql://u:{SECRET}@h:5432/d?sslmode=require"


@pytest.mark.parametrize("value", ["mysql://u:a-password@h/d", "u:a-password@h/d", "sqlite:///x"])
def test_another_database_is_refused_without_showing_the_password(value: str) -> None:
    with pytest.raises(TieoutError) as caught:
        load_settings({"TIEOUT_DATABASE_URL": value})
    assert "TIEOUT_DATABASE_URL" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_settings_do_not_show_the_password() -> None:
    settings = load_settings({"TIEOUT_DATABASE_URL": f"postgresql://u:{SECRET}@h/d"})
    assert SECRET not in repr(settings)


def test_folders_with_secrets_are_the_owners_only(tmp_path: Path) -> None:
    settings = load_settings({"TIEOUT_HOME": str(tmp_path / "home")})
    settings.ensure_dirs()
    settings.ensure_dirs()
    for folder in (settings.pg_dir, settings.secrets_dir, settings.archive_dir):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (settings.home / "inbox").is_dir()
    assert (settings.home / "outbox").is_dir()


def test_an_error_says_what_where_why_and_what_next() -> None:
    error = TieoutError(what="a file is short", where="x.csv:3", why="2 rows", next_step="ask")
    assert str(error) == "a file is short\n  where: x.csv:3\n  why: 2 rows\n  next: ask"
    assert str(TieoutError(what="only this")) == "only this"


class KindError(TieoutError):
    """A kind of its own, as the packages define them."""


def test_an_error_keeps_its_parts_and_its_kind_across_processes() -> None:
    error = KindError(what="a", where="b", why="c", next_step="d")
    with pytest.raises(AttributeError):
        error.what = "another"
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied).__name__, str(copied)) == ("KindError", str(error))
    assert copied.next_step == "d"


def test_folders_that_hold_numbers_are_the_owners_only(tmp_path: Path) -> None:
    settings = load_settings({"TIEOUT_HOME": str(tmp_path / "home")})
    settings.ensure_dirs()
    names = ("inbox", "outbox", "archive", "secrets", "pg")
    modes = {name: (settings.home / name).stat().st_mode & 0o777 for name in names}
    assert modes == dict.fromkeys(names, 0o700)


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    inbox = tmp_path / "home" / "inbox"
    inbox.mkdir(parents=True)
    inbox.chmod(0o770)
    load_settings({"TIEOUT_HOME": str(tmp_path / "home")}).ensure_dirs()
    assert inbox.stat().st_mode & 0o777 == 0o770


@pytest.mark.parametrize("value", ["0", "301", "-1", "1.5", "sixty", "\u0661"])
def test_a_waiting_close_looks_before_its_lease_is_thought_dead(value: str) -> None:
    with pytest.raises(TieoutError, match="above 0 and at most 300"):
        load_settings({"TIEOUT_FILES_POLL_SECONDS": value})
    assert load_settings({"TIEOUT_FILES_POLL_SECONDS": "300"}).files_poll_seconds == 300
