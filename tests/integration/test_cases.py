"""Disputes from the first record to the last, with what two people decide about them.

Each example is a channel of its own, closed date by date in one database. Every number was worked
out with pencil: a sale of 100.00 on Thursday, and what the channel takes and gives for it.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import closed_worlds
import prepared_homes
import worlds
from tieout import database
from tieout.core.settings import Settings
from tieout.decisions import case_orders, cases
from tieout.decisions.cases import CaseError
from worlds import Adjustment

from .test_disposed_adjustments import close
from .test_holds import FRI, MON, SAT, SUN, THU, TUE, Example, rows

pytestmark = pytest.mark.slow

DAYS = [worlds.FIRST_DATE + timedelta(days=day) for day in range(worlds.DAYS)]
CARD_NUMBER = "6222021234567890128"


def disputed(*records: tuple[str, int, int], refunded: int = 0, of: str = "s1") -> Example:
    """A sale of 100.00, what was refunded of it on Friday, and records: kind, effect, day."""
    example = Example(format="unionpay").sale("s1", 10_000, THU).sale("s2", 50_000, THU)
    if refunded:
        example.take_back("f1", "s1", refunded, FRI)
    original = {**dict(example._references(of, "purchase")), "terminal_id": "T"}
    for number, (kind, effect, day) in enumerate(records):
        example.adjustments.append(
            Adjustment(f"a{number}", day, kind, 0, "CNY", effect, 0, tuple(original.items()))
        )
    return example


CHARGED = ("first_chargeback", -10_000, FRI)
EXAMPLES = {
    # Represented on Saturday, charged again on Sunday: the end. What comes on Monday waits.
    "fought": disputed(
        CHARGED,
        ("representment", 10_000, SAT),
        ("second_chargeback", -10_000, SUN),
        ("representment", 10_000, MON),
    ),
    "given": disputed(CHARGED, ("representment", 10_000, SUN)),
    # 60.00 were refunded: a representment of 80.00 would give 50.00 of them back again.
    "beyond": disputed(
        ("first_chargeback", -3_000, SAT), ("representment", 8_000, SUN), refunded=6_000
    ),
    "twice": disputed(("first_chargeback", -4_000, FRI), ("second_chargeback", -4_000, SAT)),
    "asked": disputed(("retrieval_request", 0, FRI)),
    "ordered": disputed(CHARGED),
    "late": disputed(CHARGED),
    "stranger": disputed(CHARGED, of="old"),
    "overtaken": disputed(CHARGED, ("representment", 10_000, SAT)),
}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evidence") / "slip.txt"
    path.write_text("slip of the sale, signed", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def friday(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """All examples, closed up to Friday, before anybody decides."""
    settings = prepared_homes.copy(prepared_home, tmp_path_factory.mktemp("cases") / "home")
    try:
        prepared_homes.start_carelessly(settings)
        named = {name: example.world() for name, example in EXAMPLES.items()}
        with database.connect(settings) as connection:
            closed_worlds.load(connection, worlds.tables(named))
            connection.execute(
                "insert into reference.case_deadlines values"
                " ('late', 'first_chargeback', '2020-01-01', 1, 'calendar', 'ours'),"
                " ('asked', 'retrieval_request', '2020-01-01', 1, 'calendar', 'ours')"
            )
        for day in DAYS[: FRI + 1]:
            close(settings, day)
        yield settings
    finally:
        database.stop_server(settings)


def case_of(settings: Settings, channel: str) -> cases.Case:
    (found,) = [case for case in cases.cases(settings) if case.channel == channel]
    return found


def asked(settings: Settings, channel: str, kind: str, *more: Any, **options: Any) -> int:
    function = getattr(cases, kind)
    made = function(
        settings, case_of(settings, channel).case_id, *more, by="Wang", reason="x", **options
    )
    return int(made)


def decided(settings: Settings, channel: str, kind: str, *more: Any) -> int:
    decision = asked(settings, channel, kind, *more)
    cases.approve(settings, decision, by="Li")
    return decision


def sent(settings: Settings, day: date) -> list[list[str]]:
    """Send what waits; return the lines of the files, without their headings."""
    lines: list[list[str]] = []
    for made in case_orders.send(settings, day):
        path = Path(made.url.removeprefix("file://"))
        lines += list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:]
    return lines


@pytest.fixture(scope="module")
def refusals(friday: Settings, evidence: Path) -> dict[str, str]:
    """What is said of each decision that cannot be made on Friday's close."""
    card = evidence.with_name("card.txt")
    card.write_text(f"paid with {CARD_NUMBER}", encoding="utf-8")
    empty = evidence.with_name("empty.txt")
    empty.touch()
    tries: dict[str, tuple[str, str, tuple[Any, ...], dict[str, Any]]] = {
        "answer to a chargeback": ("ordered", "answer", (evidence,), {}),
        "representment of a request": ("asked", "represent", (evidence,), {"amount_minor": 1}),
        "more than was charged": ("ordered", "represent", (evidence,), {"amount_minor": 10_001}),
        "nothing": ("ordered", "represent", (evidence,), {"amount_minor": 0}),
        "after the deadline": ("late", "represent", (evidence,), {"effective_on": DAYS[SUN]}),
        "on a closed date": ("ordered", "accept", (), {"effective_on": DAYS[FRI]}),
        "refusal of no order": ("ordered", "refused", (), {}),
        "evidence with a card": ("ordered", "represent", (card,), {}),
        "no evidence": ("ordered", "represent", (empty,), {}),
    }
    found = {}
    for name, (channel, kind, more, options) in tries.items():
        with pytest.raises(CaseError) as raised:
            asked(friday, channel, kind, *more, **options)
        found[name] = str(raised.value)
    with pytest.raises(CaseError) as raised:
        cases.accept(friday, "CV:nobody", by="Wang", reason="x")
    found["nobody's case"] = str(raised.value)
    return found


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("answer to a chargeback", "is charged_back: answer is not what comes next"),
        ("representment of a request", "is requested: represent is not what comes next"),
        ("more than was charged", "can be represented by 1 to 10000 minor units, not by 10001"),
        ("nothing", "can be represented by 1 to 10000 minor units, not by 0"),
        ("after the deadline", "was due on 2026-09-26: it is represented no more"),
        ("on a closed date", "is closed: a decision cannot take effect on it"),
        ("refusal of no order", "nothing can be refused"),
        ("evidence with a card", "a card number is not kept"),
        ("no evidence", "it has 0 bytes"),
        ("nobody's case", "knows no case CV:nobody"),
    ],
)
def test_what_does_not_come_next_is_refused(refusals: dict[str, str], name: str, says: str) -> None:
    assert says in refusals[name]
    assert CARD_NUMBER not in refusals[name]


