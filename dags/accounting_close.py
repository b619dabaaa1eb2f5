"""Close one accounting date: from the files of the date to its clearing entries.

**Purpose.** Every day at 10:00 in Shanghai the date before is closed: its files are fetched and
landed, compared, posted and cleared. The run's date is its parameter `accounting_date`, else its
logical date in Asia/Shanghai (a run of 25 September 10:00 has the logical date 24 September 10:00).
Running an open date again replaces it exactly, and opens the later closed dates, which are then
closed again in order. A sealed date (it was paid) is skipped and not changed.

**Inputs.** The platform's, the channels' and the bank's files of dates up to the accounting
date, in the inbox (TIEOUT_INBOX) or fetched from the sources (TIEOUT_SOURCES); the reference
data; the close of the date before.

**Outputs.** The date's partition of `reconciliation.*`, `ledger.*` and `clearing.*`; files, bad
rows, seconds and the state of the date in `control.*`.

**Waits** for missing files until they are due (`due_minutes` of `reference.expected_files`).

**Fails when** a source does not answer, a file is late, has a bad row or a wrong control total, or
is in conflict; when the date before is not closed within half an hour; when an invariant of the
ledger or the reconciliation does not hold. Nothing half-built stays. Such errors are not retried;
a lost connection is.

**Owner.** clearing operations (清算运营)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, Param, dag, setup, task, teardown

RETRY = {"retries": 2, "retry_delay": timedelta(seconds=30)}
SHORT = {**RETRY, "execution_timeout": timedelta(minutes=5)}
LONG = {**RETRY, "execution_timeout": timedelta(hours=2)}


@dag(
    schedule=CronDataIntervalTimetable("0 10 * * *", timezone="Asia/Shanghai"),
    start_date=datetime.fromisoformat("2026-01-01T10:00:00+08:00"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    doc_md=__doc__,
    tags=["close", "daily"],
    default_args={"owner": "clearing-operations"},
    params={
        "accounting_date": Param(
            None,
            type=["null", "string"],
            format="date",
            description="会计日期 Accounting date to close; empty: the run's logical date.",
        )
    },
)
def accounting_close() -> None:
    """Order the steps of `tieout.runs.closing`."""

    @task.sensor(
        poke_interval=15,
        timeout=1800,
        mode="reschedule",
        retries=1,
        retry_delay=timedelta(seconds=30),
        execution_timeout=timedelta(minutes=5),
    )
    def ready(**context: Any) -> bool:
        """Wait in the database until the date before is closed; skip a sealed or foreign date."""
        from tieout.runs import closing, steps

        return steps.poke(closing.ready, context)

    @setup
    @task(**SHORT)
    def claim(**context: Any) -> dict[str, int]:
        """Take the date: no second run works on it, however that was started."""
        from tieout.runs import closing, steps

        return steps.perform(closing.claim, context)

    @task(**LONG)
    def fetch(**context: Any) -> dict[str, int]:
        """Copy into the inbox what the sources owe for the date."""
        from tieout.runs import closing, steps

        return steps.perform(closing.fetch, context)

    @task.sensor(poke_interval=60, timeout=14400, mode="reschedule", **LONG)
    def land(**context: Any) -> bool:
        """Land the files that have arrived; look again until the last missing one is due."""
        from tieout.runs import closing, steps

        return steps.await_files(closing.land, context)

    @task(**SHORT)
    def complete(**context: Any) -> dict[str, int]:
        """Refuse a date with missing or refused files."""
        from tieout.runs import closing, steps

        return steps.perform(closing.complete, context)

    @task(**LONG)
    def build(**context: Any) -> dict[str, int]:
        """Reconcile, post and clear (dbt)."""
        from tieout.runs import closing, steps

        return steps.perform(closing.build, context)

    @task(**SHORT)
    def check(**context: Any) -> dict[str, int]:
        """Check the result from outside dbt."""
        from tieout.runs import closing, steps

        return steps.perform(closing.check, context)

    @task(**SHORT)
    def publish(**context: Any) -> dict[str, int]:
        """Mark the date closed."""
        from tieout.runs import closing, steps

        return steps.perform(closing.publish, context)

    @teardown
    @task(**SHORT)
    def release(**context: Any) -> dict[str, int]:
        """Give the date back."""
        from tieout.runs import closing, steps

        return steps.perform(closing.release, context)

    claimed, released = claim(), release()
    fetched = fetch()
    ready() >> claimed >> fetched
    fetched >> land() >> complete() >> build() >> check() >> publish() >> released
    claimed >> released


DAG = accounting_close()
