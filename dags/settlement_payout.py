"""Pay one payment date: from closed accounting dates to payment files for the bank.

**Purpose.** Every day at 11:00 in Shanghai, on working days only, the accounting dates since the
last working day are settled: statements are computed, the balance equation (平衡校验) and the
gate's checks decide, and only a gate that passed lets the payment files out. The run's date is
its parameter `payment_date`, else its logical date in Asia/Shanghai, which is the day it runs. A
payment date that was submitted is skipped and not changed.

**Inputs.** The closes of the accounting dates it pays; the bank's statements up to the payment date
(the arrivals of the morning); payees and contracts.

**Outputs.** The payment date's partition of `settlement.*` and `gate.*`; the decision with its
fingerprint in `control.gate_decisions`; `payout.instructions` and attempts; the payment files
(pain.001) and the statements in the outbox; the seals of the dates it paid.

**Fails when** an accounting date it pays is not closed, an earlier payment date is not paid, a bank
file was refused, or nobody releases a gate that does not hold: `gate` names channel, term, amount,
`agreed` waits five hours for two people (`tieout pay` waits for nobody), and no payment file is
written. Such errors are not retried; a lost connection is. What pays is protected by the database
against being done twice.

**Owner.** settlement and treasury (结算与资金)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, setup, task, teardown

RETRY = {"retries": 2, "retry_delay": timedelta(seconds=30)}
SHORT = {**RETRY, "execution_timeout": timedelta(minutes=5)}
LONG = {**RETRY, "execution_timeout": timedelta(hours=1)}
# Money leaves here: a failure is looked at by a person before it is tried again.
MONEY = {
    "retries": 0,
    "retry_delay": timedelta(seconds=30),
    "execution_timeout": timedelta(minutes=30),
}


@dag(
    schedule=CronTriggerTimetable("0 11 * * *", timezone="Asia/Shanghai"),
    start_date=datetime.fromisoformat("2026-01-01T11:00:00+08:00"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    doc_md=__doc__,
    tags=["payout", "daily", "money"],
    default_args={"owner": "settlement"},
    params={
        "payment_date": Param(
            None,
            type=["null", "string"],
            format="date",
            description="付款日期 Payment date; empty: the run's logical date.",
        )
    },
)
def settlement_payout() -> None:
    """Order the steps of `tieout.runs.paying`."""

    @task.sensor(
        poke_interval=15,
        timeout=1800,
        mode="reschedule",
        retries=1,
        retry_delay=timedelta(seconds=30),
        execution_timeout=timedelta(minutes=5),
    )
    def ready(**context: Any) -> bool:
        """Wait until the dates it pays are closed; skip days on which nothing is paid."""
        from tieout.runs import paying, steps

        return steps.poke(paying.ready, context)

    @setup
    @task(**SHORT)
    def claim(**context: Any) -> dict[str, int]:
        """Take the payment date."""
        from tieout.runs import paying, steps

        return steps.perform(paying.claim, context)

    @task(**SHORT)
    def land_bank(**context: Any) -> dict[str, int]:
        """Land the bank's statements."""
        from tieout.runs import paying, steps

        return steps.perform(paying.land_bank, context)

    @task(**LONG)
    def build(**context: Any) -> dict[str, int]:
        """Compute statements and the equation (dbt)."""
        from tieout.runs import paying, steps

        return steps.perform(paying.build, context)

    @task(**LONG)
    def gate(**context: Any) -> dict[str, int]:
        """Decide; store the decision with its fingerprint (Great Expectations)."""
        from tieout.runs import paying, steps

        return steps.perform(paying.gate, context)

    @task.sensor(poke_interval=60, timeout=18000, mode="reschedule", **SHORT)
    def agreed(**context: Any) -> bool:
        """Go on where the gate holds; else wait until two people have released the date."""
        from tieout.runs import paying, steps

        return steps.poke(paying.agreed, context)

    @task(**MONEY)
    def instruct(**context: Any) -> dict[str, int]:
        """Write the instructions; the database checks the decision."""
        from tieout.runs import paying, steps

        return steps.perform(paying.instruct, context)

    @task(**MONEY)
    def submit(**context: Any) -> dict[str, int]:
        """Write the payment files, seal the dates."""
        from tieout.runs import paying, steps

        return steps.perform(paying.submit, context)

    @task(**LONG)
    def publish(**context: Any) -> dict[str, int]:
        """Show the payouts' status (dbt)."""
        from tieout.runs import paying, steps

        return steps.perform(paying.publish, context)

    @teardown
    @task(**SHORT)
    def release(**context: Any) -> dict[str, int]:
        """Give the payment date back."""
        from tieout.runs import paying, steps

        return steps.perform(paying.release, context)

    claimed, released = claim(), release()
    decided = ready() >> claimed >> land_bank() >> build() >> gate()
    decided >> agreed() >> instruct() >> submit() >> publish() >> released
    claimed >> released


DAG = settlement_payout()
