"""The signed archive of a payment date: whole, without anybody's data, and unforgeable."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

import payment_world
from payment_world import PAYMENT_DATE, World
from tieout import database, gate, payouts
from tieout.commands.cli import app
from tieout.core.errors import TieoutError
from tieout.payouts import evidence

pytestmark = pytest.mark.slow
PEM = serialization.Encoding.PEM
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo


@pytest.fixture
def paid(world: World) -> World:
    """A payment date that was decided and submitted."""
    database.migrate(world.settings)
    gate.decide(world.settings, PAYMENT_DATE)
    payouts.instruct(world.settings, PAYMENT_DATE)
    payouts.submit(world.settings, PAYMENT_DATE)
    return world


@pytest.fixture
def archive(paid: World, tmp_path: Path) -> Path:
    """Its evidence."""
    path = tmp_path / "evidence.zip"
    evidence.write(paid.settings, PAYMENT_DATE, path)
    return path


def rows_of(path: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a table of an archive."""
    with zipfile.ZipFile(path) as opened:
        return list(csv.DictReader(io.StringIO(opened.read(name).decode())))


def test_the_archive_holds_what_was_decided_paid_and_sealed(paid: World, archive: Path) -> None:
    (decision,) = rows_of(archive, "decisions.csv")
    assert decision["outcome"] == "passed"
    instructions = rows_of(archive, "instructions.csv")
    assert [int(row["amount_minor"]) for row in instructions] == list(payment_world.PAYOUTS_MINOR)
    assert len(rows_of(archive, "equation.csv")) == 6  # three channels, two dates of arrival
    assert len(rows_of(archive, "checks.csv")) > 20
    assert [row["status"] for row in rows_of(archive, "events.csv")] == [
        "created", "submitted"
    ] * 3  # fmt: skip
    (file,) = rows_of(archive, "payment_files.csv")
    (sent,) = (paid.outbox / "payouts").rglob("pain001*")
    assert file["file_path"].endswith(sent.name)
    assert len(rows_of(archive, "chain_links.csv")) == 14
    assert len(rows_of(archive, "files_in.csv")) > 3
    with zipfile.ZipFile(archive) as opened:
        heads = (paid.outbox / "payouts").rglob("chain_heads.json")
        assert opened.read("chain_heads.json") == next(heads).read_bytes()
        assert set(json.loads(opened.read("manifest.json"))["files"]) == {
            name for name in opened.namelist() if not name.startswith(("manifest", "public_key"))
        }


def test_nobody_s_account_or_name_is_in_it(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        texts = [opened.read(name).decode() for name in opened.namelist()]
    assert len(texts) > 15
    for value in (*payment_world.ACCOUNT_NUMBERS, *payment_world.ACCOUNT_NAMES, "acct_", "token"):
        assert [text for text in texts if value in text] == [], value


def test_the_same_tables_give_the_same_bytes(paid: World, archive: Path, tmp_path: Path) -> None:
    again = evidence.write(paid.settings, PAYMENT_DATE, tmp_path / "again.zip")
    assert again.path.read_bytes() == archive.read_bytes()
    assert archive.stat().st_mode & 0o777 == 0o600
    assert (paid.settings.secrets_dir / "evidence_key.pem").stat().st_mode & 0o777 == 0o600


def test_it_is_checked_with_the_key_alone(paid: World, archive: Path) -> None:
    done = evidence.check(archive, evidence.public_key(paid.settings))
    assert (done.payment_date, done.files, done.findings) == (str(PAYMENT_DATE), 19, ())


def rewritten(archive: Path, name: str, content: bytes | None) -> Path:
    """Return a copy in which a file is another, or is not there."""
    path = archive.with_name("other.zip")
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        for each in old.namelist():
            if each != name:
                new.writestr(each, old.read(each))
        if content is not None:
            new.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("instructions.csv", b"amount_minor\n1\n", "not what was signed: instructions.csv"),
        ("instructions.csv", None, "not what was signed: instructions.csv"),
        ("another.csv", b"x\n", "not what was signed: another.csv"),
        ("manifest.json", b"{}", "its signature is not of this key"),
        ("manifest.sig", b"AAAA", "its signature is not of this key"),
        ("manifest.sig", None, "manifest.sig"),
        ("manifest.json", None, "manifest.json"),
    ],
)
def test_an_archive_that_was_changed_is_none(
    paid: World, archive: Path, name: str, content: bytes | None, words: str
) -> None:
    with pytest.raises(TieoutError, match=words):
        evidence.check(rewritten(archive, name, content), evidence.public_key(paid.settings))


