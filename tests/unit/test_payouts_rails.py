"""From decision to outcome on each rail, and delivery over a real SFTP server, killed anywhere."""

from __future__ import annotations

import hashlib
import socket
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import asyncssh
import psycopg
import pytest
from lxml import etree

import payment_world
import payouts_again
from file_servers import SftpServer, serving_sftp
from payment_world import ACCOUNT_NUMBERS, PAYMENT_DATE, PAYOUTS_MINOR, World, decide
from payouts_again import NEXT_DAY, line
from tieout import database, payouts
from tieout.core import payment_texts
from tieout.core.errors import TieoutError
from tieout.decisions import payouts as decided
from tieout.decisions.payouts import PayoutError
from tieout.files import store_urls
from tieout.payouts import agency, pain001, submission
from tieout.payouts.store import Store, StoreError
from tieout.protection import tokens
from tieout.simulator import bank_answers

AGENCY_FILE = "agency_payout_PO20260928-001-A1.txt"
FIRST, SECOND, THIRD = (f"{payment_world.statement_id(number)}-1" for number in (1, 2, 3))
AGENCY = "update reference.payout_rails set rail = 'agency_payout', customer_id = '200000400059'"
FOLDER = f"{PAYMENT_DATE:%Y%m%d}"


def states(world: World) -> dict[str, str]:
    return dict(
        world.rows("select end_to_end_id, payout.latest_status(attempt_id) from payout.attempts")
    )


def put_in(world: World, name: str, content: bytes) -> None:
    """Put an answer into the bank's folder of the inbox."""
    folder = world.inbox / "bank" / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


# --- the agency's files -------------------------------------------------------------------------


@pytest.fixture
def sent(world: World) -> World:
    """Three payments at an agency."""
    world.execute(AGENCY)
    payouts_again.submit(world)
    return world


def test_an_agency_pays_refuses_and_gives_back(sent: World) -> None:
    """The answer says what was paid; the debit names its batch alone; a return comes by itself."""
    (file,) = sent.files("payouts").items()
    assert file[0] == AGENCY_FILE
    batch = agency.read(file[1], AGENCY_FILE)
    assert [payment.account_number for payment in batch.payments] == list(ACCOUNT_NUMBERS)
    put_in(sent, "agency_answer_1.txt", bank_answers.agency_answer(batch, {SECOND: "AC04"}))
    outcome = payouts.apply_reports(sent.settings, PAYMENT_DATE)
    assert (outcome.problems, outcome.files_new) == ((), 1)
    assert states(sent) == {FIRST: "paid", SECOND: "failed", THIRD: "paid"}
    paid = PAYOUTS_MINOR[0] + PAYOUTS_MINOR[2]
    line(sent, -paid, PAYMENT_DATE, None, batch="PO20260928-001-A1")
    line(sent, PAYOUTS_MINOR[2], NEXT_DAY, THIRD, is_return=True, reason="AC01")
    assert payouts.apply_reports(sent.settings).problems == ()
    assert states(sent) == {FIRST: "paid", SECOND: "failed", THIRD: "returned"}
    assert sent.rows(
        "select file_kind, status, row_count from control.channel_files"
        " where file_name = 'agency_answer_1.txt'"
    ) == [("agency_answer", "landed", 3)]
    assert payouts.apply_reports(sent.settings).files_known == 1


