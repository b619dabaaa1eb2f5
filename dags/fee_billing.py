"""Bill the fees of gross merchants and collect them: notices, direct debits, the bank's answers.

**Purpose.** Every day at 14:00 in Shanghai: the fees billed apart (收支两条线) of each month that
has ended become numbered bills once its dates are sealed; merchants get notices, due bills are
debited by mandate, and the bank's answers are applied. The run's date is its parameter
`business_date`, else its logical date in Asia/Shanghai, which is the day it runs. A day whose
ledger is closed is skipped; before the first month has ended there is nothing to do.

**Inputs.** Sealed clearing entries; mandates and credit notes that two people decided; status
reports on direct debits (pain.002) in the inbox's folder `collections`; the fee account's
statements; the limits and steps of the reference data.

**Outputs.** `settlement.fee_bills` and their lines; notices (CSV, XLSX), direct-debit files
(pain.008) and inquiries in the outbox; the events that the ledger of the day books.

**Fails when** a report is not understood, a file lies in the outbox with other content, or a
contract says no way of collecting. A debit without an answer is unknown: it is asked about, named
each day and not debited again. Such errors are not retried; a lost connection is. A bill, a debit
and a reminder are made once, however often a run is.

**Owner.** settlement and treasury (结算与资金)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, setup, task, teardown

RETRY = {"retries": 2, "retry_delay": timedelta(seconds=30)}
SHORT = {**RETRY, "execution_timeout": timedelta(minutes=5)}
# Money is asked for here: a failure is looked at by a person before it is tried again.
MONEY = {
    "retries": 0,
    "retry_delay": timedelta(seconds=30),
    "execution_timeout": timedelta(minutes=30),
}


@dag(
    schedule=CronTriggerTimetable("0 14 * * *", timezone="Asia/Shanghai"),
    start_date=datetime.fromisoformat("2026-01-01T14:00:00+08:00"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    doc_md=__doc__,
    tags=["fees", "daily", "money"],
    default_args={"owner": "settlement"},
    params={
        "business_date": Param(
            None,
            type=["null", "string"],
            format="date",
            description="日期 Day of the bills; empty: the run's logical date.",
        )
    },
)
def fee_billing() -> None:
    """Order the steps of `tieout.runs.billing`."""

    @task(**SHORT)
    def ready(**context: Any) -> dict[str, int]:
        """Skip a day before the first month has ended, or whose ledger is closed."""
        from tieout.runs import billing, steps

        return steps.perform(billing.ready, context)

    @setup
    @task(**SHORT)
    def claim(**context: Any) -> dict[str, int]:
        """Take the day."""
        from tieout.runs import billing, steps

        return steps.perform(billing.claim, context)

    @task(**SHORT)
    def land(**context: Any) -> dict[str, int]:
        """Land the bank's statements."""
        from tieout.runs import billing, steps

        return steps.perform(billing.land, context)

    @task(**SHORT)
    def bill(**context: Any) -> dict[str, int]:
        """Make the bills of months that have ended."""
        from tieout.runs import billing, steps

        return steps.perform(billing.bill, context)

    @task(**SHORT)
    def notify(**context: Any) -> dict[str, int]:
        """Write the notices."""
        from tieout.runs import billing, steps

        return steps.perform(billing.notify, context)

    @task(**SHORT)
    def answer(**context: Any) -> dict[str, int]:
        """Apply the bank's answers; ask about what has none."""
        from tieout.runs import billing, steps

        return steps.perform(billing.answer, context)

    @task(**MONEY)
    def collect(**context: Any) -> dict[str, int]:
        """Order debits, write their files, note reminders."""
        from tieout.runs import billing, steps

        return steps.perform(billing.collect, context)

    @task(**SHORT)
    def publish(**context: Any) -> dict[str, int]:
        """Name what a person has to look at."""
        from tieout.runs import billing, steps

        return steps.perform(billing.publish, context)

    @teardown
    @task(**SHORT)
    def release(**context: Any) -> dict[str, int]:
        """Give the day back."""
        from tieout.runs import billing, steps

        return steps.perform(billing.release, context)

    claimed, released = claim(), release()
    made = ready() >> claimed >> land() >> bill() >> notify()
    made >> answer() >> collect() >> publish() >> released
    claimed >> released


DAG = fee_billing()
