"""The parts of a run: their paths are there, and what an option draws more of is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import parts

PROJECT = Path(__file__).resolve().parents[2]


def test_each_path_of_a_part_is_there() -> None:
    """A file that was renamed would fall into another part, or begin last."""
    named = [path for part in parts.PARTS for path in part.paths] + [*parts.LONG, *parts.APART]
    assert len(named) > 10
    assert [path for path in named if not (PROJECT / path).exists()] == []


def test_what_is_left_to_an_option_is_said_with_its_command() -> None:
    days, examples, faults, backfill = parts.left_out(
        parts.DAYS, parts.WORLDS, parts.EXAMPLES, parts.BACKFILL_DAYS
    )
    assert "150 of 200 wrong days" in days
    assert 'make attack ARGS="--days 200"' in days
    assert "75 of 100 examples" in examples
    assert 'make test ARGS="tests/unit --examples 100"' in examples
    assert 'test_injections.py --examples 100"' in faults
    assert "3 of 7 dates of a backfill" in backfill
    assert 'test_backfill.py --backfill-days 7"' in backfill
    in_full = (
        parts.DAYS_IN_FULL, parts.WORLDS_IN_FULL, parts.EXAMPLES_IN_FULL,
        parts.BACKFILL_DAYS_IN_FULL,
    )  # fmt: skip
    assert list(parts.left_out(*in_full)) == []
    assert len(list(parts.left_out(1, 1, 1, 1))) == 5


def test_in_full_every_case_of_a_list_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parts._drawn, "examples", parts.EXAMPLES_IN_FULL)
    assert parts.step(2) == 1
    monkeypatch.setitem(parts._drawn, "examples", parts.EXAMPLES_IN_FULL - 1)
    assert parts.step(2) == 2


def test_a_run_draws_the_share_of_examples_that_it_is_asked_for(
    pytestconfig: pytest.Config,
) -> None:
    asked = pytestconfig.getoption("examples")
    assert parts.examples(100) == asked
    seen.clear()
    test_a_property()
    assert len(seen) == parts.examples(40)
    try:
        parts.draw(100)
        assert parts.examples(60) == 60
        parts.draw(1)
        assert parts.examples(60) == 1, "at least one"
    finally:
        parts.draw(asked)
    changed = [
        path for path in UNIT.glob("test_*.py") if re.search(WITHOUT_SHARE, path.read_text())
    ]
    assert changed == [], "a number of examples that no option changes"


UNIT = Path(__file__).parent
WITHOUT_SHARE = r"max_examples=[0-9]"
seen: list[int] = []


@hypothesis_settings(max_examples=parts.examples(40), deadline=None, database=None)
@given(number=st.integers())
def test_a_property(number: int) -> None:
    seen.append(number)


def test_long_files_begin_first_and_what_fills_the_end_is_last() -> None:
    in_order = [*(f"{path}::test" for path in parts.LONG if path.endswith(".py"))]
    in_order += ["tests/integration/test_oracle.py::test", "tests/attacks/test_held.py::test"]
    in_order += ["tests/unit/test_parts.py::test", "tests/attacks/test_harness.py::test"]
    places = [parts.place_of(node_id) for node_id in in_order]
    assert len(places) > 8
    assert places == sorted(set(places))


def test_the_stack_runs_only_where_it_is_asked_for() -> None:
    text = (PROJECT / "tests/stack/test_stack.py").read_text()
    names = [line[4:].split("(")[0] for line in text.splitlines() if line.startswith("def test_")]
    assert len(names) > 5
    stack = {f"{parts.STACK_FOLDER}test_stack.py::{name}" for name in names}
    others = {"tests/unit/test_parts.py::test_no_process_is_root"}
    assert parts.stack_left_out(stack | others, "none") == stack
    assert parts.stack_left_out(stack | others, "full") == set()
    short = stack - parts.stack_left_out(stack | others, "short")
    assert len(short) == len(parts.STACK_SHORT)