def test_an_answer_that_is_wrong_is_put_aside_and_one_in_doubt_is_no_failure(sent: World) -> None:
    batch = agency.read(sent.files("payouts")[AGENCY_FILE], AGENCY_FILE)
    good = bank_answers.agency_answer(batch, {})
    put_in(sent, "agency_answer_1.txt", good[:-8])
    put_in(sent, "agency_answer_2.txt", good.replace(b"|&|000000|&|", b"|&|424242|&|"))
    put_in(sent, "agency_answer_3.txt", good.replace(b"PO20260928-001-A1", b"PO20260928-009-A1"))
    outcome = payouts.apply_reports(sent.settings)
    assert [text.split(":")[0] for text in outcome.problems] == [
        f"agency_answer_{number}.txt" for number in (1, 2, 3)
    ]
    assert "line 4: it does not end with |&| and CRLF" in outcome.problems[0]
    assert "line 2: payment code '424242' is not a known code" in outcome.problems[1]
    assert "never sent" in outcome.problems[2]
    assert set(states(sent).values()) == {"submitted"}
    assert sent.rows(
        "select distinct status, file_kind from control.channel_files"
        " where file_name like 'agency_answer%%'"
    ) == [("quarantined", "agency_answer")]
    # An acknowledgement, then an answer that leaves one payment in doubt.
    head = "S|&|200000400059|&|PO20260928-001-A1|&|D|&|0000|&|CNY|&|0|&|0.00|&|\r\nE|&|"
    put_in(sent, "agency_answer_4.txt", head.encode())
    payouts.apply_reports(sent.settings)
    assert set(states(sent).values()) == {"accepted"}
    assert good.count(b"|&|000000|&|") == 3
    doubt = good.replace(b"|&|000000|&|", b"|&|000010|&|", 1).replace(b"|&|0000|&|", b"|&|0001|&|")
    put_in(sent, "agency_answer_5.txt", doubt)
    payouts.apply_reports(sent.settings)
    assert states(sent) == {FIRST: "unknown", SECOND: "paid", THIRD: "paid"}


def test_a_rail_that_changes_ends_the_decision(world: World) -> None:
    """Reference data is an input: whoever changes how a date is paid has it decided anew."""
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    world.execute(AGENCY)
    with pytest.raises(TieoutError, match="payout_rails has changed"):
        payouts.submit(world.settings, PAYMENT_DATE)
    assert world.files("payouts") == {}


def test_what_is_on_record_goes_out_as_it_is_whatever_the_rail_is_now(world: World) -> None:
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    killed(world, Store, "put_out")
    world.execute(AGENCY)
    (file,) = payouts.submit(world.settings, PAYMENT_DATE).files
    assert (file.is_new, file.url.rpartition("/")[2]) == (True, "pain001_PO20260928-001-A1.xml")
    assert list(world.files("payouts")) == ["pain001_PO20260928-001-A1.xml"]


# --- what a bank does not take ------------------------------------------------------------------


def address(world: World, payee: str) -> None:
    """Give a payee an address, as its version had landed with it."""
    text = payment_texts.address_text("北京", "CN", None, "示例大街", None)
    (token,) = tokens.account_token([text], settings=world.settings)
    world.execute(
        "alter table control.payee_versions disable trigger payee_versions_kept;"
        f" update control.payee_versions set address_token = '{token}'"
        f" where payee_id = '{payee}';"
        " alter table control.payee_versions enable trigger payee_versions_kept"
    )
    row_address(world, payee)


def row_address(world: World, payee: str) -> None:
    """Give a payee's landed row an address, its street as landing keeps it."""
    street = tokens.encrypt_bound("示例大街", ("street", payee, "1"), settings=world.settings)
    world.execute(
        "update raw.platform_payees set town = '北京', country_code = 'CN',"
        " street_ciphertext = %s where payee_id = %s",
        (street, payee),
    )


def test_who_has_no_address_is_withheld_where_the_bank_wants_one(world: World) -> None:
    assert payouts.note_unwritable(world.settings, PAYMENT_DATE) == 0
    world.execute("update reference.payout_rails set creditor_address = 'structured'")
    for payee in ("P000001", "P000002"):
        address(world, payee)
    assert payouts.note_unwritable(world.settings, PAYMENT_DATE) == 1
    ((payee_id, reason),) = world.rows("select payee_id, reason from payout.unwritable_payees")
    assert payee_id == "P000003"
    assert "structured address" in reason
    # Who pays all the same stops before anybody is attempted.
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    with pytest.raises(TieoutError, match="20260928-A000003-T1-CNY-1: the bank wants"):
        payouts.submit(world.settings, PAYMENT_DATE)
    assert world.value("select count(*) from payout.attempts") == 0
    address(world, "P000003")
    assert payouts.note_unwritable(world.settings, PAYMENT_DATE) == 0
    decide(world)
    payouts.submit(world.settings, PAYMENT_DATE)
    ((_, content),) = world.files("payouts").items()
    addresses = etree.fromstring(content).findall(".//{*}Cdtr/{*}PstlAdr")
    assert [[(etree.QName(part).localname, part.text) for part in one] for one in addresses] == [
        [("StrtNm", "示例大街"), ("TwnNm", "北京"), ("Ctry", "CN")]
    ] * 3