def test_another_key_s_archive_is_none(archive: Path) -> None:
    """A forger signs a changed archive with a key of their own, and puts it in there."""
    other = Ed25519PrivateKey.generate().public_key().public_bytes(PEM, PUBLIC)
    with pytest.raises(TieoutError, match="not of this key"):
        evidence.check(archive, other)
    no_such = rsa.generate_private_key(65537, 2048).public_key().public_bytes(PEM, PUBLIC)
    with pytest.raises(TieoutError, match="no Ed25519 public key"):
        evidence.check(archive, no_such)
    with pytest.raises(TieoutError, match="is not evidence"):
        evidence.check(archive, b"no key")


def test_what_is_no_archive_is_none(paid: World, tmp_path: Path) -> None:
    key = evidence.public_key(paid.settings)
    path = tmp_path / "x.zip"
    with pytest.raises(TieoutError, match="is not evidence"):
        evidence.check(path, key)
    path.write_bytes(b"PK no archive")
    with pytest.raises(TieoutError, match="is not evidence"):
        evidence.check(path, key)


def test_a_date_without_a_decision_has_no_evidence(world: World, tmp_path: Path) -> None:
    database.migrate(world.settings)
    with pytest.raises(TieoutError, match="the gate has not decided"):
        evidence.write(world.settings, PAYMENT_DATE, tmp_path / "x.zip")
    assert not list(tmp_path.glob("*.zip"))


def test_evidence_says_that_history_was_changed(paid: World, tmp_path: Path) -> None:
    with database.connect(paid.settings) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("update payout.instructions set amount_minor = 1")
    done = evidence.write(paid.settings, PAYMENT_DATE, tmp_path / "x.zip")
    assert len(done.findings) == 3
    checked = evidence.check(done.path, evidence.public_key(paid.settings))
    assert checked.findings == done.findings


def test_a_spoiled_key_is_an_error(paid: World, tmp_path: Path) -> None:
    evidence.public_key(paid.settings)
    (paid.settings.secrets_dir / "evidence_key.pem").write_bytes(b"spoiled")
    with pytest.raises(TieoutError, match="cannot be used"):
        evidence.write(paid.settings, PAYMENT_DATE, tmp_path / "x.zip")


def test_the_commands_write_and_check(paid: World, tmp_path: Path) -> None:
    environ = {
        "TIEOUT_HOME": str(paid.settings.home),
        "TIEOUT_DATABASE_URL": str(paid.settings.external_database_url),
    }
    path = tmp_path / "auditor" / "of_the_day.zip"
    done = CliRunner().invoke(app, ["evidence", str(PAYMENT_DATE), "--out", str(path)], env=environ)
    assert done.exit_code == 0, done.output
    assert "16 tables" not in done.output
    assert "tieout check-evidence" in done.output
    key = path.with_name("evidence_public_key.pem")
    elsewhere = {"TIEOUT_HOME": str(tmp_path / "elsewhere")}
    shutil.move(key, tmp_path / "key.pem")
    checked = CliRunner().invoke(
        app, ["check-evidence", str(path), "--key", str(tmp_path / "key.pem")], env=elsewhere
    )
    assert checked.exit_code == 0, checked.output
    assert "are as they were signed" in checked.output
    spoiled = rewritten(path, "decisions.csv", b"x")
    refused = CliRunner().invoke(
        app, ["check-evidence", str(spoiled), "--key", str(tmp_path / "key.pem")], env=elsewhere
    )
    assert refused.exit_code == 1
    assert "not what was signed" in str(refused.exception)
