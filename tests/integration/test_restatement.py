"""A sealed date is restated beside what was paid: files, rows, differences, bookings, roles.

One date of a small business is computed and sealed, without one voucher that its channel has. Then
the platform corrects its files: the voucher comes, one is withdrawn, one has another amount.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import builds
import day_states
import prepared_homes
from tieout import database, landing
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.decisions import restatements
from tieout.runs import reclosing, restating, steps, transform

from .conftest import tieout

pytestmark = pytest.mark.timeout(1800)

SEALED, OPEN, PAID_ON = date(2026, 9, 28), date(2026, 9, 29), date(2026, 9, 29)
Row = dict[str, str]


@dataclass(frozen=True)
class Corrected:
    """The home, and the vouchers that the platform's correction is about."""

    settings: Settings
    late: Row
    withdrawn: Row
    raised: Row
    lowered: Row


def rewrite(path: Path, column: str, edit: Callable[[list[Row]], list[Row]]) -> None:
    """Rewrite a file of the platform with its trailer: rows, and the sum of a column."""
    *lines, _ = path.read_text(encoding="utf-8").splitlines()
    rows = edit(list(csv.DictReader(lines)))
    text = io.StringIO()
    writer = csv.DictWriter(text, lines[0].split(","), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    total = sum(int(row[column]) for row in rows)
    path.write_text(
        f"{text.getvalue()}#rows={len(rows)};amount_minor_sum={total}\n", encoding="utf-8"
    )


def query(settings: Settings, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with database.connect(settings) as connection:
        return connection.execute(statement, values or None).fetchall()


def sealed_rows(settings: Settings, day: date = SEALED) -> list[tuple[Any, ...]]:
    """Return a digest of every table's rows of a sealed date, the raw ones included."""
    found = []
    tables = query(
        settings,
        """
        select schemas.nspname, tables.relname
        from pg_partitioned_table as cut
        inner join pg_class as tables on cut.partrelid = tables.oid
        inner join pg_namespace as schemas on tables.relnamespace = schemas.oid
        inner join pg_attribute as keys
            on cut.partrelid = keys.attrelid and cut.partattrs[0] = keys.attnum
        where keys.attname = 'accounting_date'
        order by 1, 2
        """,
    )
    assert len(tables) > 40
    for schema, table in tables:
        found += query(
            settings,
            f"select '{schema}.{table}', count(*), md5(string_agg(t::text, ',' order by t::text))"
            f" from {schema}.{table} as t where accounting_date = %s",
            day,
        )
    return found


def schemas(settings: Settings) -> list[str]:
    rows = query(
        settings, "select nspname from pg_namespace where nspname like 'restate%' order by 1"
    )
    return [name for (name,) in rows]


@pytest.fixture(scope="module")
def sealed(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corrected]:
    """A home whose first date is computed, stated and sealed; the second has its files."""
    home = tmp_path_factory.mktemp("restatement") / "home"
    settings = prepared_homes.copy(prepared_home, home)
    try:
        prepared_homes.start_carelessly(settings)
        done = tieout(
            home, "simulate", "--from", "2026-09-28", "--days", "2", "--transactions", "60",
            "--merchants", "10",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        folder = home / "inbox" / "platform" / "20260928"
        text = (folder / "source_vouchers_20260928.csv").read_text(encoding="utf-8")
        rows = list(csv.DictReader(text.splitlines()[:-1]))
        originals = {row["original_voucher_id"] for row in rows}
        (bill,) = (home / "inbox").rglob("*All2026-09-28.csv")
        recorded = bill.read_text(encoding="utf-8")
        sales = [
            row
            for row in rows
            if row["transaction_type"] == "purchase"
            and row["transaction_status"] == "success"
            and row["voucher_id"] not in originals
            and row["channel"] == "wechat"
            and row["channel_order_id"] in recorded
        ]
        late, withdrawn, raised, lowered = sales[:4]
        rewrite(
            folder / "source_vouchers_20260928.csv",
            "amount_minor",
            lambda rows: [row for row in rows if row["voucher_id"] != late["voucher_id"]],
        )
        rewrite(
            folder / "accounting_vouchers_20260928.csv",
            "amount_minor",
            lambda rows: [row for row in rows if row["source_voucher_id"] != late["voucher_id"]],
        )
        landing.land(settings, through_date=SEALED)
        builds.close(settings, SEALED)
        with database.connect(settings) as connection:
            day_states.set_state(connection, SEALED, "closed")
        builds.payment(settings, PAID_ON)
        with database.connect(settings) as connection:
            day_states.set_state(connection, SEALED, "sealed")
        yield Corrected(settings, late, withdrawn, raised, lowered)
    finally:
        database.stop_server(settings)


def test_a_date_without_anything_late_differs_in_nothing(sealed: Corrected) -> None:
    settings = sealed.settings
    before = sealed_rows(settings)
    # A restatement that is cut off leaves its schemas, and holds nothing up.
    with database.connect(settings.acting_as("transform"), autocommit=True) as cut_off:
        cut_off.execute("select control.begin_restatement(%s, 'cut off')", [SEALED])
        assert "restate_work_ledger" in schemas(settings)
    done = restating.restate(settings, SEALED, asked_by="test")
    assert (done.restatement_no, done.state, done.difference_count) == (2, "kept", 0)
    assert (done.file_names, done.findings) == ([], [])
    assert schemas(settings) == [
        f"restate_20260928_2_{name}" for name in ("clearing", "ledger", "reconciliation")
    ]
    states = query(
        settings, "select restatement_no, state, failure from control.restatements order by 1"
    )
    assert states == [(1, "failed", "it was cut off"), (2, "kept", None)]
    # As many rows as the sealed ones, and not none.
    count = "select count(*) from {} where accounting_date = '2026-09-28'"
    (kept,), (paid,) = (
        query(settings, count.format(name))[0]
        for name in ("restate_20260928_2_ledger.postings", "ledger.postings")
    )
    assert kept == paid > 100
    assert sealed_rows(settings) == before


@pytest.fixture(scope="module")
def corrected(sealed: Corrected) -> Corrected:
    """The platform's correction has come, and was landed."""

    def correct(rows: list[Row], key: str) -> list[Row]:
        kept = [row for row in rows if row[key] != sealed.withdrawn["voucher_id"]]
        for row in kept:
            if row[key] == sealed.raised["voucher_id"]:
                row["amount_minor"] = str(int(row["amount_minor"]) + 100)
            if row[key] == sealed.lowered["voucher_id"]:
                row["amount_minor"] = str(int(row["amount_minor"]) - 50)
        return kept

    folder = sealed.settings.home / "inbox" / "platform" / "20260928"
    rewrite(
        folder / "source_vouchers_20260928.csv",
        "amount_minor",
        lambda rows: [*correct(rows, "voucher_id"), sealed.late],
    )
    rewrite(
        folder / "accounting_vouchers_20260928.csv",
        "amount_minor",
        lambda rows: correct(rows, "source_voucher_id"),
    )
    before = sealed_rows(sealed.settings)
    report = landing.land(sealed.settings, through_date=SEALED)
    assert [file.file_kind for file in report.versions] == [
        "accounting_vouchers",
        "source_vouchers",
    ]
    assert not report.problems
    assert sealed_rows(sealed.settings) == before
    return sealed


def test_a_version_has_the_columns_of_its_raw_table(sealed: Corrected) -> None:
    columns = """
        select
            table_name,
            string_agg(column_name || ' ' || data_type, ', ' order by ordinal_position)
        from information_schema.columns
        where table_schema = '{}' and table_name not like '%_p20______'
        group by table_name
        order by table_name
    """
    raw, versions = (
        query(sealed.settings, columns.format(name)) for name in ("raw", "raw_versions")
    )
    assert len(raw) > 30
    assert versions == raw


ON_OPEN_DATE = """
    select voucher_id, accounting_date, amount_minor, is_late_order
    from raw.platform_source_vouchers
    where file_id in (select file_id from control.carried_files)
    order by voucher_id
"""


def test_a_corrected_file_is_kept_with_its_rows_and_what_came_late_stands_on_the_open_date(
    corrected: Corrected,
) -> None:
    settings, late = corrected.settings, corrected.late
    (count,) = query(settings, "select count(*) from raw_versions.platform_source_vouchers")[0]
    (sealed_count,) = query(
        settings,
        "select count(*) from raw.platform_source_vouchers where accounting_date = %s",
        SEALED,
    )[0]
    assert count == sealed_count  # one came, one went
    stands = [(late["voucher_id"], OPEN, int(late["amount_minor"]), True)]
    assert query(settings, ON_OPEN_DATE) == stands
    # Again, and nothing counts twice.
    report = landing.land(settings, through_date=SEALED)
    assert len(report.versions) == 2
    assert query(settings, ON_OPEN_DATE) == stands
    assert restating.waiting(settings) == [restating.Waiting(SEALED, 0, None)]


def test_what_fails_is_told_and_tried_again_and_then_left_to_a_person(
    corrected: Corrected, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = corrected.settings
    step = steps.Step(
        settings, days.ACCOUNTING_RECLOSE, OPEN, "test", "restate", now=datetime.now(UTC)
    )

    def fails(settings: Settings, day: date) -> tuple[str, ...]:
        raise TieoutError(what="it broke", why="a model of ours failed")

    with monkeypatch.context() as broken:
        broken.setattr(transform, "build_restatement", fails)
        for number in range(1, restating.TRIES_MAX + 1):
            assert [one.try_count for one in restating.waiting(settings)] == [number - 1]
            with pytest.raises(restating.RestatementError, match="could not be restated") as told:
                reclosing.restate(step)
            assert "a model of ours failed" in told.value.why
            assert not [name for name in schemas(settings) if "work" in name]
        with pytest.raises(days.NothingToDo):
            reclosing.restate(step)
        assert f"given up after {restating.TRIES_MAX} tries" in capsys.readouterr().err
    (left,) = restating.waiting(settings)
    assert (left.is_given_up, left.failure) == (True, "a model of ours failed")
    listed = tieout(settings.home, "restate", "list")
    assert f"({str(left).partition('(')[2]}" in listed.stdout + listed.stderr
    # A new version of the file begins anew: one voucher that it corrects has another terminal, too.
    raised = corrected.raised["voucher_id"]
    rewrite(
        settings.home / "inbox" / "platform" / "20260928" / "source_vouchers_20260928.csv",
        "amount_minor",
        lambda rows: [
            {**row, "terminal_id": "99999999"} if row["voucher_id"] == raised else row
            for row in rows
        ],
    )
    landing.land(settings, through_date=SEALED)
    assert restating.waiting(settings) == [restating.Waiting(SEALED, 0, None)]


def test_the_dag_restates_what_waits_and_says_what_differs(corrected: Corrected) -> None:
    settings = corrected.settings
    before = sealed_rows(settings)
    step = steps.Step(
        settings, days.ACCOUNTING_RECLOSE, OPEN, "test", "restate", now=datetime.now(UTC)
    )
    counts = steps.run_step(reclosing.restate, step)
    assert counts["dates"] == 1
    with pytest.raises(days.NothingToDo):
        reclosing.restate(step)
    done = restating.latest(settings, SEALED)
    assert counts["differences"] == done.difference_count
    assert done.findings == []
    assert len(done.file_names) == 2
    assert restating.waiting(settings) == []
    assert sealed_rows(settings) == before
    found = {
        (each.row_key["entry_id"], each.kind): each
        for each in restating.differences(
            settings, done.restatement_id, table_name="clearing.clearing_entries"
        )
    }
    vouchers = (corrected.late, corrected.withdrawn, corrected.raised, corrected.lowered)
    ids = [f"T:{row['voucher_id']}" for row in vouchers]
    kinds = ("only_restated", "only_sealed", "changed", "changed")
    assert set(found) == set(zip(ids, kinds, strict=True))
    changed = found[ids[2], "changed"]
    assert changed.sealed_row
    assert changed.restated_row
    assert "transaction_amount_minor" in changed.changed_columns
    assert (
        changed.restated_row["transaction_amount_minor"]
        - changed.sealed_row["transaction_amount_minor"]
        == 100
    )
    # What the version repeats has kept file and line, so that it does not differ.
    postings = restating.differences(settings, done.restatement_id, table_name="ledger.postings")
    assert postings
    assert all(
        any(row["voucher_id"] in each.row_key["posting_id"] for row in vouchers)
        for each in postings
        if each.kind == "changed"
    )
    # Both versions, as of their own.
    for name, count in ("clearing", 1), (done.schema("clearing"), 0):
        statement = f"select count(*) from {name}.clearing_entries where entry_id = %s"
        assert query(settings, statement, ids[1]) == [(count,)]
    sums = restating.sums(settings, done.restatement_id)
    assert sum(each.difference_minor for each in sums) != 0
    assert all(
        each.difference_minor == each.restated_amount_minor - each.sealed_amount_minor
        for each in sums
    )


REFUSED = [
    ("transform", "insert into {kept}.clearing_entries select * from clearing.clearing_entries"),
    ("transform", "update {kept}.clearing_entries set fee_amount_minor = 0"),
    ("transform", "drop schema {kept} cascade"),
    ("transform", "drop table {kept}.clearing_entries"),
    ("transform", "select control.drop_restatement_work()"),
    ("transform", "select control.keep_restatement(1, '{{}}')"),
    ("transform", "insert into control.restatement_differences default values"),
    ("transform", "insert into raw_versions.platform_source_vouchers select * from"
     " raw_versions.platform_source_vouchers"),
    ("ingest", "select control.begin_restatement('2026-09-28', 'x')"),
    ("ingest", "delete from raw_versions.platform_source_vouchers"),
    ("ingest", "truncate raw_versions.platform_source_vouchers"),
    ("ingest", "select control.approve_booking(1, 'x')"),
    ("ingest", "select control.note_booked(1, 'x', '2026-09-29')"),
    ("gate", "select control.begin_restatement('2026-09-28', 'x')"),
    ("payout", "select control.request_booking('2026-09-28', 'x', 'x')"),
    ("transform", "select control.begin_restatement('2026-09-29', 'x')"),
]  # fmt: skip


@pytest.mark.parametrize(("role", "statement"), REFUSED)
def test_no_role_changes_a_restatement_or_what_is_sealed(
    corrected: Corrected, role: str, statement: str
) -> None:
    settings = corrected.settings
    kept = restating.latest(settings, SEALED).schema("clearing")
    with (
        pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.RestrictViolation)),
        database.connect(settings.acting_as(role)) as connection,
    ):
        connection.execute(statement.format(kept=kept))


def test_two_people_book_what_differs_once(corrected: Corrected) -> None:
    settings = corrected.settings
    newest = restating.latest(settings, SEALED)
    kinds = {
        each.voucher_id: (each.kind, each.booked_amount_minor)
        for each in restatements.entries(settings, newest.restatement_id)
    }
    withdrawn, raised = corrected.withdrawn["voucher_id"], corrected.raised["voucher_id"]
    lowered = corrected.lowered["voucher_id"]
    assert kinds == {
        corrected.late["voucher_id"]: ("carried", 0),
        withdrawn: ("withdrawn", -int(corrected.withdrawn["amount_minor"])),
        raised: ("raised", 100),
        lowered: ("lowered", -50),
    }
    request = restatements.ask(settings, SEALED, by="Li Na", reason="their correction")
    with pytest.raises(restatements.BookingError, match="another person"):
        restatements.approve(settings, request, by="li  NA")
    with pytest.raises(restatements.BookingError, match="asked for before"):
        restatements.ask(settings, SEALED, by="Li Na", reason="again")
    landing.land(settings, through_date=SEALED)
    assert len(query(settings, ON_OPEN_DATE)) == 1  # nothing before the second person
    restatements.approve(settings, request, by="Wang Fang")
    for _ in range(2):
        landing.land(settings, through_date=SEALED)
    number = newest.restatement_id
    assert query(settings, ON_OPEN_DATE) == sorted(
        [
            (corrected.late["voucher_id"], OPEN, int(corrected.late["amount_minor"]), True),
            (f"{withdrawn}-R{number}", OPEN, -int(corrected.withdrawn["amount_minor"]), True),
            (f"{raised}-R{number}", OPEN, 100, True),
            (f"{lowered}-R{number}", OPEN, -50, True),
        ]
    )
    # Links both ways.
    linked = query(
        settings,
        """
        select bookings.voucher_id, differences.row_key ->> 'entry_id', vouchers.voucher_id
        from control.restatement_bookings as bookings
        inner join control.restatement_differences as differences
            using (restatement_id, difference_no)
        inner join raw.platform_source_vouchers as vouchers
            on bookings.booked_on = vouchers.accounting_date
            and bookings.file_id = vouchers.file_id
            and bookings.correcting_voucher_id = vouchers.voucher_id
        order by 1
        """,
    )
    assert linked == sorted(
        (voucher, f"T:{voucher}", f"{voucher}-R{number}")
        for voucher in (withdrawn, raised, lowered)
    )


def test_what_came_late_is_cleared_once_with_the_open_date(corrected: Corrected) -> None:
    settings = corrected.settings
    landing.land(settings, through_date=OPEN)
    builds.close(settings, OPEN)
    late = corrected.late
    entries = query(
        settings,
        "select accounting_date, transaction_amount_minor from clearing.clearing_entries"
        " where entry_id = %s",
        f"T:{late['voucher_id']}",
    )
    assert entries == [(OPEN, int(late["amount_minor"]))]
    # Its channel's record, open since the sealed date, met it: the money is there.
    assert query(
        settings,
        "select accounting_date, outcome from reconciliation.reconciliation_results"
        " where system_transaction_id = %s",
        late["voucher_id"],
    ) == [(OPEN, "channel_resolved")]
    booked = query(
        settings,
        "select transaction_type, transaction_amount_minor from clearing.clearing_entries"
        " where accounting_date = %s and source_id like '%%-R%%' order by 2",
        OPEN,
    )
    assert booked == [
        ("reversal", -int(corrected.withdrawn["amount_minor"])),
        ("refund", -50),
        ("purchase", 100),
    ]


def test_a_second_restatement_books_nothing_again(corrected: Corrected) -> None:
    settings = corrected.settings
    done = restating.restate(settings, SEALED, asked_by="test")
    kinds = {
        each.voucher_id: each.kind for each in restatements.entries(settings, done.restatement_id)
    }
    assert kinds == {
        corrected.late["voucher_id"]: "carried",
        corrected.withdrawn["voucher_id"]: "booked_before",
        corrected.raised["voucher_id"]: "booked_before",
        corrected.lowered["voucher_id"]: "booked_before",
    }
    with pytest.raises(restatements.BookingError, match="nothing is left to book"):
        restatements.ask(settings, SEALED, by="Li Na", reason="again")


def test_what_came_where_every_date_is_paid_is_landed_and_restated(
    corrected: Corrected, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = corrected.settings
    # One date is not paid: its own steps look for files.
    step = steps.Step(
        settings,
        days.ACCOUNTING_RECLOSE,
        OPEN + timedelta(days=1),
        "test",
        "restate",
        now=datetime.now(UTC),
    )
    # What other tests have left waiting, or have not.
    with suppress(days.NothingToDo):
        reclosing.restate(step)
    path = settings.home / "inbox" / "platform" / "20260928" / "source_vouchers_20260928.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("99999999", "99999998"), "utf-8")
    with pytest.raises(days.NothingToDo):
        reclosing.restate(step)
    # The steps before had nothing to do, and have looked for no file.
    monkeypatch.setattr(reclosing, "_unpaid_dates", lambda step: [])
    assert steps.run_step(reclosing.restate, step)["dates"] == 1


def test_what_is_not_sealed_is_closed_again_and_not_restated(corrected: Corrected) -> None:
    with pytest.raises(TieoutError, match="is not restated") as caught:
        restating.restate(corrected.settings, OPEN, asked_by="test")
    assert "not sealed" in caught.value.why
    assert not [name for name in schemas(corrected.settings) if "work" in name]