@pytest.mark.parametrize(
    "change",
    [
        "town = '上海'",
        "country_code = 'DE'",
        "post_code = '100000'",
        "town = null",
        "street_ciphertext = null",
    ],
)
def test_another_address_than_was_decided_on_is_not_paid(world: World, change: str) -> None:
    """Whoever changes a landed row after the decision; the same address is paid."""
    for payee in ("P000001", "P000002", "P000003"):
        address(world, payee)
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    world.execute(f"update raw.platform_payees set {change} where payee_id = 'P000002'")
    with pytest.raises(TieoutError) as told:
        payouts.submit(world.settings, PAYMENT_DATE)
    assert "P000002" in told.value.where
    assert "示例大街" not in str(told.value)
    assert world.value("select count(*) from payout.attempts") == 0
    row_address(world, "P000002")
    world.execute("update raw.platform_payees set post_code = null, building_ciphertext = null")
    assert payouts.submit(world.settings, PAYMENT_DATE).payment_count == 3


def test_an_address_that_came_after_the_decision_is_not_paid(world: World) -> None:
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    row_address(world, "P000001")
    with pytest.raises(TieoutError, match="not the one that the gate decided on"):
        payouts.submit(world.settings, PAYMENT_DATE)
    # Another version of the register than the gate saw ends its decision, as an account's does.
    address(world, "P000001")
    with pytest.raises(TieoutError, match="decides anew"):
        payouts.submit(world.settings, PAYMENT_DATE)
    assert world.value("select count(*) from payout.attempts") == 0


def test_a_name_an_agency_cannot_hold_is_withheld_on_its_rail_only(world: World) -> None:
    payment_world.rename(world, "商" * 61)
    assert payouts.note_unwritable(world.settings, PAYMENT_DATE) == 0
    world.execute(AGENCY)
    assert payouts.note_unwritable(world.settings, PAYMENT_DATE) == 1
    assert "61 characters" in world.value("select reason from payout.unwritable_payees")


@pytest.mark.parametrize("change", ["delete from", "insert into"])
def test_an_account_without_one_rail_pays_nothing(world: World, change: str) -> None:
    if change == "insert into":
        world.execute(
            "insert into reference.bank_accounts select '6600100200300401', account_kind,"
            " account_name, bank_code, bank_name, currency_code, payment_message"
            " from reference.bank_accounts"
        )
        world.execute(
            "insert into reference.payout_rails values"
            " ('6600100200300401', 'pain001', null, 10, null, 'none')"
        )
    else:
        world.execute("delete from reference.payout_rails")
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    with pytest.raises(TieoutError, match="accounts with a rail"):
        payouts.submit(world.settings, PAYMENT_DATE)
    assert world.value("select count(*) from payout.attempts") == 0


# --- delivery over SFTP -------------------------------------------------------------------------

NAME = "pain001_PO20260928-001-A1.xml"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    """A bank's SFTP server."""
    with serving_sftp(tmp_path_factory.mktemp("bank-drop")) as found:
        yield found


@pytest.fixture
def at_the_bank(
    world: World, server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[World, Path]:
    """An instructed world whose payment files go to the bank's server, and the folder there."""
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    monkeypatch.setenv(store_urls.KNOWN_HOSTS_VARIABLE, str(known))
    folder = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]
    (server.folder / folder).mkdir()
    url = f"sftp://drop:pass word@127.0.0.1:{server.port}/{folder}"
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    settings = replace(world.settings, payment_files_url=url)
    return World(settings), server.folder / folder / "payouts" / FOLDER


def killed(world: World, target: object, name: str, *, after: bool = False) -> None:
    """Submit, killed where ``name`` is called, or when it has done its work."""
    work: Callable[..., object] = getattr(target, name)

    def crash(*values: object, **named: object) -> None:
        if after:
            work(*values, **named)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, name, crash)
        with pytest.raises(KeyboardInterrupt):
            payouts.submit(world.settings, PAYMENT_DATE)


