"""Close what waits: dates that a late or corrected file opened, or that waited for a file.

**Purpose.** Every hour from 10:30 to 22:30 in Shanghai, look for files that have come since for
unpaid dates, and close the dates that wait, in order, with nobody at the command line. A date waits
when it was closed and a file has opened it again, or when its own run (`accounting_close`) has
begun it and not closed it; those behind it wait with it. The order is that of `tieout close`. A
sealed date for which a file has come is restated: computed beside what was paid, and compared.

**Inputs.** As `accounting_close`, of every unpaid accounting date before the run's day. The run's
day is its parameter `run_date`, else its logical date in Asia/Shanghai.

**Outputs.** As `accounting_close`, for each date that was closed. Of a sealed date
`control.restatements`, differences, and rows in schemas of their own; nothing sealed changes.

**Waits** for nothing. A date that still lacks a file, or that another run works on, stays as it is,
with those behind it, and the run says so without failing: the date's own run has.

**Fails when** a date that has all its files does not close; the dates before it are closed. When a
sealed date cannot be restated: each run tries again, five times. When a store cannot be read. A
lost connection is tried again; a date that was closed meanwhile is not.

**Owner.** clearing operations (清算运营)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, task

RETRY = {"retries": 2, "retry_delay": timedelta(seconds=30)}
SHORT = {**RETRY, "execution_timeout": timedelta(minutes=5)}
LONG = {**RETRY, "execution_timeout": timedelta(hours=2)}


@dag(
    schedule=CronTriggerTimetable("30 10-22 * * *", timezone="Asia/Shanghai"),
    start_date=datetime.fromisoformat("2026-01-01T10:30:00+08:00"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    doc_md=__doc__,
    tags=["close", "hourly"],
    default_args={"owner": "clearing-operations"},
    params={
        "run_date": Param(
            None,
            type=["null", "string"],
            format="date",
            description="运行日期 Close what waits before this day; empty: the run's logical date.",
        )
    },
)
def accounting_reclose() -> None:
    """Order the steps of `tieout.runs.reclosing`."""

    @task(**SHORT)
    def ready(**context: Any) -> dict[str, int]:
        """Skip where every date before the day is paid."""
        from tieout.runs import reclosing, steps

        return steps.perform(reclosing.ready, context)

    @task(**LONG)
    def land(**context: Any) -> dict[str, int]:
        """Fetch and land what has come since for unpaid dates."""
        from tieout.runs import reclosing, steps

        return steps.perform(reclosing.land, context)

    @task(**LONG)
    def close(**context: Any) -> dict[str, int]:
        """Close the dates that wait, one after the other, up to the first that cannot be."""
        from tieout.runs import reclosing, steps

        return steps.perform(reclosing.close, context)

    @task(**LONG, trigger_rule="none_failed")
    def restate(**context: Any) -> dict[str, int]:
        """Compute sealed dates for which a file has come beside what was paid."""
        from tieout.runs import reclosing, steps

        return steps.perform(reclosing.restate, context)

    ready() >> land() >> close() >> restate()


DAG = accounting_reclose()