@pytest.fixture(scope="module")
def orders(friday: Settings, evidence: Path, refusals: dict[str, str]) -> dict[str, Any]:
    """What people decide on Friday's close, and the files that leave then."""
    assert refusals
    one_person = asked(friday, "fought", "represent", evidence)
    said = {}
    for by in ("Wang", "ＷＡＮＧ", " wang "):
        with pytest.raises(CaseError) as raised:
            cases.approve(friday, one_person, by=by)
        said[by] = str(raised.value)
    cases.approve(friday, one_person, by="Li")
    second = {}
    for kind, more in (("represent", (evidence,)), ("accept", ())):
        with pytest.raises(CaseError) as raised:
            asked(friday, "fought", kind, *more)
        second[kind] = str(raised.value)
    # Two asked for the same; only one can be approved.
    first_asked = asked(friday, "given", "accept")
    second_asked = asked(friday, "given", "represent", evidence)
    cases.approve(friday, first_asked, by="Li")
    with pytest.raises(CaseError) as raised:
        cases.approve(friday, second_asked, by="Li")
    second["approved"] = str(raised.value)
    answered = decided(friday, "asked", "answer", evidence)
    ordered = decided(friday, "ordered", "represent", evidence)
    decided(friday, "overtaken", "represent", evidence)
    waiting = case_orders.unsent(friday)
    # The channel gave it back before our order left: it leaves no more.
    for channel in ("fought", "asked", "ordered"):
        assert channel in waiting
    files = [
        case_orders._send_channel(friday, case_orders.Store(friday.outbox_url), name, DAYS[SAT])
        for name in ("asked", "fought", "ordered")
    ]
    lines = {
        made.channel: Path(made.url.removeprefix("file://")).read_text().splitlines()
        for made in files
    }
    for day in DAYS[SAT : MON + 1]:
        close(friday, day)
    return {
        "said": said,
        "second": second,
        "lines": lines,
        "ids": {"fought": one_person, "asked": answered, "ordered": ordered},
        "waiting": waiting,
    }