def half_written(world: World) -> None:
    """Submit, killed when half of the file is at the bank, under its hidden name."""

    def half(store: Store, path: str, content: bytes) -> None:
        store.write_hidden(path, content[: len(content) // 2])
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "prepare", half)
        with pytest.raises(KeyboardInterrupt):
            payouts.submit(world.settings, PAYMENT_DATE)


CRASHES: dict[str, Callable[[World], None]] = {
    "half uploaded": half_written,
    "uploaded": lambda world: killed(world, Store, "prepare", after=True),
    "on record": lambda world: killed(world, submission, "_prepare", after=True),
    "before the rename": lambda world: killed(world, Store, "put_out"),
    "renamed": lambda world: killed(world, Store, "put_out", after=True),
}


@pytest.mark.parametrize("crash", CRASHES)
def test_one_file_with_the_same_bytes_wherever_it_is_killed(
    at_the_bank: tuple[World, Path], crash: str
) -> None:
    world, folder = at_the_bank
    CRASHES[crash](world)
    assert [path.name for path in folder.iterdir()] == (
        [NAME] if crash == "renamed" else [f".{NAME}.part"]
    )
    (file,) = payouts.submit(world.settings, PAYMENT_DATE).files
    assert file.is_new == (crash != "renamed")
    assert [path.name for path in folder.iterdir()] == [NAME]
    content = (folder / NAME).read_bytes()
    assert pain001.read(content, NAME).payment_count == 3
    assert world.rows("select sha256, size_bytes from payout.outbox_files") == [
        (hashlib.sha256(content).hexdigest(), len(content))
    ]
    assert set(states(world).values()) == {"submitted"}
    payouts.submit(world.settings, PAYMENT_DATE)
    assert (folder / NAME).read_bytes() == content
    # The statements and the chains' heads stay with us, and the login is nowhere.
    assert world.files("payouts") == {}
    assert len(world.files("statements")) == 1
    assert list((world.outbox / "payouts").rglob("chain_heads.json"))
    assert "pass word" not in file.url


def test_what_the_bank_fetched_is_not_uploaded_again_and_its_answer_counts(
    at_the_bank: tuple[World, Path],
) -> None:
    world, folder = at_the_bank
    killed(world, Store, "put_out", after=True)
    batch = pain001.read((folder / NAME).read_bytes(), NAME)
    (folder / NAME).unlink()
    (file,) = payouts.submit(world.settings, PAYMENT_DATE).files
    assert not file.is_new
    assert list(folder.iterdir()) == []
    report = bank_answers.status_report(batch, PAYMENT_DATE, {})
    accepted = etree.fromstring(report)
    for information in accepted.findall(".//{*}OrgnlPmtInfAndSts"):
        information.getparent().remove(information)  # type: ignore[union-attr]
    put_in(world, "pain002_ack.xml", etree.tostring(accepted))
    assert payouts.apply_reports(world.settings).problems == ()
    assert set(states(world).values()) == {"accepted"}


@pytest.mark.parametrize("place", [NAME, f".{NAME}.part"])
def test_another_file_at_the_bank_is_never_replaced(
    at_the_bank: tuple[World, Path], place: str
) -> None:
    world, folder = at_the_bank
    killed(world, Store, "put_out")
    (folder / place).write_bytes(b"something else")
    with pytest.raises(TieoutError, match=r"other content|not what is on record"):
        payouts.submit(world.settings, PAYMENT_DATE)
    assert (folder / place).read_bytes() == b"something else"
    assert set(states(world).values()) == {"created"}


def test_what_arrives_broken_is_not_renamed(
    at_the_bank: tuple[World, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload is read back from the server before it is on record."""
    world, folder = at_the_bank
    write = Store.write_hidden
    monkeypatch.setattr(
        Store, "write_hidden", lambda store, path, content: write(store, path, content[:-1])
    )
    with pytest.raises(TieoutError, match="does not read back"):
        payouts.submit(world.settings, PAYMENT_DATE)
    assert [path.name for path in folder.iterdir()] == [f".{NAME}.part"]
    assert world.value("select count(*) from payout.outbox_files") == 0


# --- a server that does not answer ---------------------------------------------------------------


def refused(world: World, why: str) -> str:
    """Submit while the bank's server does not take it; return the error's text."""
    with pytest.raises(StoreError, match=why) as told:
        payouts.submit(world.settings, PAYMENT_DATE)
    error = told.value
    assert error.where.startswith("sftp://127.0.0.1:")
    assert error.next_step
    # Neither the text nor what Python prints below it has the login.
    trace = "".join(traceback.format_exception(error))
    assert "pass word" not in trace
    assert "drop:" not in trace
    assert set(states(world).values()) == {"created"}
    return str(error)


def delivered_once(world: World, folder: Path) -> None:
    """Submit twice where the server takes it: one file, its payments submitted."""
    (file,) = payouts.submit(world.settings, PAYMENT_DATE).files
    assert file.is_new
    (again,) = payouts.submit(world.settings, PAYMENT_DATE).files
    assert not again.is_new
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert set(states(world).values()) == {"submitted"}
    assert world.value("select count(*) from payout.outbox_files") == 1


def test_a_server_that_is_down_keeps_the_payouts_for_the_next_run(
    world: World, server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = tmp_path / "known_hosts"
    monkeypatch.setenv(store_urls.KNOWN_HOSTS_VARIABLE, str(known))
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"sftp://drop:pass word@127.0.0.1:{port}/"
    there = World(replace(world.settings, payment_files_url=url))
    known.write_text(f"[127.0.0.1]:{port} {server.host_key}\n")
    refused(there, "ConnectionRefusedError")
    key = asyncssh.generate_private_key("ssh-ed25519")
    folder = tmp_path / "bank"
    folder.mkdir()
    with serving_sftp(folder, port=port, host_key=key) as back:
        refused(there, "the server's key is not the one")
        known.write_text(f"[127.0.0.1]:{port} {back.host_key}\n")
        wrong = replace(world.settings, payment_files_url=url.replace("pass word", "pass wort"))
        refused(World(wrong), "the login, or the right")
        with monkeypatch.context() as patch:
            patch.setenv(store_urls.KEY_VARIABLE, str(tmp_path / "no_key"))
            with pytest.raises(StoreError, match="FileNotFoundError"):
                Store(url).exists("payouts")
        assert list(folder.iterdir()) == []
        delivered_once(there, folder / "payouts" / FOLDER)


@pytest.mark.parametrize("operation", ["write", "posix_rename"])
def test_a_connection_that_breaks_is_made_anew(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
) -> None:
    """In the middle of the upload, or where the file gets its name; in the same process."""
    known = tmp_path / "known_hosts"
    monkeypatch.setenv(store_urls.KNOWN_HOSTS_VARIABLE, str(known))
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    faults = [operation]

    class Breaking(asyncssh.SFTPServer):
        """A server that goes away at one operation, once."""

        def _break(self, name: str) -> None:
            if faults == [name]:
                faults.clear()
                self.channel.get_connection().abort()
                raise asyncssh.SFTPConnectionLost("gone")

        def write(self, file_obj: object, offset: int, data: bytes) -> int:
            self._break("write")
            return super().write(file_obj, offset, data)  # type: ignore[return-value]

        def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
            self._break("posix_rename")
            super().posix_rename(oldpath, newpath)

    folder = tmp_path / "bank"
    folder.mkdir()
    with serving_sftp(folder, sftp=Breaking) as server:
        known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
        url = f"sftp://drop:pass word@127.0.0.1:{server.port}/"
        there = World(replace(world.settings, payment_files_url=url))
        refused(there, "is not reached")
        assert faults == []
        delivered_once(there, folder / "payouts" / FOLDER)


# --- acknowledgements ----------------------------------------------------------------------------

ACKNOWLEDGED = "update reference.payout_rails set acknowledgement = 'ack_file'"
MESSAGE = "PO20260928-001-A1"
DUE = {"CNY": payouts.AnswersDue(answered=PAYMENT_DATE, ended=PAYMENT_DATE - timedelta(days=1))}
NOT_DUE = {"CNY": payouts.AnswersDue(answered=date.min, ended=date.min)}


@pytest.fixture
def acknowledging(at_the_bank: tuple[World, Path]) -> tuple[World, Path]:
    """The bank acknowledges what it takes; a file is there."""
    world, folder = at_the_bank
    world.execute(ACKNOWLEDGED)
    decide(world)
    payouts.submit(world.settings, PAYMENT_DATE)
    return world, folder


def acknowledgements(world: World) -> list[tuple[object, ...]]:
    return world.rows(
        "select batch_message_id, file_name, finding from payout.file_acknowledgements"
        " order by acknowledgement_id"
    )


def stated(content: bytes, **other: object) -> bytes:
    """Return an acknowledgement of a file, or of another one."""
    said: dict[str, object] = {
        "sha256": hashlib.sha256(content).hexdigest(), "size": len(content), **other,
    }  # fmt: skip
    return "".join(f"{key}={value}\r\n" for key, value in said.items() if value).encode()


def test_an_acknowledgement_is_read_by_the_next_run_and_no_more_missed(
    acknowledging: tuple[World, Path],
) -> None:
    world, folder = acknowledging
    early = payouts.apply_reports(world.settings, through_date=PAYMENT_DATE, answers_due=NOT_DUE)
    assert early.problems == ()
    (awaited,) = payouts.acknowledgements_listed(world.settings, PAYMENT_DATE)[1]
    assert (awaited.batch_message_id, awaited.silent_count) == (MESSAGE, 3)
    content = (folder / NAME).read_bytes()
    # The bank has fetched and moved the file.
    (folder / NAME).unlink()
    (folder / f"{NAME}.ack").write_bytes(stated(content))
    late = payouts.apply_reports(world.settings, through_date=PAYMENT_DATE, answers_due=NOT_DUE)
    assert late.problems == ()
    assert acknowledgements(world) == [(MESSAGE, f"{NAME}.ack", None)]
    assert payouts.acknowledgements_listed(world.settings, PAYMENT_DATE) == ([], [])
    # It says that the file is there, not that anything is paid.
    assert set(states(world).values()) == {"submitted"}
    payouts.apply_reports(world.settings, through_date=PAYMENT_DATE, answers_due=DUE)
    assert len(acknowledgements(world)) == 1
    assert set(states(world).values()) == {"unknown"}


def test_one_that_does_not_come_is_told_when_answers_are_due(
    acknowledging: tuple[World, Path],
) -> None:
    world, _ = acknowledging
    report = payouts.apply_reports(world.settings, through_date=PAYMENT_DATE, answers_due=DUE)
    assert set(states(world).values()) == {"unknown"}
    told = [text for text in report.problems if "has no acknowledgement" in text]
    assert len(told) == 1
    assert NAME in told[0]
    assert "3 payouts are unknown" in told[0]
    (awaited,) = payouts.acknowledgements_listed(world.settings, PAYMENT_DATE)[1]
    assert awaited.silent_count == 3


def test_who_acknowledges_nothing_is_not_waited_for(at_the_bank: tuple[World, Path]) -> None:
    """Off by default: nothing beside the file is looked at."""
    world, folder = at_the_bank
    payouts.submit(world.settings, PAYMENT_DATE)
    (folder / f"{NAME}.ack").write_bytes(b"size=1\n")
    report = payouts.apply_reports(world.settings, through_date=PAYMENT_DATE, answers_due=DUE)
    assert [text for text in report.problems if "acknowledgement" in text] == []
    assert acknowledgements(world) == []


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        (lambda content: stated(content, size=7), "it names 7 bytes, ours has"),
        (lambda content: stated(content, sha256="ab" * 32), "it names sha256 abababababababab"),
        (lambda content: stated(content, sha256="ab" * 32, size=None), "it names sha256 abab"),
        (lambda content: b"", "it states neither size nor digest"),
        (lambda content: stated(content) + b"status=OK\n", "line 3: it is neither sha256"),
        (lambda content: stated(content) + b"size=7\n", "line 3: size stands in it twice"),
        (lambda content: b"size=-1\n", "line 1: its size is none"),
        (lambda content: stated(content) + b" " * 5000, "bytes"),
    ],
)
def test_one_of_another_file_stops_the_accounts_files_until_a_person_looks(
    acknowledging: tuple[World, Path], answer: Callable[[bytes], bytes], finding: str
) -> None:
    world, folder = acknowledging
    database.make_logins(world.settings)
    path = folder / f"{NAME}.ack"
    path.write_bytes(answer((folder / NAME).read_bytes()))
    payouts_again.fail(world)
    payouts_again.prove_day(world)
    (again,) = (
        payouts.pay_again(world.settings, payment_world.statement_id(1), NEXT_DAY, by="Li Na",
                          reason="r"),
    )  # fmt: skip
    before = set(folder.parent.rglob("*.xml"))
    for _ in range(2):
        with pytest.raises(
            TieoutError, match=r"(?s)no payment file of .*payouts looked 1 "
        ) as told:
            payouts.put_out_again(world.settings)
        assert finding in told.value.why
    report = payouts.apply_reports(world.settings, through_date=NEXT_DAY, answers_due=NOT_DUE)
    assert [text for text in report.problems if finding in text and "looked 1" in text]
    assert set(folder.parent.rglob("*.xml")) == before
    # The database refuses it too, whoever asks.
    with pytest.raises(psycopg.errors.RestrictViolation, match="no file leaves"):
        world.execute(
            "insert into payout.outbox_files (batch_message_id, payment_date, file_path, sha256,"
            " size_bytes, payment_count, amount_minor, currency_code) select batch_message_id,"
            " %s, 'p', repeat('a', 64), 1, 1, %s, 'CNY' from payout.attempts where attempt_id = %s",
            (PAYMENT_DATE, PAYOUTS_MINOR[0], again),
        )
    with pytest.raises(PayoutError, match="a name and a reason"):
        decided.look(world.settings, 1, by=" ", reason="asked")
    assert decided.look(world.settings, 1, by="Li Na", reason="the bank has ours") == MESSAGE
    with pytest.raises(PayoutError, match="looked at already"):
        decided.look(world.settings, 1, by="Li Na", reason="the bank has ours")
    (out,) = payouts.put_out_again(world.settings)
    assert sorted(file.is_new for file in out.files) == [False, True]
    assert len(set(folder.parent.rglob("*.xml")) - before) == 1
    # The bank corrects itself: the file is acknowledged, and the finding stays on record.
    path.write_bytes(stated((folder / NAME).read_bytes()))
    payouts.apply_reports(world.settings, through_date=NEXT_DAY, answers_due=NOT_DUE)
    assert [bool(row[2]) for row in acknowledgements(world)] == [True, False]


def test_what_was_prepared_before_the_finding_does_not_leave_either(
    at_the_bank: tuple[World, Path],
) -> None:
    """Two files of a date: the second is on record and has no name yet."""
    world, folder = at_the_bank
    database.make_logins(world.settings)
    world.execute(ACKNOWLEDGED + ", payments_per_file = 2")
    decide(world)
    calls: list[str] = []
    put_out = Store.put_out

    def second(store: Store, path: str) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        put_out(store, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "put_out", second)
        with pytest.raises(KeyboardInterrupt):
            payouts.submit(world.settings, PAYMENT_DATE)
    (folder / f"{NAME}.ack").write_bytes(b"size=1\n")
    with pytest.raises(TieoutError, match="no payment file"):
        payouts.submit(world.settings, PAYMENT_DATE)
    assert [path.name for path in folder.glob("pain001*.xml")] == [NAME]
    decided.look(world.settings, 1, by="Li Na", reason="asked the bank")
    assert [file.is_new for file in payouts.submit(world.settings, PAYMENT_DATE).files] == [
        False, True,
    ]  # fmt: skip
    # What left is never written anew for it: a run of a date that has nothing to put out goes on.
    payouts.submit(world.settings, PAYMENT_DATE)


def test_acknowledgements_that_cannot_be_read_are_told_and_the_run_goes_on(
    acknowledging: tuple[World, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = acknowledging
    monkeypatch.setattr(
        Store, "read_bounded", lambda *_: (_ for _ in ()).throw(StoreError(what="w", where="sftp"))
    )
    report = payouts.apply_reports(world.settings, through_date=PAYMENT_DATE, answers_due=NOT_DUE)
    assert [text for text in report.problems if text.startswith("acknowledgements are not read")]
