"""What is put out is what the gate decided, and is put out once, wherever the program is killed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psycopg
import pytest

import payment_world
from payment_world import ACCOUNT_NUMBERS, ACCOUNTING_DATES, PAYMENT_DATE, World, decide
from tieout import payouts
from tieout.core.errors import TieoutError
from tieout.payouts import pain001, submission
from tieout.payouts.store import Store
from tieout.protection import keys, tokens

NAME = "pain001_PO20260928-001-A1.xml"
OTHER_NUMBER = "6230000000000009999"


@pytest.fixture
def instructed(world: World) -> World:
    """A world with instructions, and nothing put out."""
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    return world


def submit(world: World) -> payouts.SubmitReport:
    return payouts.submit(world.settings, PAYMENT_DATE)


def statuses(world: World) -> set[str]:
    return {
        status
        for (status,) in world.rows("select payout.latest_status(attempt_id) from payout.attempts")
    }


def hidden(world: World) -> list[str]:
    return [name for name in world.files("payouts") if name.startswith(".")]


# --- whom it pays ---------------------------------------------------------------------------------


def refused(world: World, words: str) -> None:
    """Expect the submission to be refused: nothing on record, nothing to be fetched."""
    with pytest.raises(TieoutError, match=words) as caught:
        submit(world)
    for number in (*ACCOUNT_NUMBERS, OTHER_NUMBER):
        assert number not in str(caught.value)
    assert world.value("select count(*) from payout.outbox_files") == 0
    assert NAME not in world.files("payouts")
    assert statuses(world) == set(), "what no file can hold is not attempted"


def test_the_ciphertexts_of_another_payee_do_not_open(instructed: World) -> None:
    instructed.execute(
        "update raw.platform_payees as one set"
        " account_number_ciphertext = other.account_number_ciphertext,"
        " account_name_ciphertext = other.account_name_ciphertext"
        " from raw.platform_payees as other"
        " where one.payee_id = 'P000001' and other.payee_id = 'P000002'"
    )
    refused(instructed, "made for another row or field")


def test_the_name_in_the_place_of_the_number_does_not_open(instructed: World) -> None:
    instructed.execute(
        "update raw.platform_payees set account_number_ciphertext = account_name_ciphertext"
        " where payee_id = 'P000001'"
    )
    refused(instructed, "made for another row or field")


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("account_number", OTHER_NUMBER, "another account number"),
        ("account_name", "别的公司", "another account name"),
    ],
)
def test_a_file_that_pays_another_account_is_not_put_out(
    instructed: World, field: str, text: str, words: str
) -> None:
    """Even by who holds the key: the file is compared with the tokens the gate decided on."""
    ciphertext = tokens.encrypt_bound(text, (field, "P000001", "1"), settings=instructed.settings)
    instructed.execute(
        f"update raw.platform_payees set {field}_ciphertext = %s where payee_id = 'P000001'",
        (ciphertext,),
    )
    refused(instructed, f"20260928-A000001-T1-CNY-1 goes to {words} than the gate decided on")


def test_a_file_that_pays_another_bank_is_not_put_out(
    instructed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pain001.write

    def changed(batch: pain001.Batch) -> bytes:
        content = write(batch)
        assert content.count(payment_world.BANK_CODE.encode()) > 1
        return content.replace(payment_world.BANK_CODE.encode(), b"102100000026", 2)

    monkeypatch.setattr(pain001, "write", changed)
    refused(instructed, "goes to another bank than the gate decided on")


def test_the_fingerprint_covers_account_name_and_bank(world: World) -> None:
    decide(world)
    world.execute(
        "insert into control.payee_versions select payee_id, 2, account_id, currency_code,"
        " bank_code, 'other', account_name_token, effective_from, file_id, line_number,"
        " accounting_date from control.payee_versions"
    )
    before = world.value("select gate.statement_fingerprint(%s)", (PAYMENT_DATE,))
    for column in ("account_number_token", "account_name_token", "bank_code"):
        # The register refuses it; who switches its guard off changes the fingerprint.
        world.execute(
            "alter table control.payee_versions disable trigger payee_versions_kept;"
            f" update control.payee_versions set {column} = {column} || 'x'"
            " where payee_version = 1;"
            " alter table control.payee_versions enable trigger payee_versions_kept"
        )
        now = world.value("select gate.statement_fingerprint(%s)", (PAYMENT_DATE,))
        assert now != before
        before = now
    with pytest.raises(TieoutError, match="not those the gate decided on"):
        payouts.instruct(world.settings, PAYMENT_DATE)


@pytest.mark.parametrize("column", ["account_number_token", "account_name_token", "bank_code"])
@pytest.mark.parametrize("value", ["'x'", "null"])
def test_an_instruction_has_the_registered_payee(world: World, column: str, value: str) -> None:
    number = decide(world)
    columns = {
        "account_number_token": "payees.account_number_token",
        "account_name_token": "payees.account_name_token",
        "bank_code": "payees.bank_code",
        column: value,
    }
    with pytest.raises(psycopg.errors.RestrictViolation, match="differs from its registered payee"):
        world.execute(
            "insert into payout.instructions (instruction_id, statement_id, payment_date,"
            " account_id, payee_id, payee_version, currency_code, amount_minor, decision_id,"
            f" {', '.join(columns)})"
            " select 'I-' || statement_id, statement_id, payment_date, statements.account_id,"
            " statements.payee_id, statements.payee_version, statements.currency_code,"
            f" payout_amount_minor, %s, {', '.join(columns.values())}"
            " from settlement.settlement_statements as statements"
            " inner join control.payee_versions as payees"
            " on statements.payee_id = payees.payee_id"
            " where payable_status = 'payable'",
            (number,),
        )


def test_keys_may_rotate_between_decision_and_file(instructed: World) -> None:
    keys.rotate(instructed.settings)
    keys.re_encrypt(instructed.settings)
    assert submit(instructed).files[0].is_new


# --- once, wherever it is killed ------------------------------------------------------------------


def crash(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def killed(world: World, target: object, name: str) -> None:
    """Submit, killed where `name` would be called."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, name, crash)
        with pytest.raises(KeyboardInterrupt):
            submit(world)


