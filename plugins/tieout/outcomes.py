"""The steps of a payment date's outcomes, in the order the DAG `payout_outcomes` runs them.

ready -> claim -> land -> apply -> build -> publish, and release at the end
"""

from __future__ import annotations

from datetime import date

from tieout import database, days, steps, transform
from tieout.errors import TieoutError
from tieout.settings import Settings
from tieout.steps import Counts, Step

__all__ = ["apply", "build", "claim", "is_read", "land", "publish", "ready", "release"]


class OutcomeError(TieoutError):
    """The bank said something that was not understood."""


def ready(step: Step) -> Counts:
    """Count the payment dates there are outcomes of; outcomes wait for nothing.

    Raises:
        NothingToDo: nothing was submitted up to this date.
    """
    database.migrate(step.settings)
    dates = submitted_dates(step)
    if not dates:
        raise days.NothingToDo(f"nothing was submitted up to {step.day}")
    return {"payment_dates": len(dates)}


def claim(step: Step) -> Counts:
    """Take the date."""
    days.claim(step.settings, step.kind, step.day, step.owner)
    steps.forget_failure(step.settings, step.kind, step.day)
    return {}


def land(step: Step) -> Counts:
    """Fetch and land the bank's statements up to the date: debits and returns."""
    from tieout import fetching, landing  # noqa: PLC0415  parsers are heavy

    fetching.fetch(step.settings, step.day, channels=["bank"])
    report = landing.land(step.settings, through_date=step.day, channels=["bank"])
    return {name: int(count) for name, count in report.counts.items()}


def apply(step: Step) -> Counts:
    """Apply status reports and statement lines to the attempts of every payment date.

    Raises:
        OutcomeError: a report contradicts what is known, or names an unknown payment or code.
    """
    from tieout import payouts  # noqa: PLC0415  XML libraries are heavy

    days.require_lease(step.settings, step.kind, step.day, step.owner)
    report = payouts.apply_reports(step.settings)
    if report.problems:
        raise OutcomeError(
            what=f"{len(report.problems)} answers of the bank were not understood",
            where=f"payout outcomes of {step.day}",
            why="\n       ".join(report.problems[:8]),
            next_step="look at the report files and payout.attempt_events; ask the bank",
        )
    return {"files": report.files_new, "rows": sum(count for _, count in report.events)}


def build(step: Step) -> Counts:
    """Compute the status of each payment date about which the bank said something new (dbt).

    The latest of them also matches every bank line that is not matched yet: a payout of an earlier
    date may have come back today, and the fee account may have moved.
    """
    model_count = test_count = 0
    for payment_date in sorted({*changed_dates(step), *dates_to_match(step)}):
        report = transform.build_outcomes(step.settings, payment_date)
        model_count += report.models
        test_count += report.tests
    return {"models": model_count, "tests": test_count}


def publish(step: Step) -> Counts:
    """Count the payouts by status, for the run's page."""
    with database.connect(step.settings) as connection:
        rows = connection.execute(
            """
            select current_status, count(*)
            from payout.payout_status
            where payment_date = %s
            group by current_status
            order by current_status
            """,
            [step.day],
        ).fetchall()
    return {f"{status}": int(count) for status, count in rows}


def release(step: Step) -> Counts:
    """Give the date back."""
    days.release(step.settings, step.kind, step.day, step.owner)
    return {}


def submitted_dates(step: Step) -> list[date]:
    """Return the payment dates up to the step's date that were instructed."""
    return _dates(
        step,
        """
        select distinct payment_date
        from payout.instructions
        where payment_date <= %(day)s
        order by payment_date
        """,
    )


def changed_dates(step: Step) -> list[date]:
    """Return the payment dates whose payouts have another status than their last build says."""
    return _dates(
        step,
        """
        with latest_events as (
            select distinct on (events.attempt_id)
                instructions.payment_date,
                attempts.end_to_end_id,
                events.status
            from payout.attempt_events as events
            inner join payout.attempts as attempts on events.attempt_id = attempts.attempt_id
            inner join payout.instructions as instructions
                on attempts.instruction_id = instructions.instruction_id
            where instructions.payment_date <= %(day)s
            order by events.attempt_id asc, events.event_no desc
        )

        select distinct latest_events.payment_date
        from latest_events
        left join payout.payout_status as statuses
            on latest_events.payment_date = statuses.payment_date
            and latest_events.end_to_end_id = statuses.end_to_end_id
        where statuses.current_status is distinct from latest_events.status
        order by latest_events.payment_date
        """,
    )


def dates_to_match(step: Step) -> list[date]:
    """Return the latest computed payment date, where bank lines wait that no date has matched, or
    payouts changed that it may not know of."""
    return _dates(
        step,
        """
        with latest as (
            select max(payment_date) as payment_date
            from reconciliation.bank_match_lines
            where payment_date <= %(day)s
        )

        select latest.payment_date
        from latest
        where exists (
            select 1
            from raw.bank_statement_lines as lines
            inner join control.channel_files as files
                on lines.file_id = files.file_id and files.status = 'landed'
            where lines.accounting_date > latest.payment_date - 31
                and lines.statement_date <= latest.payment_date
                and not exists (
                    select 1
                    from reconciliation.bank_match_lines as matched
                    where matched.payment_date > latest.payment_date - 62
                        and matched.file_id = lines.file_id
                        and matched.line_number = lines.line_number
                )
        ) or exists (
            select 1
            from payout.attempt_events as events
            where events.business_date > latest.payment_date - 31
                and events.business_date <= latest.payment_date
                and events.status = 'returned'
                and not exists (
                    select 1
                    from ledger.bank_journal as entries
                    where entries.attempt_id = events.attempt_id
                        and entries.entry_kind = 'payout_return'
                )
        )
        """,
    )


def is_read(settings: Settings, payment_date: date) -> bool:
    """Say whether every bank file of the date was read and every payout has come to an end."""
    from tieout.payouts.store import Store  # noqa: PLC0415  XML libraries are heavy

    names = set(Store(settings.inbox_url).names(f"bank/{payment_date:%Y%m%d}"))
    with database.connect(settings) as connection:
        table = connection.execute("select to_regclass('payout.payout_status')").fetchone()
        if table is None or table[0] is None:
            return False
        known = connection.execute(
            "select file_name from control.channel_files where status = 'landed' "
            "and file_name = any(%s)",
            [sorted(names)],
        ).fetchall()
        ended = connection.execute(
            """
            select
                count(*) > 0
                and count(*) filter (
                    where current_status not in ('paid', 'failed', 'returned')
                ) = 0
            from payout.payout_status
            where payment_date = %s
            """,
            [payment_date],
        ).fetchone()
    return names <= {row[0] for row in known} and ended is not None and bool(ended[0])


def _dates(step: Step, query: str) -> list[date]:
    with database.connect(step.settings) as connection:
        rows = connection.execute(query, {"day": step.day}).fetchall()
    return [row[0] for row in rows]
