"""The parts of a run: their paths are there, and what an option draws more of is said."""

from __future__ import annotations

from pathlib import Path

import parts

PROJECT = Path(__file__).resolve().parents[2]


def test_each_path_of_a_part_is_there() -> None:
    """A file that was renamed would fall into another part, or begin last."""
    named = [path for part in parts.PARTS for path in part.paths] + [*parts.LONG, *parts.APART]
    assert len(named) > 10
    assert [path for path in named if not (PROJECT / path).exists()] == []


def test_what_is_left_to_an_option_is_said_with_its_command() -> None:
    (line,) = parts.left_out(parts.DAYS, parts.WORLDS)
    assert "140 of 200 wrong days" in line
    assert 'make attack ARGS="--days 200"' in line
    assert list(parts.left_out(parts.DAYS_IN_FULL, parts.WORLDS_IN_FULL)) == []
    assert len(list(parts.left_out(1, 1))) == 2


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
