"""A payee's version never says anything else: at landing, at a release, and in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import psycopg
import pytest

import channel_files as make
from landing_world import own_database, place, put, query, statuses
from tieout import database, landing
from tieout.core.settings import Settings
from tieout.files.report import LandingError
from tieout.landing import corrections, quarantine
from tieout.protection import keys, tokens

__all__ = ["own_database", "place"]

FIRST = date(2026, 9, 24)
SECOND = FIRST + timedelta(days=1)
OTHER_NUMBER = "6222020200112230025"
OTHER_NAME = "李四光"


def payees(day: date, *rows: Mapping[str, str]) -> tuple[str, bytes]:
    """Return name and bytes of a payees file; each row as it differs from the usual payee."""
    content = make.platform_file("payees", [{**make.PAYEE, **row} for row in rows])
    return f"payees_{day:%Y%m%d}.csv", content


def land(place: Settings, day: date, *rows: Mapping[str, str], folder: str = "x") -> str:
    """Land a payees file; return its status."""
    name, content = payees(day, *rows)
    put(place, name, content, folder)
    return statuses(landing.land(place))[name]


def registered(place: Settings) -> list[tuple[object, ...]]:
    return query(
        place,
        "select versions.payee_id, versions.payee_version, versions.account_id,"
        " versions.bank_code, versions.accounting_date, files.status"
        " from control.payee_versions as versions"
        " inner join control.channel_files as files on versions.file_id = files.file_id"
        " order by 1, 2",
    )


def held(place: Settings) -> str:
    """Return the id of the only file that waits for a person."""
    (file,) = quarantine.held_files(place, today=SECOND)
    return file.file_id


def test_a_version_is_on_record_from_its_first_row(place: Settings) -> None:
    assert land(place, FIRST, {}) == "landed"
    assert land(place, SECOND, {}, {"payee_version": "2", "bank_code": "103100000000"}) == "landed"
    assert registered(place) == [
        ("P000001", 1, "A000001", "102100000013", FIRST, "landed"),
        ("P000001", 2, "A000001", "103100000000", SECOND, "landed"),
    ]
    ((number, name),) = query(
        place,
        "select account_number_token, account_name_token from control.payee_versions"
        " where payee_version = 1",
    )
    assert [number, name] == tokens.account_token(
        [make.ACCOUNT_NUMBER, make.ACCOUNT_NAME], settings=place
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("account_number", OTHER_NUMBER),
        ("account_name", OTHER_NAME),
        ("account_id", "A000002"),
        ("bank_code", "103100000000"),
        ("effective_from", "2026-01-02"),
    ],
)
def test_another_content_of_a_version_does_not_land(
    place: Settings, field: str, value: str
) -> None:
    land(place, FIRST, {"payee_id": "P0"}, {})
    assert land(place, SECOND, {field: value}) == "quarantined"
    assert len(registered(place)) == 2
    ((line, found_field, code, reason, excerpt),) = query(
        place,
        "select line_number, field, reason_code, reason, coalesce(row_excerpt_masked, '')"
        " from control.quarantined_rows",
    )
    assert (line, found_field, code) == (2, field, "payee_version_changed")
    assert "payees_20260924.csv line 3" in reason
    assert f"another {field} than" in reason
    for text in (make.ACCOUNT_NUMBER, make.ACCOUNT_NAME, OTHER_NUMBER, OTHER_NAME):
        assert text not in reason + excerpt


@pytest.mark.parametrize(
    "change",
    [{"payee_status": "blocked"}, {"effective_to": "2026-09-30"}, {"bank_name": "新名称支行"}],
)
def test_what_names_nobody_else_may_change(place: Settings, change: dict[str, str]) -> None:
    land(place, FIRST, {})
    assert land(place, SECOND, change) == "landed"
    assert len(registered(place)) == 1


ADDRESS = {
    "town": "北京",
    "country_code": "CN",
    "post_code": "100000",
    "street": "示例大街",
    "building": "1",
}


@pytest.mark.parametrize("field", ADDRESS)
@pytest.mark.parametrize("value", ["", "SH"])
def test_another_address_of_a_version_does_not_land(
    place: Settings, field: str, value: str
) -> None:
    """A payee who moves has a new version: two people look at it, and the gate decides on it."""
    assert land(place, FIRST, ADDRESS) == "landed"
    assert land(place, SECOND, {**ADDRESS, field: value}) == "quarantined"
    ((found_field, code, reason, excerpt),) = query(
        place,
        "select field, reason_code, reason, coalesce(row_excerpt_masked, '')"
        " from control.quarantined_rows",
    )
    assert (found_field, code) == ("address", "payee_version_changed")
    for text in ("示例大街", make.ACCOUNT_NUMBER):
        assert text not in reason + excerpt
    third = SECOND + timedelta(days=1)
    moved = {**ADDRESS, field: value, "payee_version": "2"}
    assert land(place, third, ADDRESS, moved) == "landed"
    ((old,), (new,)) = query(
        place, "select address_token from control.payee_versions order by payee_version"
    )
    assert old != new
    assert "示例大街" not in f"{old}{new}"


def test_an_address_that_comes_or_goes_under_a_version_does_not_land(place: Settings) -> None:
    assert land(place, FIRST, {}, {**ADDRESS, "payee_version": "2"}) == "landed"
    assert land(place, SECOND, ADDRESS) == "quarantined"
    assert land(place, SECOND, {"payee_version": "2"}, folder="y") == "quarantined"
    assert query(place, "select distinct field from control.quarantined_rows") == [("address",)]
    assert query(
        place, "select address_token from control.payee_versions where payee_version = 1"
    ) == [("",)]


def test_addresses_are_compared_across_a_rotation_of_keys(place: Settings) -> None:
    land(place, FIRST, ADDRESS)
    keys.rotate(place)
    assert land(place, SECOND, ADDRESS) == "landed"
    third = SECOND + timedelta(days=1)
    assert land(place, third, {**ADDRESS, "street": "另一条街"}) == "quarantined"


def test_the_address_of_a_version_of_before_is_that_of_its_first_row(place: Settings) -> None:
    land(place, FIRST, ADDRESS)
    with database.connect(place) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("update control.payee_versions set address_token = null")
    assert land(place, SECOND, {**ADDRESS, "town": "上海"}) == "quarantined"
    assert land(place, SECOND, ADDRESS, folder="y") == "landed"


def test_versions_are_compared_across_a_rotation_of_keys(place: Settings) -> None:
    land(place, FIRST, {})
    keys.rotate(place)
    assert land(place, SECOND, {}) == "landed"
    assert len({key for (key,) in query(place, KEY_IDS)}) == 2
    third = SECOND + timedelta(days=1)
    assert land(place, third, {"account_number": OTHER_NUMBER}) == "quarantined"
    assert land(place, third, {"account_name": OTHER_NAME}) == "quarantined"


KEY_IDS = "select left(account_number_token, 8) from raw.platform_payees"


def test_a_lost_token_key_stops_the_comparison(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(place, FIRST, {})
    monkeypatch.setenv("TIEOUT_PAN_KEY", "ab" * 32)
    with pytest.raises(tokens.SecretsError, match="a token cannot be compared"):
        land(place, SECOND, {})


# --- another file in the place of the first ------------------------------------------------------


def test_what_only_the_replaced_file_said_is_replaced_by_a_person(place: Settings) -> None:
    land(place, FIRST, {})
    assert land(place, FIRST, {"account_id": "A000002"}, folder="y") == "conflict"
    # What only the landed file of its own place says is nothing against it.
    assert query(place, "select reason_code from control.quarantined_rows") == []
    corrections.release(place, held(place), decided_by="li", reason="the right one")
    assert registered(place) == [("P000001", 1, "A000002", "102100000013", FIRST, "landed")]
    # And the first comes back with what it said.
    ((first,),) = query(
        place, "select file_id from control.channel_files where status = 'superseded'"
    )
    corrections.release(place, first, decided_by="li", reason="it was right after all")
    assert registered(place) == [("P000001", 1, "A000001", "102100000013", FIRST, "landed")]


def test_what_another_file_says_too_is_not_replaced(place: Settings) -> None:
    land(place, FIRST, {})
    land(place, SECOND, {})
    assert land(place, FIRST, {"account_number": OTHER_NUMBER}, folder="y") == "conflict"
    with pytest.raises(LandingError, match="another account_number than in payees_20260924"):
        corrections.release(place, held(place), decided_by="li", reason="the right one")
    # The place keeps its file.
    assert [row[-1] for row in registered(place)] == ["landed"]


def test_a_file_of_a_later_date_does_not_change_a_version(place: Settings) -> None:
    land(place, FIRST, {})
    land(place, SECOND, {})
    assert land(place, SECOND, {"account_number": OTHER_NUMBER}, folder="y") == "conflict"
    with pytest.raises(LandingError, match="a version's content never changes"):
        corrections.release(place, held(place), decided_by="li", reason="the right one")


def test_a_rejected_files_versions_make_way(place: Settings) -> None:
    land(place, FIRST, {})
    ((file_id,),) = query(place, "select file_id from control.channel_files")
    corrections.reject(place, file_id, decided_by="li", reason="not ours")
    assert land(place, SECOND, {"account_number": OTHER_NUMBER}) == "landed"
    assert registered(place) == [("P000001", 1, "A000001", "102100000013", SECOND, "landed")]
    with pytest.raises(LandingError, match="another account_number than in payees_20260925"):
        corrections.release(place, file_id, decided_by="li", reason="ours after all")


def instruct(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Put an instruction of the payee on record, past the guards of its statement."""
    connection.execute("set session_replication_role = replica")
    connection.execute(
        "insert into payout.instructions (instruction_id, statement_id, payment_date, account_id,"
        " payee_id, payee_version, currency_code, amount_minor, decision_id)"
        " values ('I-S', 'S', '2026-09-28', 'A000001', 'P000001', 1, 'CNY', 1, 1)"
    )
    connection.execute("set session_replication_role = origin")


