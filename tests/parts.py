"""The parts of `make test`, how long each may take, and how long it took.

A part's minutes are those its tests kept workers busy, shared out among the workers: two parts run
at once, so no clock on the wall tells them apart. What exceeds its part moves cases to an option.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = [
    "APART", "BACKFILL_DAYS", "BACKFILL_DAYS_IN_FULL", "DAYS", "DAYS_IN_FULL", "EXAMPLES",
    "EXAMPLES_IN_FULL", "LONG", "PAID_WORLDS", "PARTS", "WORLDS", "WORLDS_IN_FULL", "Part", "draw",
    "examples", "left_out", "part_of", "place_of", "stack_left_out", "step", "table",
]  # fmt: skip

# What is drawn where nobody asks for another number, and what the same options should draw when
# there is time: before a release, and after a change of what they protect.
DAYS, DAYS_IN_FULL = 50, 200
WORLDS = WORLDS_IN_FULL = 200
# Worlds of accounts that are closed and paid; each kind of case is in them.
PAID_WORLDS = 120
# Of a hundred examples of a property. Hypothesis draws others in each run, but where it says not.
EXAMPLES, EXAMPLES_IN_FULL = 25, 100

# Dates that Airflow's own backfill closes.
BACKFILL_DAYS, BACKFILL_DAYS_IN_FULL = 4, 7

# Files that take minutes begin first, the longest before the others: one that begins last leaves a
# worker idle. The second makes its home itself while the first makes the one that is copied.
LONG = (
    "tests/integration/test_funds.py",
    "tests/integration/test_end_to_end.py",
    "tests/integration/test_backfill.py",
    "tests/integration/test_bank_lines.py",
    "tests/integration/test_terms.py",
    "tests/integration/test_corrections.py",
    "tests/integration/test_suspense.py",
    "tests/integration/",
    "tests/attacks/",
    "tests/guards/",
    "tests/dbt/",
    "tests/",
)
# Each of their tests may run in any worker: they fill what is left at the end.
APART = ("tests/integration/test_injections.py", "tests/attacks/test_harness.py")


@dataclass(frozen=True)
class Part:
    """Some folders or files of tests, and the minutes they may take on two cores."""

    name: str
    budget_minutes: int
    paths: tuple[str, ...]


# The first whose path a test's file begins with. Installation and `make close` have 5 minutes more,
# lint is in the check's.
PARTS = (
    Part(
        "oracle worlds",
        3,
        ("tests/integration/test_oracle.py", "tests/integration/test_oracle_payouts.py"),
    ),
    Part("guards, explainer", 4, ("tests/guards/", "tests/integration/test_explaining.py")),
    Part("attacks", 7, ("tests/attacks/",)),
    Part("stack", 3, ("tests/stack/",)),
    Part("check", 5, ("tests/unit/", "tests/dbt/test_dbt.py")),
    Part("the rest", 15, ("tests/",)),
)


def part_of(node_id: str) -> Part:
    """Return the part of a test."""
    return next(part for part in PARTS if node_id.startswith(part.paths))


def table(seconds: Iterable[tuple[str, float]], workers: int) -> Iterator[str]:
    """Yield a line for each part: tests, minutes, budget.

    Args:
        seconds: test and seconds of each phase (setup, call, teardown) of it.
        workers: how many ran at once.
    """
    spent = dict.fromkeys(PARTS, 0.0)
    tests: dict[Part, set[str]] = {part: set() for part in PARTS}
    for node_id, lasted in seconds:
        part = part_of(node_id)
        spent[part] += lasted
        tests[part].add(node_id)
    for part in PARTS:
        if tests[part]:
            minutes = spent[part] / workers / 60
            over = "  OVER ITS BUDGET" if minutes > part.budget_minutes else ""
            yield (
                f"{part.name:<17} {len(tests[part]):>5} tests {minutes:>5.1f} min"
                f" of {part.budget_minutes}{over}"
            )


_drawn = {"examples": EXAMPLES}


def draw(examples_of_hundred: int) -> None:
    """Say how many of a hundred examples this run draws, before its tests are imported."""
    _drawn["examples"] = examples_of_hundred


def examples(in_full: int) -> int:
    """Return how many of a property's examples this run tries, at least one."""
    return max(1, in_full * _drawn["examples"] // EXAMPLES_IN_FULL)


def step(otherwise: int) -> int:
    """Return which cases of a list this run takes: each one in full, else one of so many."""
    return 1 if _drawn["examples"] == EXAMPLES_IN_FULL else otherwise


def left_out(days: int, worlds: int, of_hundred: int, backfill_days: int) -> Iterator[str]:
    """Yield a line for each kind of case that an option draws more of, with the command."""
    if days < DAYS_IN_FULL:
        yield (
            f"left to an option: {DAYS_IN_FULL - days} of {DAYS_IN_FULL} wrong days;"
            f' make attack ARGS="--days {DAYS_IN_FULL}"'
        )
    if worlds < WORLDS_IN_FULL:
        yield (
            f"left to an option: {WORLDS_IN_FULL - worlds} of {WORLDS_IN_FULL} oracle worlds;"
            f' make test ARGS="tests/integration/test_oracle.py --worlds {WORLDS_IN_FULL}"'
        )
    if of_hundred < EXAMPLES_IN_FULL:
        yield (
            f"left to an option: {EXAMPLES_IN_FULL - of_hundred} of {EXAMPLES_IN_FULL} examples of"
            f' each property; make test ARGS="tests/unit --examples {EXAMPLES_IN_FULL}"'
        )
        yield (
            "left to an option: two of three faults of a week's files; make test"
            f' ARGS="tests/integration/test_injections.py --examples {EXAMPLES_IN_FULL}"'
        )
    if backfill_days < BACKFILL_DAYS_IN_FULL:
        yield (
            f"left to an option: {BACKFILL_DAYS_IN_FULL - backfill_days} of {BACKFILL_DAYS_IN_FULL}"
            " dates of a backfill; make test"
            f' ARGS="tests/integration/test_backfill.py --backfill-days {BACKFILL_DAYS_IN_FULL}"'
        )


# What `--stack short` runs: up, files laid down through SFTP, a date closed by the
# scheduler, a decision of two users.
STACK_FOLDER = "tests/stack/"
STACK_SHORT = (
    "test_no_process_is_root", "test_no_container_that_stays", "test_the_drop_takes",
    "test_no_task_sees", "test_a_date_closes", "test_two_users_approve",
)  # fmt: skip


def stack_left_out(node_ids: Iterable[str], asked: str) -> set[str]:
    """Return the tests of the stack that ``--stack`` does not ask for: none, short or full."""
    stack = {node_id for node_id in node_ids if node_id.startswith(STACK_FOLDER)}
    if asked == "none":
        return stack
    short = {each for each in stack if each.partition("::")[2].startswith(STACK_SHORT)}
    return stack - short if asked == "short" else set()


def place_of(node_id: str) -> int:
    """Return where a test's file stands in the order of a run with workers."""
    if node_id.startswith(APART):
        return len(LONG)
    return next(place for place, path in enumerate(LONG) if node_id.startswith(path))
