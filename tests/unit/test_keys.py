"""Keys change, and what was written under the old ones is still found and opened."""

from __future__ import annotations

import csv
import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

import channel_files as make
from landing_world import own_database
from landing_world import place as place_with_tables
from tieout import database, landing
from tieout.commands.cli import app
from tieout.core.settings import PROJECT_DIR, Settings
from tieout.files import archive
from tieout.protection import key_ring, keys
from tieout.protection import tokens as secrets

__all__ = ["own_database", "place_with_tables"]

FIRST, SECOND = make.DAY, make.DAY + timedelta(days=1)


@pytest.fixture
def place(
    place_with_tables: Settings, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A home with keys of its own and empty tables, which commands use, too."""
    monkeypatch.setenv("TIEOUT_HOME", str(place_with_tables.home))
    monkeypatch.setenv("TIEOUT_DATABASE_URL", own_database)
    return place_with_tables


def query(place: Settings, statement: str) -> list[tuple[Any, ...]]:
    with database.connect(place) as connection:
        return connection.execute(statement).fetchall()


def land_day(place: Settings, day: date) -> None:
    """Land a card's transaction, a payee and a payer, and set a broken file aside."""
    inbox = place.home / "inbox"
    time = {"transmission_time": f"{day:%m%d}162152"}
    (inbox / f"IND{day:%y%m%d}01ACOMN").write_bytes(make.acomn(**time))
    (inbox / f"payees_{day:%Y%m%d}.csv").write_bytes(make.platform_file("payees", [make.PAYEE]))
    bill = make.wechat_bill([{**make.WECHAT_PAYMENT, "交易时间": f"{day} 10:00:00"}])
    (inbox / f"1900000109All{day}.csv").write_bytes(bill)
    (inbox / f"IND{day:%y%m%d}99ALFEE").write_bytes(make.alfee(**time)[:100])
    report = landing.land(place, through_date=day)
    assert {file.file_kind for file in report.problems} == {"alfee"}


def opened(place: Settings, field: str, ciphertext: str) -> str:
    """Open a ciphertext in the row of the payee that `land_day` lands."""
    return secrets.decrypt_bound(ciphertext, (field, "P000001", "1"), settings=place)


def states(place: Settings) -> list[tuple[str, str, int, int]]:
    return [(use.kind, use.state, use.value_count, use.file_count) for use in keys.usage(place)]


def test_no_rule_of_reconciliation_compares_tokens() -> None:
    """Else a rotation would part pairs; `tieout.protection.keys` rests on this."""
    path = PROJECT_DIR / "dbt_project" / "seeds" / "reference" / "match_rules.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rules = list(csv.DictReader(stream))
    assert len(rules) >= 6
    assert [rule for rule in rules if "token" in rule["key_columns"]] == []
    models = sorted((PROJECT_DIR / "dbt_project" / "models").rglob("*.sql"))
    assert len(models) > 40
    compared = re.compile(r"_token\s*(=|<>|is (not )?distinct)|(=|from)\s*\w+\.\w+_token\b")
    assert [path.name for path in models if compared.search(path.read_text())] == []


def test_a_number_of_before_a_rotation_is_found_after_it(place: Settings) -> None:
    land_day(place, FIRST)
    (old,) = key_ring.key_ring(place, "token").ids
    (new,) = keys.rotate(place, ["token"])
    assert new != old
    land_day(place, SECOND)
    found = [row for row in keys.find(place, make.CARD) if row.table == "raw.unionpay_acomn"]
    assert [(row.accounting_date, row.key_id, row.line_number) for row in found] == [
        (FIRST, old, 1),
        (SECOND, new, 1),
    ]
    assert [row.file_name for row in found] == ["IND26092401ACOMN", "IND26092501ACOMN"]
    grouped = " ".join((make.CARD[:4], make.CARD[4:8], make.CARD[8:12], make.CARD[12:]))
    assert keys.find(place, grouped) == keys.find(place, make.CARD)
    for number in (make.ACCOUNT_NUMBER, make.PAYER):
        assert [row.key_id for row in keys.find(place, number)] == [old, new]
    assert keys.find(place, "6222000000000000000") == []


def test_a_ciphertext_of_before_a_rotation_opens_after_it(place: Settings) -> None:
    land_day(place, FIRST)
    (old,) = key_ring.key_ring(place, "data").ids
    (new,) = keys.rotate(place, ["data"])
    land_day(place, SECOND)
    rows = query(
        place,
        "select account_number_ciphertext, account_name_ciphertext from raw.platform_payees"
        " order by accounting_date",
    )
    assert [[text[:8] for text in row] for row in rows] == [[old, old], [new, new]]
    for number, name in rows:
        assert opened(place, "account_number", number) == make.ACCOUNT_NUMBER
        assert opened(place, "account_name", name) == make.ACCOUNT_NAME


def test_the_list_says_what_each_key_is_of(place: Settings) -> None:
    land_day(place, FIRST)
    # Tokens: a card, a payee's account and name, both in the register too, a payer. Ciphertext: a
    # payee's number and name; a file.
    assert states(place) == [("token", "current", 6, 0), ("data", "current", 2, 1)]
    keys.rotate(place)
    assert states(place) == [
        ("token", "current", 0, 0),
        ("token", "known", 6, 0),
        ("data", "current", 0, 0),
        ("data", "known", 2, 1),
    ]
    tables = {name for use in keys.usage(place) for name in use.tables}
    assert tables == {
        "control.payee_versions",
        "raw.platform_payees",
        "raw.unionpay_acomn",
        "raw.wechat_trade_bill",
    }


def test_a_key_in_use_is_not_removed(place: Settings) -> None:
    land_day(place, FIRST)
    old_token, old_data = (use.key_id for use in keys.usage(place))
    keys.rotate(place)
    for key_id, what in ((old_token, "6 stored values"), (old_data, "1 kept files")):
        with pytest.raises(secrets.SecretsError, match=what):
            keys.remove(place, key_id)
    assert len(keys.usage(place)) == 4


def test_a_key_of_kept_files_alone_is_in_use(place: Settings) -> None:
    land_day(place, FIRST)
    old = key_ring.key_ring(place, "data").ids[0]
    keys.rotate(place, ["data"])
    with database.connect(place) as connection:
        connection.execute("truncate raw.platform_payees")
    with pytest.raises(secrets.SecretsError, match="0 stored values and 1 kept files"):
        keys.remove(place, old)


def test_after_re_encrypting_the_old_data_key_goes(place: Settings) -> None:
    land_day(place, FIRST)
    old = key_ring.key_ring(place, "data").ids[0]
    new = keys.rotate(place, ["data"])[0]
    land_day(place, SECOND)
    assert keys.re_encrypt(place) == (2, 1)
    assert keys.re_encrypt(place) == (0, 0)
    assert keys.remove(place, old).key_id == old
    assert key_ring.key_ring(place, "data").ids == [new]
    for (number,) in query(place, "select account_number_ciphertext from raw.platform_payees"):
        assert opened(place, "account_number", number) == make.ACCOUNT_NUMBER
    (sha256,) = {
        sha256
        for sha256, name in query(
            place,
            "select sha256, file_name from control.channel_files where status = 'quarantined'",
        )
        if name == f"IND{FIRST:%y%m%d}99ALFEE"
    }
    assert archive.read(place, sha256)


def test_many_ciphertexts_are_put_under_the_new_key(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "VALUES_PER_STATEMENT", 2)
    payees = [{**make.PAYEE, "payee_id": f"P{number}"} for number in range(5)]
    content = make.platform_file("payees", payees)
    (place.home / "inbox" / "payees_20260924.csv").write_bytes(content)
    landing.land(place)
    new = keys.rotate(place, ["data"])[0]
    assert keys.re_encrypt(place) == (10, 0)
    assert query(
        place,
        "select distinct left(account_number_ciphertext, 8), left(account_name_ciphertext, 8)"
        " from raw.platform_payees",
    ) == [(new, new)]


def test_an_unused_token_key_goes(place: Settings) -> None:
    old = key_ring.key_ring(place, "token").ids[0]
    keys.rotate(place, ["token"])
    keys.remove(place, old)
    assert old not in [use.key_id for use in keys.usage(place)]


def test_the_current_key_and_an_unknown_one_are_not_removed(place: Settings) -> None:
    current = key_ring.key_ring(place, "token").ids[0]
    with pytest.raises(secrets.SecretsError, match="it is the current key"):
        keys.remove(place, current)
    with pytest.raises(secrets.SecretsError, match="no key of that id"):
        keys.remove(place, "00000000")


def test_rows_of_a_lost_key_are_named(place: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    land_day(place, FIRST)
    old = key_ring.key_ring(place, "token").ids[0]
    monkeypatch.setenv("TIEOUT_PAN_KEY", "ab" * 32)
    assert ("token", "missing", 6, 0) in states(place)
    done = CliRunner().invoke(app, ["keys", "list"])
    assert isinstance(done.exception, secrets.SecretsError)
    assert old in str(done.exception)
    done = CliRunner().invoke(app, ["keys", "find"], input=f"{make.CARD}\n")
    assert isinstance(done.exception, secrets.SecretsError)


def test_the_commands_do_what_they_say_and_show_no_number(place: Settings) -> None:
    land_day(place, FIRST)
    runner = CliRunner()
    found = runner.invoke(app, ["keys", "find"], input=f"{make.CARD}\n")
    assert found.exit_code == 0
    assert "raw.unionpay_acomn" in found.output
    assert make.CARD not in found.output
    old = key_ring.key_ring(place, "data").ids[0]
    for words in (["rotate", "--kind", "data"], ["re-encrypt"], ["remove", old], ["list"]):
        done = runner.invoke(app, ["keys", *words])
        assert done.exit_code == 0, done.output
        shown = [path.read_text().split() for path in place.secrets_dir.glob("*.key")]
        assert len(shown) == 2
        assert not any(key in done.output for keys_of_kind in shown for key in keys_of_kind)
    assert runner.invoke(app, ["keys", "rotate", "--kind", "x"]).exit_code == 2


# --- where keys come from -------------------------------------------------------------------------


def test_keys_come_from_a_mounted_file(
    place: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data_keys = [Fernet.generate_key().decode() for _ in range(2)]
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"token_keys": ["ab" * 32, "cd" * 32], "data_keys": data_keys}))
    monkeypatch.setenv("TIEOUT_KEYS_FILE", str(path))
    ring = key_ring.key_ring(place, "token")
    assert (ring.source, ring.in_home, len(ring.keys)) == (str(path), False, 2)
    assert ring.current == bytes.fromhex("ab" * 32)
    assert key_ring.key_ring(place, "data").current == data_keys[0].encode()
    monkeypatch.setenv("TIEOUT_PAN_KEY", "ef" * 32)
    assert key_ring.key_ring(place, "token").source == "TIEOUT_PAN_KEY"
    assert not (place.secrets_dir / "pan.key").exists()


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"token_keys": "abc"}', '{"token_keys": []}', '{"token_keys": [1]}'],
)
def test_a_bad_file_of_keys_is_refused(
    place: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    monkeypatch.setenv("TIEOUT_KEYS_FILE", str(path))
    with pytest.raises(secrets.SecretsError, match="TIEOUT_KEYS_FILE"):
        key_ring.key_ring(place, "token")
    monkeypatch.setenv("TIEOUT_KEYS_FILE", str(tmp_path / "none.json"))
    with pytest.raises(secrets.SecretsError, match="cannot be read"):
        key_ring.key_ring(place, "token")


def test_keys_from_elsewhere_are_not_changed_here(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_PAN_KEY", f"{'ab' * 32},{'cd' * 32}")
    with pytest.raises(secrets.SecretsError, match="TIEOUT_PAN_KEY"):
        keys.rotate(place, ["token"])
    with pytest.raises(secrets.SecretsError, match="TIEOUT_PAN_KEY"):
        keys.remove(place, key_ring.key_ring(place, "token").ids[1])


def test_two_keys_in_a_variable_make_two_search_tokens(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_PAN_KEY", f"{'ab' * 32},{'cd' * 32}")
    tokens = secrets.pan_search_tokens(make.CARD, settings=place)
    assert tokens[:1] == secrets.pan_token([make.CARD], settings=place)
    monkeypatch.setenv("TIEOUT_PAN_KEY", "cd" * 32)
    assert tokens[1:] == secrets.pan_token([make.CARD], settings=place)
    accounts = secrets.account_search_tokens(make.CARD, settings=place)
    assert accounts == secrets.account_token([make.CARD], settings=place)
    assert not set(accounts) & set(tokens)


def test_rotated_keys_are_the_owners_only(place: Settings) -> None:
    keys.rotate(place)
    files = sorted(place.secrets_dir.iterdir())
    assert [file.name for file in files] == ["data.key", "pan.key"]
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert all(len(file.read_text().split()) == 2 for file in files)
