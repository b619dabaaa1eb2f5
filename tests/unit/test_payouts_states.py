"""The life of an attempt: every transition, and what a report may never do."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tieout.payouts.states import (
    LIVE_STATES,
    STATES,
    TRANSITIONS,
    State,
    combine,
    may_follow,
    may_start_attempt,
    step,
)

REPORTS = st.sampled_from(["accepted", "paid", "failed", "returned"])
RULING_18 = {
    (None, "created"),
    ("created", "submitted"),
    ("created", "failed"),
    ("submitted", "accepted"),
    ("submitted", "paid"),
    ("submitted", "failed"),
    ("submitted", "unknown"),
    ("accepted", "paid"),
    ("accepted", "failed"),
    ("accepted", "unknown"),
    ("unknown", "paid"),
    ("unknown", "failed"),
    ("failed", "paid"),
    ("paid", "returned"),
}


def _run(reports: list[State]) -> list[State]:
    """Return the history of an attempt that was submitted and then met these reports."""
    history: list[State] = ["created", "submitted"]
    for report in reports:
        decided = step(history[-1], report)
        if decided.new is not None:
            history.append(decided.new)
    return history


def test_the_table_is_the_ruling() -> None:
    pairs = {(before, after) for before, afters in TRANSITIONS.items() for after in afters}
    assert pairs == RULING_18
    assert set(TRANSITIONS) == STATES | {None}


@given(st.lists(REPORTS, max_size=12))
def test_every_history_follows_the_table(reports: list[State]) -> None:
    history = _run(reports)
    for before, after in itertools.pairwise(history):
        assert may_follow(before, after)


@given(st.lists(REPORTS, max_size=12))
def test_a_paid_attempt_stays_paid_or_comes_back(reports: list[State]) -> None:
    history = _run(reports)
    if "paid" in history:
        assert history[history.index("paid") :] in (["paid"], ["paid", "returned"])
        assert not may_start_attempt("paid")


@given(st.lists(REPORTS, max_size=12), REPORTS)
def test_a_report_said_twice_changes_nothing_more(reports: list[State], last: State) -> None:
    assert _run([*reports, last]) == _run([*reports, last, last])


@given(st.sampled_from(sorted(STATES)), st.frozensets(REPORTS, min_size=1))
def test_a_message_never_breaks_the_table(current: State, reported: frozenset[State]) -> None:
    decided = combine(current, reported)
    if decided.new is not None:
        assert may_follow(current, decided.new)
    if {"paid", "failed"} <= reported:
        assert decided.contradiction is not None
        assert decided.new in ("unknown", None)


@given(st.lists(REPORTS, max_size=12))
def test_a_new_attempt_waits_for_the_end_of_the_last(reports: list[State]) -> None:
    state = _run(reports)[-1]
    assert may_start_attempt(state) == (state in ("failed", "returned"))
    assert (state in LIVE_STATES) == (not may_start_attempt(state))


def test_a_rejection_after_payment_is_told_and_changes_nothing() -> None:
    decided = step("paid", "failed")
    assert decided.new is None
    assert decided.contradiction is not None


def test_payment_after_a_rejection_is_kept() -> None:
    assert step("failed", "paid").new == "paid"
    assert step("failed", "accepted").contradiction is not None


def test_old_news_changes_nothing() -> None:
    decided = step("paid", "accepted")
    assert decided.new is None
    assert decided.contradiction is None
