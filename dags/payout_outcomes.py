"""Read what the bank says about the payouts, pay again, ask, and show each payout's status.

**Purpose.** Every 15 minutes from 9:00 to 20:45 in Shanghai status reports, debits and returns are
read and applied to the attempts they name, of whatever payment date; what failed or came back with
a reason that is repeated gets a new attempt, and the bank is asked about what is unknown. The run's
date is its parameter `payment_date`, else its logical date in Asia/Shanghai, which is the day it
runs. A day on which nothing was ever submitted is skipped; a run with nothing new computes nothing.

**Inputs.** Status reports (pain.002), bank statements and notifications up to the date, in the
inbox; the attempts; the policies and limits of the reference data.

**Outputs.** `payout.attempt_events` (append-only), `payout.new_attempts` with their payment files,
inquiries in the outbox, and, for each payment date about which something new was said, its
partition of `payout.payout_status`.

**Fails when** a report names an unknown payment or code, or contradicts what is known: nothing
is assumed from it. An unknown payout is never sent again, and is named with its age once a day
until it has ended. Such errors are not retried; a lost
connection is, and a report applied once is never applied again.

**Owner.** settlement and treasury (结算与资金)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, setup, task, teardown

RETRY = {"retries": 2, "retry_delay": timedelta(seconds=30)}
SHORT = {**RETRY, "execution_timeout": timedelta(minutes=5)}
LONG = {**RETRY, "execution_timeout": timedelta(hours=1)}


@dag(
    schedule=CronTriggerTimetable("*/15 9-20 * * *", timezone="Asia/Shanghai"),
    start_date=datetime.fromisoformat("2026-01-01T09:00:00+08:00"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=3),
    doc_md=__doc__,
    tags=["payout", "daily"],
    default_args={"owner": "settlement"},
    params={
        "payment_date": Param(
            None,
            type=["null", "string"],
            format="date",
            description="日期 Date up to which answers are read; empty: the run's logical date.",
        )
    },
)
def payout_outcomes() -> None:
    """Order the steps of `tieout.runs.answers`."""

    @task(**SHORT)
    def ready(**context: Any) -> dict[str, int]:
        """Skip a day on which nothing was ever submitted."""
        from tieout.runs import answers, steps

        return steps.perform(answers.ready, context)

    @setup
    @task(**SHORT)
    def claim(**context: Any) -> dict[str, int]:
        """Take the date."""
        from tieout.runs import answers, steps

        return steps.perform(answers.claim, context)

    @task(**SHORT)
    def land(**context: Any) -> dict[str, int]:
        """Land the bank's statements."""
        from tieout.runs import answers, steps

        return steps.perform(answers.land, context)

    @task(**LONG)
    def apply(**context: Any) -> dict[str, int]:
        """Apply reports and bank lines to the attempts."""
        from tieout.runs import answers, steps

        return steps.perform(answers.apply, context)

    @task(**SHORT)
    def send(**context: Any) -> dict[str, int]:
        """Pay again by policy, and ask the bank about what is unknown."""
        from tieout.runs import answers, steps

        return steps.perform(answers.send, context)

    @task(**LONG)
    def build(**context: Any) -> dict[str, int]:
        """Compute the status tables (dbt)."""
        from tieout.runs import answers, steps

        return steps.perform(answers.build, context)

    @task(**SHORT)
    def publish(**context: Any) -> dict[str, int]:
        """Count the payouts by status."""
        from tieout.runs import answers, steps

        return steps.perform(answers.publish, context)

    @teardown
    @task(**SHORT)
    def release(**context: Any) -> dict[str, int]:
        """Give the date back."""
        from tieout.runs import answers, steps

        return steps.perform(answers.release, context)

    claimed, released = claim(), release()
    ready() >> claimed >> land() >> apply() >> send() >> build() >> publish() >> released
    claimed >> released


DAG = payout_outcomes()