def test_a_version_that_was_paid_stays(place: Settings) -> None:
    land(place, FIRST, {})
    with database.connect(place) as connection:
        instruct(connection)
    try:
        with database.connect(place) as connection:
            connection.execute("update control.channel_files set status = 'refused'")
            with pytest.raises(psycopg.errors.RestrictViolation, match="was paid"):
                connection.execute("delete from control.payee_versions")
        with database.connect(place) as connection:
            connection.execute("update control.channel_files set status = 'refused'")
        assert land(place, SECOND, {"account_number": OTHER_NUMBER}) == "quarantined"
        codes = query(place, "select reason_code from control.quarantined_rows")
        assert codes == [("payee_version_changed",)]
    finally:
        with database.connect(place) as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute("delete from payout.instructions")


def test_payees_of_before_the_register_are_adopted(place: Settings) -> None:
    land(place, FIRST, {}, {"payee_id": "P2", "account_number": OTHER_NUMBER})
    land(place, SECOND, {})
    with database.connect(place) as connection:
        # As the version before left them.
        connection.execute("set session_replication_role = replica")
        connection.execute("delete from control.payee_versions")
        rows = connection.execute(
            "select payee_id, line_number, accounting_date from raw.platform_payees"
        ).fetchall()
        for payee_id, line, day in rows:
            number = OTHER_NUMBER if payee_id == "P2" else make.ACCOUNT_NUMBER
            connection.execute(
                "update raw.platform_payees set account_name_token = null,"
                " account_number_ciphertext = %s, account_name_ciphertext = %s"
                " where line_number = %s and accounting_date = %s",
                [
                    tokens.encrypt(number, settings=place),
                    tokens.encrypt(make.ACCOUNT_NAME, settings=place),
                    line,
                    day,
                ],
            )
    landing.land(place)
    assert [row[:2] for row in registered(place)] == [("P000001", 1), ("P2", 1)]
    for payee_id, ciphertext in query(
        place, "select payee_id, account_number_ciphertext from raw.platform_payees"
    ):
        opened = tokens.decrypt_bound(ciphertext, ("account_number", payee_id, "1"), settings=place)
        assert opened == (OTHER_NUMBER if payee_id == "P2" else make.ACCOUNT_NUMBER)
    third = SECOND + timedelta(days=1)
    assert land(place, third, {"account_name": OTHER_NAME}) == "quarantined"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update control.payee_versions set bank_code = 'x'", "never changes"),
        ("delete from control.payee_versions", "stands in the landed file"),
        ("truncate control.payee_versions cascade", "append-only"),
    ],
)
def test_the_database_keeps_the_register(place: Settings, statement: str, words: str) -> None:
    land(place, FIRST, {})
    with (
        database.connect(place) as connection,
        pytest.raises(psycopg.errors.RestrictViolation, match=words),
    ):
        connection.execute(statement)
