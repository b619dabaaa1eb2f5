"""The steps of a DAG one after the other, without Airflow: for homes whose subject is the data.

The order is the DAG's own, each step works as its role, a failure is noted, and what was claimed is
given back: as `dag.test` does it, without a supervisor for each task. Airflow itself runs the week
of `tests/integration/test_end_to_end.py`, `make close`, `tests/dags` and `tests/stack`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, date, datetime
from types import ModuleType
from typing import Any, Final

from tieout.core.settings import Settings
from tieout.dates import days
from tieout.runs import answers, billing, closing, paying, runner, steps

__all__ = ["run_here"]

MODULES: Final[dict[str, ModuleType]] = {
    days.ACCOUNTING_CLOSE: closing,
    days.SETTLEMENT_PAYOUT: paying,
    days.PAYOUT_OUTCOMES: answers,
    days.FEE_BILLING: billing,
}
RELEASE: Final = "release"


def run_here(settings: Settings, kind: str, day: date) -> str:
    """Run the steps of a kind for a date; return the state a run of Airflow would have."""
    order = [task.task_id for task in runner._load_dag(settings, kind).topological_sort()]
    assert order[0] == "ready"
    assert RELEASE in order
    owner = days.run_owner(None)
    with (
        runner._output_to(runner.log_path(settings, kind, day)) as terminal,
        steps.listening(runner._reporter(terminal)),
    ):
        state, claimed = "success", False
        for name in order:
            if name == RELEASE:
                continue
            step = steps.Step(settings, kind, day, owner, name, now=datetime.now(UTC))
            try:
                steps.run_step(_counting(getattr(MODULES[kind], name)), step)
            except days.NothingToDo as nothing:
                print(f"{name} is skipped: {nothing}")
                break
            except Exception as error:
                traceback.print_exc()
                steps.note_failure(settings, step, error)
                state = "failed"
                break
            claimed = claimed or name == "claim"
        if claimed:
            step = steps.Step(settings, kind, day, owner, RELEASE, now=datetime.now(UTC))
            steps.run_step(getattr(MODULES[kind], RELEASE), step)
    return state


def _counting(function: Callable[[steps.Step], Any]) -> Callable[[steps.Step], steps.Counts]:
    """Return a step that fails where a sensor would look again: a command does not wait."""

    def run(step: steps.Step) -> steps.Counts:
        found = function(step)
        assert not isinstance(found, str), f"{step.kind} of {step.day} waits: {found}"
        return found or {}

    return run