def test_a_decision_is_of_two_people(orders: dict[str, Any]) -> None:
    for text in orders["said"].values():
        assert "another person has to approve it" in text


def test_a_case_has_one_decision(orders: dict[str, Any]) -> None:
    for kind in ("represent", "accept", "approved"):
        assert "has decision" in orders["second"][kind], kind


def test_an_order_says_what_is_represented_with_which_evidence(
    orders: dict[str, Any], friday: Settings, evidence: Path
) -> None:
    sha256 = hashlib.sha256(evidence.read_bytes()).hexdigest()
    heading, line, trailer = orders["lines"]["ordered"]
    order = dict(zip(heading.split(","), line.split(","), strict=True))
    assert order["order_number"] == str(orders["ids"]["ordered"])
    assert (order["order_kind"], order["amount_minor"]) == ("represent", "10000")
    assert (order["evidence_name"], order["evidence_sha256"]) == ("slip.txt", sha256)
    assert trailer == "TRAILER,1,10000"
    assert orders["lines"]["asked"][1].split(",")[1] == "answer"
    assert cases.evidence(friday, sha256) == evidence.read_bytes()


def test_an_order_leaves_once_and_not_after_the_channel_s_answer(
    orders: dict[str, Any], friday: Settings
) -> None:
    """`overtaken` was approved and given back before it left."""
    assert orders["waiting"]["overtaken"] == 1
    assert case_of(friday, "overtaken").status == "represented"
    assert case_orders.unsent(friday) == {}
    assert sent(friday, DAYS[TUE]) == []
    with (
        database.connect(friday) as connection,
        pytest.raises(Exception, match="changed while their file was written"),
    ):
        connection.execute(
            "select control.record_case_orders('ordered', '2026-09-29', 1, 'again.csv', %s, %s)",
            ["0" * 64, [orders["ids"]["ordered"]]],
        )


def test_a_file_that_a_break_left_prepared_gets_its_name(
    orders: dict[str, Any], friday: Settings
) -> None:
    assert orders
    store = case_orders.Store(friday.outbox_url)
    (name,) = [name for name in store.names("case-orders") if "_ordered_" in name]
    content = store.whole(f"case-orders/{name}")
    assert content is not None
    store.remove(f"case-orders/{name}")
    # Fetched by the channel: it is not written again.
    assert case_orders.send(friday, DAYS[TUE]) == []
    store.prepare(f"case-orders/{name}", content)
    (made,) = case_orders.send(friday, DAYS[TUE])
    assert made.url.endswith(name)
    assert store.whole(f"case-orders/{name}") == content


