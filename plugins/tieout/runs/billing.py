"""The steps of a day of fee bills, in the order the DAG `fee_billing` runs them.

ready -> claim -> land -> bill -> notify -> answer -> collect -> publish, and release at the end
"""

from __future__ import annotations

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.progress import say
from tieout.dates import days, workdays
from tieout.runs.steps import Counts, Step, forget_failure

__all__ = [
    "answer",
    "bill",
    "claim",
    "collect",
    "land",
    "notify",
    "publish",
    "ready",
    "release",
]


class FeeBillingError(TieoutError):
    """Something about fee bills waits for a person, or for the bank."""


# Bills there are, or a month that has ended since the first sealed date.
_ANYTHING = """
    select
        exists (select 1 from settlement.issued_bills)
        or exists (
            select 1
            from control.accounting_days
            where state = 'sealed' and accounting_date < date_trunc('month', %(day)s::date)
        )
"""
_DAY_STATE = "select state from control.accounting_days where accounting_date = %s"
# What a bank did not answer, and what too much came for: both are for people.
_TO_LOOK_AT = """
    select bill_no, account_id, status
    from settlement.fee_bills
    where status in ('unknown', 'overpaid')
    order by bill_no
"""


def ready(step: Step) -> Counts:
    """Say that there are bills, or that there may be.

    Raises:
        NothingToDo: no month has ended, or the day's ledger is closed already.
    """
    database.migrate(step.settings)
    with database.connect(step.settings) as connection:
        anything = connection.execute(_ANYTHING, {"day": step.day}).fetchone()
        state = connection.execute(_DAY_STATE, [step.day]).fetchone()
    if anything is None or not anything[0]:
        raise days.NothingToDo(f"no month of sealed dates has ended before {step.day}")
    if state is not None and state[0] in ("closed", "sealed"):
        raise days.NothingToDo(f"{step.day} is {state[0]}: a later day makes up for it")
    return {}


def claim(step: Step) -> Counts:
    """Take the day: its close reads what happens to bills, and waits."""
    days.claim(step.settings, step.kind, step.day, step.owner)
    forget_failure(step.settings, step.kind, step.day)
    return {}


def land(step: Step) -> Counts:
    """Fetch and land the bank's statements up to the day: what was collected."""
    from tieout import fetching, landing  # noqa: PLC0415  parsers are heavy

    fetching.fetch(step.settings, step.day, channels=["bank"])
    report = landing.land(step.settings, through_date=step.day, channels=["bank"])
    return {name: int(count) for name, count in report.counts.items()}


def bill(step: Step) -> Counts:
    """Make the bills of each month that has ended and is sealed."""
    from tieout import billing  # noqa: PLC0415  the workbook's library is heavy

    days.require_lease(step.settings, step.kind, step.day, step.owner)
    return {"rows": billing.issue(step.settings, step.day)}


def notify(step: Step) -> Counts:
    """Put the notices of the day's bills into the outbox."""
    from tieout import billing  # noqa: PLC0415  as above

    return {"files": billing.write_notices(step.settings, step.day)}


def answer(step: Step) -> Counts:
    """Apply the bank's answers, and ask about what has none.

    Raises:
        FeeBillingError: a report was not understood; everything else of the step is done.
    """
    from tieout import billing  # noqa: PLC0415  as above

    days.require_lease(step.settings, step.kind, step.day, step.owner)
    report = billing.read_answers(step.settings, step.day)
    if report.inquiry_url is not None:
        say(f"{report.unknown_count} unknown debits are asked about: {report.inquiry_url}")
    if report.problems:
        raise FeeBillingError(
            what=f"{len(report.problems)} reports on direct debits were not understood",
            where="collections/ in the inbox",
            why="\n       ".join(report.problems),
            next_step="ask the bank; take a report that is not ours out of the inbox",
        )
    return {
        "files": report.report_count,
        "rows": report.answered_count,
        "collected": report.collected_count,
        "returned": report.returned_count,
        "silent": report.silent_count,
    }


def collect(step: Step) -> Counts:
    """Order what may be debited, put the files out, and note whom a reminder is due.

    On a day that is no working day nobody is debited.
    """
    from tieout import billing  # noqa: PLC0415  as above

    days.require_lease(step.settings, step.kind, step.day, step.owner)
    started = 0
    if workdays.is_working_day(step.day):
        started = billing.start(step.settings, step.day)
    report = billing.put_out(step.settings, step.day)
    for url in report.urls:
        say(f"direct debits: {url}")
    reminded = billing.remind(step.settings, step.day)
    return {"rows": started, "files": report.new_file_count, "reminders": reminded}


def publish(step: Step) -> Counts:
    """Name the bills that a person has to look at, and count the bills by status."""
    from tieout import billing  # noqa: PLC0415  as above

    with database.connect(step.settings) as connection:
        waiting = connection.execute(_TO_LOOK_AT).fetchall()
    for bill_no, account_id, status in waiting:
        say(f"bill {bill_no} of {account_id} is {status}: tieout bills show {bill_no}")
    counts: Counts = {}
    for each in billing.bills(step.settings):
        counts[each.status] = counts.get(each.status, 0) + 1
    return counts


def release(step: Step) -> Counts:
    """Give the day back."""
    days.release(step.settings, step.kind, step.day, step.owner)
    return {}