def killed_after(world: World, target: object, name: str) -> None:
    """Submit, killed when `name` has done its work."""
    work: Callable[..., object] = getattr(target, name)

    def then_crash(*values: object, **named: object) -> None:
        work(*values, **named)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, name, then_crash)
        with pytest.raises(KeyboardInterrupt):
            submit(world)


def recorded(world: World) -> list[str]:
    return [sha for (sha,) in world.rows("select sha256 from payout.outbox_files order by 1")]


def sha256_of(world: World) -> str:
    return hashlib.sha256(world.files("payouts")[NAME]).hexdigest()


def test_a_file_is_on_record_before_it_can_be_fetched(instructed: World) -> None:
    killed(instructed, Store, "put_out")
    assert len(recorded(instructed)) == 1
    assert list(instructed.files("payouts")) == [f".{NAME}.part"]
    assert statuses(instructed) == {"created"}
    (file,) = submit(instructed).files
    assert file.is_new
    assert [sha256_of(instructed)] == recorded(instructed)
    assert hidden(instructed) == []
    assert statuses(instructed) == {"submitted"}


@pytest.mark.parametrize("name", ["_prepare", "_verify", "_create_attempts"])
def test_killed_before_the_record_it_starts_anew(instructed: World, name: str) -> None:
    (killed if name == "_create_attempts" else killed_after)(instructed, submission, name)
    if name != "_prepare":
        assert recorded(instructed) == []
    assert NAME not in instructed.files("payouts")
    (file,) = submit(instructed).files
    assert file.is_new
    assert [sha256_of(instructed)] == recorded(instructed)


def test_killed_after_it_was_put_out_it_is_not_written_again(instructed: World) -> None:
    killed_after(instructed, Store, "put_out")
    first = sha256_of(instructed)
    assert statuses(instructed) == {"created"}
    (file,) = submit(instructed).files
    assert not file.is_new
    assert sha256_of(instructed) == first
    assert statuses(instructed) == {"submitted"}