@pytest.mark.parametrize(
    ("channel", "stage", "status", "disputed"),
    [
        ("fought", "representment", "represented", 10_000),
        ("given", "representment", "represented", 0),
        ("beyond", "representment", "represented", -5_000),
        ("twice", "second_chargeback", "final", 8_000),
        ("asked", "request", "answered", 0),
        ("ordered", "first_chargeback", "ordered", 10_000),
        ("late", "first_chargeback", "lapsed", 10_000),
        ("stranger", "first_chargeback", "charged_back", 10_000),
    ],
)
def test_where_a_case_stands_after_monday(  # noqa: PLR0917
    orders: dict[str, Any],
    friday: Settings,
    channel: str,
    stage: str,
    status: str,
    disputed: int,
) -> None:
    assert orders
    found = case_of(friday, channel)
    if channel == "fought":
        stage, status, disputed = "second_chargeback", "final", 0
    assert (found.stage, found.status, found.disputed_minor) == (stage, status, disputed)


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (
            "fought",
            [
                ("first_chargeback", "charged", None),
                ("representment", "charged", None),
                ("second_chargeback", "charged", None),
                ("representment", "suspended", "case_final"),
            ],
        ),
        (
            "given",
            [
                ("first_chargeback", "charged", None),
                ("representment", "suspended", "case_accepted"),
            ],
        ),
        (
            "beyond",
            [
                ("first_chargeback", "charged", None),
                ("representment", "suspended", "beyond_chargeback"),
            ],
        ),
        (
            "twice",
            [
                ("first_chargeback", "charged", None),
                ("second_chargeback", "suspended", "not_represented"),
            ],
        ),
        ("stranger", [("first_chargeback", "suspended", "unknown_original")]),
    ],
)
def test_what_the_channel_takes_out_of_turn_moves_nobody_s_money(
    orders: dict[str, Any],
    friday: Settings,
    channel: str,
    expected: list[tuple[str, str, str | None]],
) -> None:
    assert orders
    assert (
        rows(
            friday,
            "select adjustment_type, disposition, suspended_reason"
            " from clearing.channel_adjustments where channel = %s"
            " order by accounting_date, line_number",
            [channel],
        )
        == expected
    )


def test_every_stage_is_posted(orders: dict[str, Any], friday: Settings) -> None:
    """Taken 100.00, given back, taken again, each with its fee; the last representment waits."""
    assert orders
    channel, merchant = "adjustment_taken", "adjustment_charged"
    assert rows(
        friday,
        "select accounting_date, rule, amount_minor from ledger.postings"
        " where channel = 'fought' and accounting_date <= %s and event_type = any(%s)"
        " order by accounting_date, rule",
        [DAYS[MON], [channel, merchant]],
    ) == [
        (DAYS[FRI], f"{merchant}.taken", 10_000),
        (DAYS[FRI], f"{channel}.taken", 10_000),
        (DAYS[SAT], f"{merchant}.given", 10_000),
        (DAYS[SAT], f"{channel}.given", 10_000),
        (DAYS[SUN], f"{merchant}.taken", 10_000),
        (DAYS[SUN], f"{channel}.taken", 10_000),
        (DAYS[MON], f"{channel}.given", 10_000),
    ]
    lines = cases.postings(friday, case_of(friday, "fought").case_id)
    assert len(lines) == 10
    assert "posted adjustment_charged.taken: 100.00 CNY" in lines[0]


def test_a_refused_order_may_be_ordered_again(
    orders: dict[str, Any], friday: Settings, evidence: Path
) -> None:
    assert orders
    before = case_of(friday, "ordered")
    assert before.sent_on == DAYS[SAT]
    decided(friday, "ordered", "refused")
    close(friday, DAYS[TUE])
    assert case_of(friday, "ordered").status == "charged_back"
    again = decided(friday, "ordered", "represent", evidence)
    (line, trailer) = sent(friday, DAYS[TUE])
    assert (line[0], trailer) == (str(again), ["TRAILER", "1", "10000"])


def test_nobody_writes_decisions_or_orders_past_the_functions(friday: Settings) -> None:
    tables = ("case_decisions", "case_approvals", "case_order_files", "case_orders")
    roles = ("ingest", "transform", "gate", "payout", "finance", "people")
    assert rows(
        friday,
        "select count(*) from unnest(%s::text[]) as roles (name)"
        " cross join unnest(%s::text[]) as tables (name)"
        " cross join unnest(array['insert', 'update', 'delete']) as rights (name)"
        " where has_table_privilege('tieout_' || roles.name, 'control.' || tables.name,"
        " rights.name)",
        [list(roles), list(tables)],
    ) == [(0,)]
    assert rows(
        friday,
        "select name from unnest(%s::text[]) as roles (name)"
        " where has_function_privilege('tieout_' || name, 'control.approve_case(bigint, text)',"
        " 'execute')",
        [list(roles)],
    ) == [("people",)]
