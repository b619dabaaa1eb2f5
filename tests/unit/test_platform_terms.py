"""Contracts and fee rules that overlap or leave a gap: told at the door, with both rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import channel_files as make
from landing_world import own_database, place, put, statuses, whole_day
from parts import examples
from reference_lists import load_lists
from tieout import database, landing
from tieout.channels.common.model import BadRow
from tieout.channels.platform import csv_files
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.runs import closing, steps

__all__ = ["own_database", "place"]

DAY = make.DAY
NOW = datetime(2026, 9, 25, 12, 0, tzinfo=ZoneInfo("Asia/Shanghai"))
CONTRACTS = "contracts_20260924.csv"
Row = Mapping[str, str]

CONTRACT = {
    "contract_id": "C1",
    "merchant_id": "898310059990001",
    "account_id": "A000001",
    "settlement_mode": "net",
    "payout_minimum_minor": "0",
    "settlement_cycle": "T+1",
    "refund_fee_policy": "return",
    "fee_period": "month",
    "fee_collection_method": "invoice",
    "effective_from": "2026-01-01",
}
RULE = {
    "fee_rule_id": "F1",
    "contract_id": "C1",
    "tier_from_minor": "0",
    "fee_rate": "0.006",
    "fixed_fee_minor": "0",
    "minimum_fee_minor": "0",
    "effective_from": "2026-01-01",
    "priority": "10",
}


def findings(kind: str, *changes: Row) -> list[BadRow]:
    """Return what speaks against a file of rows that differ from the usual one as given."""
    usual = {"contracts": CONTRACT, "fee_rates": RULE}[kind]
    content = make.platform_file(kind, [{**usual, **change} for change in changes])
    return list(make.platform_parsed(content, make.context(), file_kind=kind).bad_rows)


def codes(found: Sequence[BadRow]) -> list[tuple[int, str]]:
    return [(row.line_number, row.reason_code) for row in found]


# --- contracts ------------------------------------------------------------------------------------


def test_two_contracts_of_one_merchant_and_account_on_one_day_are_refused() -> None:
    (found,) = findings(
        "contracts",
        {"effective_to": "2026-09-21"},
        {"contract_id": "C9", "account_id": "A000002"},
        {"contract_id": "C2", "effective_from": "2026-09-20"},
    )
    assert (found.line_number, found.field) == (4, "effective_from")
    assert found.reason_code == "overlapping_contracts"
    assert "C1 (line 2)" in found.reason
    assert "C2 (line 4)" in found.reason
    assert "2026-09-20" in found.reason
    assert make.ACCOUNT_NUMBER not in found.reason


@pytest.mark.parametrize(
    "second",
    [
        {"effective_from": "2026-09-21"},  # the end is exclusive: the next begins on that day
        {"effective_from": "2025-01-01", "effective_to": "2026-01-01"},
        {"account_id": "A000002"},
        {"merchant_id": "898310059990002"},
    ],
)
def test_contracts_that_follow_or_are_of_others_are_taken(second: Row) -> None:
    first = {"effective_to": "2026-09-21"}
    assert findings("contracts", first, {"contract_id": "C2", **second}) == []


def test_a_contract_inside_a_longer_one_is_found_behind_a_short_one() -> None:
    found = findings(
        "contracts",
        {},
        {"contract_id": "C2", "effective_from": "2026-02-01", "effective_to": "2026-03-01"},
        {"contract_id": "C3", "effective_from": "2026-05-01"},
    )
    assert codes(found) == [(3, "overlapping_contracts"), (4, "overlapping_contracts")]
    assert all("C1 (line 2)" in row.reason for row in found)


def test_days_that_cannot_be_read_have_their_own_finding_only() -> None:
    found = findings("contracts", {}, {"contract_id": "C2", "effective_from": "2026-13-01"})
    assert codes(found) == [(3, "not_a_date")]
    backwards = {"contract_id": "C2", "effective_to": "2025-01-01"}
    assert codes(findings("contracts", {}, backwards)) == [(3, "wrong_date")]


def test_days_without_a_contract_between_two_are_refused() -> None:
    second = {"contract_id": "C2", "effective_from": "2026-09-22"}
    (found,) = findings("contracts", {"effective_to": "2026-09-21"}, second)
    assert (found.line_number, found.reason_code) == (3, "gap_between_contracts")
    assert "C1 (line 2) and C2 (line 3)" in found.reason
    assert "from 2026-09-21 to 2026-09-22" in found.reason


def test_a_merchant_that_was_gone_leaves_no_gap() -> None:
    first = {"effective_to": "2026-09-21", "ended_on": "2026-09-20"}
    second = {"contract_id": "C2", "effective_from": "2026-09-22"}
    assert findings("contracts", first, second) == []


@pytest.mark.parametrize(
    "cycle", ["T+1", "T+2", "T+20", "weekly:MON", "weekly:SUN", "monthly:1", "monthly:28"]
)
def test_cycles_of_days_weeks_and_months_are_taken(cycle: str) -> None:
    assert findings("contracts", {"settlement_cycle": cycle}) == []


@pytest.mark.parametrize(
    "cycle",
    ["T+0", "D0", "T0", "T+21", "T+01", "weekly", "weekly:fri", "monthly:29", "monthly:0", "Q+1"],
)
def test_a_cycle_that_nobody_knows_is_refused_with_its_words(cycle: str) -> None:
    (found,) = findings("contracts", {"settlement_cycle": cycle})
    assert (found.line_number, found.field) == (2, "settlement_cycle")
    assert found.reason_code == "unknown_code"
    assert f"'{cycle}'" in found.reason
    assert "T+1 to T+20" in found.reason
    assert "monthly:last" in found.reason


# --- fee rules ------------------------------------------------------------------------------------


def test_two_rules_of_one_scope_and_priority_on_one_day_are_refused() -> None:
    (found,) = findings(
        "fee_rates", {"channel": "wechat"}, {"fee_rule_id": "F2", "channel": "wechat"}
    )
    assert (found.line_number, found.reason_code) == (3, "overlapping_fee_rates")
    assert "F1 (line 2)" in found.reason
    assert "F2 (line 3)" in found.reason


@pytest.mark.parametrize(
    "second",
    [
        {"channel": "wechat", "priority": "20"},
        {"priority": "20"},
        {"contract_id": "C2"},
        {"tier_from_minor": "100"},
        {"effective_from": "2026-09-21"},
    ],
)
def test_rules_that_differ_in_what_they_are_for_are_taken(second: Row) -> None:
    first = {"effective_to": "2026-09-21"} if "effective_from" in second else {}
    assert findings("fee_rates", first, {"fee_rule_id": "F2", **second}) == []


SCOPES = {
    "channel": ("wechat", "alipay"),
    "transaction_type": ("purchase", "preauth_completion"),
    "card_kind": ("debit", "credit"),
    "card_region": ("domestic", "foreign"),
    "merchant_category_code": ("5411", "7011"),
}


@pytest.mark.parametrize("field", SCOPES)
def test_rules_that_one_sale_fits_while_nothing_decides_are_refused(field: str) -> None:
    """The narrower of two rules goes first by its priority; nothing else says that it does."""
    one, other = SCOPES[field]
    (found,) = findings("fee_rates", {}, {"fee_rule_id": "F2", field: one})
    assert (found.line_number, found.reason_code) == (3, "tied_fee_rates")
    assert "F1 (line 2) and F2 (line 3)" in found.reason
    assert "2026-01-01" in found.reason
    assert findings("fee_rates", {field: other}, {"fee_rule_id": "F2", field: one}) == []
    assert findings("fee_rates", {}, {"fee_rule_id": "F2", field: one, "priority": "9"}) == []


def test_rules_that_cross_are_tied() -> None:
    crossing = ({"channel": "wechat"}, {"fee_rule_id": "F2", "transaction_type": "purchase"})
    assert codes(findings("fee_rates", *crossing)) == [(3, "tied_fee_rates")]


@pytest.mark.parametrize("code", ["541", "54110", "54A1", "５４１１"])
@pytest.mark.parametrize("kind", ["contracts", "fee_rates"])
def test_a_category_that_is_not_four_digits_is_refused(kind: str, code: str) -> None:
    assert codes(findings(kind, {"merchant_category_code": code})) == [(2, "wrong_form")]
    assert findings(kind, {"merchant_category_code": "5411"}) == []


BEFORE, AFTER = (
    {"effective_to": "2026-05-01"},
    {"fee_rule_id": "F2", "effective_from": "2026-05-02"},
)


def test_days_without_a_rule_between_two_are_refused() -> None:
    (found,) = findings("fee_rates", BEFORE, AFTER)
    assert (found.line_number, found.reason_code) == (3, "gap_between_fee_rates")
    assert "F1 (line 2) and F2 (line 3)" in found.reason
    assert "2026-05-01" in found.reason


@pytest.mark.parametrize(
    ("between", "is_taken"),
    [
        ({"effective_from": "2026-05-01", "effective_to": "2026-05-02"}, True),
        ({"priority": "99"}, True),
        ({"priority": "99", "channel": "wechat"}, False),
        ({"contract_id": "C2"}, False),
        ({"priority": "99", "tier_from_minor": "5"}, False),
    ],
)
def test_a_rule_for_as_much_fills_the_gap(between: Row, *, is_taken: bool) -> None:
    found = findings("fee_rates", BEFORE, AFTER, {"fee_rule_id": "F3", **between})
    gaps = [row for row in found if row.reason_code == "gap_between_fee_rates"]
    assert (gaps == []) is is_taken


@pytest.mark.parametrize(
    ("base", "tier", "day"),
    [
        (None, {}, "2026-01-01"),
        ({"channel": "wechat"}, {}, "2026-01-01"),
        ({"channel": "wechat"}, {"channel": "alipay"}, "2026-01-01"),
        ({"contract_id": "C2"}, {}, "2026-01-01"),
        ({"effective_to": "2026-05-01"}, {}, "2026-05-01"),
        ({"effective_from": "2026-02-01"}, {"effective_to": "2026-06-01"}, "2026-01-01"),
    ],
)
def test_a_tier_without_a_base_on_some_day_is_refused(
    base: Row | None, tier: Row, day: str
) -> None:
    upper = {"fee_rule_id": "F2", "tier_from_minor": "1000000", **tier}
    found = findings("fee_rates", *([base] if base is not None else []), upper)
    assert [row.reason_code for row in found] == ["tier_without_base"]
    assert day in found[0].reason
    assert "F2 (line" in found[0].reason


@pytest.mark.parametrize(
    "bases",
    [
        [{}],
        [{"channel": "wechat"}],
        [{}, {"fee_rule_id": "F3", "effective_to": "2026-03-01", "priority": "20"}],
        [
            {"effective_to": "2026-05-01"},
            {"fee_rule_id": "F3", "channel": "wechat", "effective_from": "2026-05-01"},
        ],
    ],
)
def test_a_tier_with_a_base_as_wide_on_each_day_is_taken(bases: Sequence[Row]) -> None:
    upper = {"fee_rule_id": "F2", "tier_from_minor": "1000000", "channel": "wechat"}
    assert findings("fee_rates", *bases, upper) == []


MONTHS = [f"2026-{month:02}-01" for month in range(1, 8)]
SPANS = st.tuples(st.integers(0, 5), st.integers(1, 6)).filter(lambda span: span[0] < span[1])


@hypothesis_settings(deadline=None, max_examples=examples(60))
@given(spans=st.lists(SPANS, max_size=5))
def test_overlaps_are_those_that_counting_days_finds(spans: list[tuple[int, int]]) -> None:
    """A month that two contracts share, or none has between them, is what is flagged."""
    rows = [
        {
            "contract_id": f"C{number}",
            "effective_from": MONTHS[start],
            "effective_to": MONTHS[end],
        }
        for number, (start, end) in enumerate(spans)
    ]
    found = {row.reason_code for row in findings("contracts", *rows)}
    counts = [sum(start <= month < end for start, end in spans) for month in range(6)]
    assert ("overlapping_contracts" in found) is any(count > 1 for count in counts)
    used = [month for month, count in enumerate(counts) if count]
    gaps = used and 0 in counts[used[0] : used[-1]]
    assert ("gap_between_contracts" in found) is bool(gaps)


# --- landing and close ----------------------------------------------------------------------------


def deliver(
    place: Settings,
    contracts: Sequence[Row],
    rules: Sequence[Row],
    *,
    first_date: str = "2026-09-24",
) -> None:
    """Land a whole date with these terms."""
    rows = {
        "contracts": [{**CONTRACT, **row} for row in contracts],
        "fee_rates": [{**RULE, **row} for row in rules],
        "operating_window": [{"first_accounting_date": first_date}],
    }
    made = {f"{kind}_{DAY:%Y%m%d}.csv": make.platform_file(kind, rows[kind]) for kind in rows}
    for name, content in {**whole_day(), **made}.items():
        put(place, name, content)
    landing.land(place)


def complete(place: Settings) -> None:
    closing.complete(
        steps.Step(place, days.ACCOUNTING_CLOSE, DAY, "nobody", "complete", now=NOW, waits=False)
    )


def test_overlapping_contracts_do_not_land_and_a_corrected_file_does(place: Settings) -> None:
    overlapping = [CONTRACT, {**CONTRACT, "contract_id": "C2"}]
    put(place, CONTRACTS, make.platform_file("contracts", overlapping))
    (file,) = landing.land(place).files
    assert file.status == "quarantined"
    assert "C1 (line 2) and C2 (line 3)" in (file.reason or "")
    ended = [
        {**CONTRACT, "effective_to": "2026-09-01"},
        {**overlapping[1], "effective_from": "2026-09-01"},
    ]
    put(place, CONTRACTS, make.platform_file("contracts", ended))
    assert statuses(landing.land(place)) == {CONTRACTS: "landed"}


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("contracts", [CONTRACT, {**CONTRACT, "contract_id": "C2"}]),
        ("fee_rates", [RULE, {**RULE, "fee_rule_id": "F2", "channel": "wechat"}]),
    ],
)
def test_the_database_refuses_what_prices_a_sale_twice(
    place: Settings, monkeypatch: pytest.MonkeyPatch, kind: str, rows: Sequence[Row]
) -> None:
    """Also where the door does not look: by a constraint at the end of what lands it."""
    monkeypatch.setattr(csv_files, "_WHOLE_FILE_CHECKS", {})
    name = f"{kind}_{DAY:%Y%m%d}.csv"
    put(place, name, make.platform_file(kind, rows))
    (file,) = landing.land(place).files
    assert file.status == "quarantined"
    assert "ExclusionViolation" in (file.reason or "")
    ended = {"effective_to": "2026-09-01"}, {"effective_from": "2026-09-01"}
    put(
        place,
        name,
        make.platform_file(kind, [{**row, **days} for row, days in zip(rows, ended, strict=True)]),
    )
    assert statuses(landing.land(place)) == {name: "landed"}


def test_a_contract_without_a_price_stops_the_close_before_it_computes(place: Settings) -> None:
    second = {"contract_id": "C2", "merchant_id": "898310059990002", "account_id": "A000002"}
    deliver(
        place,
        [{}, second],
        [{}, {"fee_rule_id": "F2", "contract_id": "C2", "effective_to": "2026-09-24"}],
    )
    with pytest.raises(closing.CloseError) as caught:
        complete(place)
    assert "no fee rule prices 1 contracts" in caught.value.what
    assert (
        "contract C2 (contracts_20260924.csv line 3) is in force on 2026-09-24; "
        "the nearest rule is F2 (line 3)"
    ) in caught.value.where


def test_a_contract_that_no_rule_names_is_told_so(place: Settings) -> None:
    deliver(place, [{}], [{"contract_id": "C7"}])
    with pytest.raises(closing.CloseError, match="no fee rule prices") as caught:
        complete(place)
    assert caught.value.where.endswith("is in force on 2026-09-24; no rule names it")


@pytest.mark.parametrize(
    ("contracts", "rules"),
    [
        ([{}], [{}]),
        ([{}], []),  # a file without a single rule is not a gap but no file of rules at all
        ([{"effective_to": "2026-09-24"}], [{"contract_id": "C7"}]),
        ([{"effective_from": "2026-09-25"}], [{"contract_id": "C7"}]),
        # Of the first date no sale is of the day before: the platform was not there.
        ([{}], [{"effective_from": "2026-09-24"}]),
    ],
)
def test_contracts_with_a_price_or_out_of_force_close(
    place: Settings, contracts: Sequence[Row], rules: Sequence[Row]
) -> None:
    deliver(place, contracts, rules)
    complete(place)


def test_sales_of_the_last_hour_of_the_day_before_need_a_price_too(place: Settings) -> None:
    deliver(place, [{}], [{"effective_from": "2026-09-24"}], first_date="2026-09-20")
    found = landing.unpriced_contracts(place, DAY)
    assert [(contract.contract_id, str(contract.day)) for contract in found] == [
        ("C1", "2026-09-23")
    ]


# --- settlement cycles ----------------------------------------------------------------------------


def test_the_database_takes_no_other_cycle(place: Settings) -> None:
    deliver(place, [{}], [{}])
    with (
        database.connect(place) as connection,
        pytest.raises(psycopg.errors.CheckViolation, match="settlement_cycle"),
    ):
        connection.execute("update raw.platform_contracts set settlement_cycle = 'T+0'")


@pytest.fixture
def calendar(place: Settings) -> Iterator[Settings]:
    """A place whose working days a test may change."""
    with database.connect(place) as connection:
        load_lists(connection, ["channel_currencies"])
        connection.execute("create table public.kept_days as table reference.calendar_days")
    yield place
    with database.connect(place) as connection:
        connection.execute("truncate reference.calendar_days")
        connection.execute("insert into reference.calendar_days table public.kept_days")
        connection.execute("drop table public.kept_days, reference.channel_currencies")


def test_a_cycle_that_pays_after_the_list_of_working_days_stops_the_close(
    calendar: Settings,
) -> None:
    deliver(calendar, [{"settlement_cycle": "monthly:28"}], [{}])
    with database.connect(calendar) as connection:
        connection.execute("delete from reference.calendar_days where calendar_date > '2026-09-28'")
    days.refuse_unknown_due_dates(calendar, DAY)  # paid on Monday the 28th
    with database.connect(calendar) as connection:
        connection.execute(
            "update raw.platform_contracts set settlement_cycle = 'monthly:24' where"
            " accounting_date = %s",
            [DAY],
        )
    with pytest.raises(TieoutError, match="monthly:24 is due after 2026-09-28") as stopped:
        days.refuse_unknown_due_dates(calendar, DAY)
    assert "ends on 2026-09-28" in stopped.value.why
    assert "calendar-ends.md" in stopped.value.next_step


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("update {} set is_working_day = true where calendar_date = '2026-10-05'", "2026-10-05"),
        ("update {} set is_working_day = false where calendar_date = '2026-10-10'", "2026-10-10"),
        ("delete from {} where calendar_date = '2026-11-11'", "2026-11-11"),
        ("insert into {} values ('2027-01-01', false, '2026-12-31')", "2027-01-01"),
    ],
)
def test_another_working_day_long_after_the_date_stops_the_close(
    calendar: Settings, change: str, says: str
) -> None:
    """A day that somebody makes a working one would pay weeks and months earlier."""
    days.refuse_other_calendar(calendar, DAY)
    with database.connect(calendar) as connection:
        connection.execute(change.format("reference.calendar_days"))
    with pytest.raises(TieoutError, match="are not those of the reference data") as stopped:
        days.refuse_other_calendar(calendar, DAY)
    assert says in stopped.value.where