def test_a_file_the_bank_fetched_before_the_kill_is_not_written_again(
    instructed: World, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_after(instructed, Store, "put_out")
    (instructed.outbox / "payouts" / f"{PAYMENT_DATE:%Y%m%d}" / NAME).unlink()
    (file,) = submit(instructed).files
    assert not file.is_new
    assert instructed.files("payouts") == {}
    # Not lost either: its payments wait for an answer, and become unknown without one.
    assert statuses(instructed) == {"submitted"}
    assert "the bank may have fetched it" in capsys.readouterr().err
    assert submit(instructed).attempts_created == 0
    assert instructed.files("payouts") == {}


def test_where_a_move_is_two_steps_a_prepared_file_is_not_put_out_later(
    instructed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "moves_in_one_step", property(lambda _: False))
    killed(instructed, Store, "put_out")
    (file,) = submit(instructed).files
    assert not file.is_new
    assert NAME not in instructed.files("payouts")
    assert statuses(instructed) == {"submitted"}


def test_what_was_prepared_and_changed_since_is_not_put_out(instructed: World) -> None:
    killed(instructed, Store, "put_out")
    (part,) = (instructed.outbox / "payouts").rglob(".*.part")
    part.write_bytes(part.read_bytes().replace(b"1234.56", b"9234.56"))
    with pytest.raises(TieoutError, match="not what is on record"):
        submit(instructed)
    assert NAME not in instructed.files("payouts")
    assert statuses(instructed) == {"created"}


def test_another_file_in_its_place_is_kept_and_told(instructed: World) -> None:
    killed(instructed, Store, "put_out")
    path = instructed.outbox / "payouts" / f"{PAYMENT_DATE:%Y%m%d}" / NAME
    path.write_bytes(b"something else")
    with pytest.raises(TieoutError, match="other content"):
        submit(instructed)
    assert path.read_bytes() == b"something else"
    assert statuses(instructed) == {"created"}


def test_each_file_of_a_date_is_on_record(world: World) -> None:
    world.execute("update reference.payout_rails set payments_per_file = 2")
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    killed_after(world, Store, "put_out")
    # The first is out; the inputs may change now, the rest is paid all the same.
    world.execute("update reference.channels set arrival_lag_days = 7")
    report = submit(world)
    assert [file.is_new for file in report.files] == [False, True]
    assert world.rows(
        "select batch_message_id, payment_count, amount_minor from payout.outbox_files order by 1"
    ) == [("PO20260928-001-A1", 2, 123_556), ("PO20260928-002-A1", 1, 7_000_005)]
    assert statuses(world) == {"submitted"}


@pytest.mark.parametrize(
    "changes",
    [
        {"payment_count": 2},
        {"amount_minor": 1},
        {"currency_code": "USD"},
        {"payment_date": date(2026, 9, 29)},
        {"batch_message_id": "PO20260928-009-A1"},
    ],
)
def test_a_file_on_record_is_that_of_its_attempts(
    instructed: World, changes: dict[str, object]
) -> None:
    killed(instructed, submission, "_prepare")
    row: dict[str, object] = {
        "batch_message_id": "PO20260928-001-A1",
        "payment_date": PAYMENT_DATE,
        "file_path": "x",
        "sha256": "0" * 64,
        "size_bytes": 1,
        "payment_count": 3,
        "amount_minor": sum(payment_world.PAYOUTS_MINOR),
        "currency_code": "CNY",
    }
    insert = (
        f"insert into payout.outbox_files ({', '.join(row)})"
        f" values ({', '.join(f'%({name})s' for name in row)})"
    )
    with pytest.raises(psycopg.errors.RestrictViolation, match="not that of its attempts"):
        instructed.execute(insert, {**row, **changes})
    instructed.execute(insert, row)


def test_moves_are_one_step_on_disk_and_not_in_an_object_store(tmp_path: Path) -> None:
    assert Store(f"file://{tmp_path}").moves_in_one_step
    assert not Store("memory://outbox").moves_in_one_step


def test_a_payee_of_an_old_snapshot_is_not_looked_for(instructed: World) -> None:
    """A month of snapshots is read, whatever the history has."""
    old = date(2026, 8, 1)
    file_id = payment_world.file_row(instructed, "platform", "payees", old)
    payment_world.partition(instructed, "platform_payees", old)
    instructed.execute(
        "update raw.platform_payees set accounting_date = %s, file_id = %s"
        " where accounting_date = %s and payee_id = 'P000002'",
        (old, file_id, ACCOUNTING_DATES[-1]),
    )
    with pytest.raises(TieoutError, match="has no payee to pay"):
        submit(instructed)
