"""The steps of a payment date's outcomes, in the order the DAG `payout_outcomes` runs them.

ready -> claim -> land -> apply -> send -> build -> publish, and release at the end
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.dates import days, workdays
from tieout.runs import steps, transform
from tieout.runs.steps import Counts, Step

if TYPE_CHECKING:
    from tieout.payouts import AnswersDue

__all__ = [
    "apply",
    "build",
    "claim",
    "is_read",
    "land",
    "publish",
    "ready",
    "release",
    "send",
]

PROBLEMS_SHOWN = 8
# What a person has to look at; the others wait for the bank, or for somebody who knows already.
TOLD_REFUSALS = frozenset(
    {"limit", "no_account", "no_limit", "no_payee", "payee_unwritable", "statement_changed"}
)


class OutcomeError(TieoutError):
    """The bank said something that was not understood, or did not say what is due."""


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
    """Apply status reports and statement lines up to the date to every payment date's attempts.

    What was not understood, and what is unknown, is kept for `publish`, which fails with it after
    everything else is done.
    """
    from tieout import payouts  # noqa: PLC0415  XML libraries are heavy

    days.require_lease(step.settings, step.kind, step.day, step.owner)
    report = payouts.apply_reports(
        step.settings, through_date=step.day, answers_due=answers_due(step)
    )
    _keep_problems(step, report.problems)
    for file in report.files_put_aside:
        say(f"put aside: {file}")
    if report.files_later:
        say(f"{report.files_later} status reports of dates after {step.day} wait for their date")
    return {
        "files": report.files_new,
        "rows": sum(count for _, count in report.events),
        "files_put_aside": len(report.files_put_aside),
        "problems": len(report.problems),
    }


def send(step: Step) -> Counts:
    """Pay again what a policy repeats, and ask the bank about what is unknown.

    What waits for its evidence is named in the log; what waits for a person is kept for `publish`.
    Files of new attempts that an earlier run, or a person, left to be put out are put out.
    """
    from tieout import payouts  # noqa: PLC0415  XML libraries are heavy

    days.require_lease(step.settings, step.kind, step.day, step.owner)
    if not workdays.is_working_day(step.day):
        return {"new_attempts": 0, "files": 0, "inquiries": 0}
    again = payouts.pay_again_by_policy(step.settings, step.day)
    problems = []
    for grounds in again.waiting:
        text = f"statement {grounds.statement_id} is not paid again: {grounds.why}"
        if grounds.refusal in TOLD_REFUSALS:
            problems.append(f"{text}; next: {grounds.next_step}")
        else:
            say(text)
    for attempt_id in again.attempt_ids:
        say(f"{attempt_id} is a new attempt, by the policy of its reason")
    files = 0
    try:
        files = sum(
            file.is_new for report in payouts.put_out_again(step.settings) for file in report.files
        )
    except TieoutError as error:
        problems.append(f"{error.what}: {error.why}; next: {error.next_step}")
    asked = payouts.inquire(step.settings, step.day)
    if asked.url is not None:
        say(f"{asked.asked_count} unknown payouts are asked about: {asked.url}")
    if asked.exhausted_count:
        say(
            f"{asked.exhausted_count} unknown payouts had their last inquiry: ask the bank yourself"
        )
    _add_problems(step, problems)
    return {
        "new_attempts": len(again.attempt_ids),
        "files": files,
        "inquiries": asked.asked_count,
        "problems": len(problems),
    }


def build(step: Step) -> Counts:
    """Compute the status of each payment date about which the bank said something new (dbt).

    The latest of them also matches every bank line that is not matched yet: a payout of an earlier
    date may have come back today, and the fee account may have moved. A date that cannot be
    computed keeps none of the others from it; `publish` fails with its cause.
    """
    model_count = test_count = 0
    failed = []
    for payment_date in sorted({*changed_dates(step), *dates_to_match(step)}):
        try:
            report = transform.build_outcomes(step.settings, payment_date, step.owner)
        except TieoutError as error:
            failed.append(f"{error.what}: {error.why}; next: tieout status {payment_date}")
            continue
        model_count += report.models
        test_count += report.tests
    _add_problems(step, failed)
    return {"models": model_count, "tests": test_count, "problems": len(failed)}


def publish(step: Step) -> Counts:
    """Count the payouts by status, for the run's page.

    Raises:
        OutcomeError: a report contradicts what is known or cannot be used, or a payout is unknown.
            Everything else of the run is done. A run by the timetable raises once a date for each:
            it comes back every quarter of an hour.
    """
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
        problems = connection.execute(
            "select problem, is_told from payout.outcome_problems where run_date = %s"
            " order by problem_no",
            [step.day],
        ).fetchall()
        connection.execute(
            "update payout.outcome_problems set is_told = true where run_date = %s and not is_told",
            [step.day],
        )
    if problems and step.waits and all(is_told for _, is_told in problems):
        say(f"{len(problems)} problems, told by an earlier run of the date: tieout payouts list")
    elif problems:
        texts = [str(row[0]) for row in problems]
        shown = texts[:PROBLEMS_SHOWN]
        more = len(texts) - len(shown)
        # Each is named, in the run's log where they are too many for one message.
        for text in texts[PROBLEMS_SHOWN:]:
            say(text)
        raise OutcomeError(
            what=f"{len(problems)} answers of the bank are missing or were not understood",
            where=f"payout outcomes of {step.day}; everything else of the run is done",
            why="\n       ".join([*shown, *([f"and {more} more, named above"] if more else [])]),
            next_step="docs/runbooks/payout-unresolved.md: ask the bank; a report that is not "
            "ours: tieout quarantine list, then reject it; lines, with their age: "
            "tieout bank-lines list",
        )
    return {f"{status}": int(count) for status, count in rows}


def release(step: Step) -> Counts:
    """Give the date back."""
    days.release(step.settings, step.kind, step.day, step.owner)
    return {}


def answers_due(step: Step) -> dict[str, AnswersDue]:
    """Return of which payment dates the bank's answers are due, by currency.

    The clock is asked on the run's own date only: the bank has until a minute of it. A run of an
    earlier date, or of one that lies ahead (a rehearsal), is taken as of its evening.
    """
    from tieout.payouts import AnswersDue  # noqa: PLC0415  XML libraries are heavy

    with database.connect(step.settings) as connection:
        rows = connection.execute(
            """
            select
                currency_code,
                answer_due_working_days,
                outcome_due_working_days,
                due_minute
            from reference.bank_answer_times
            order by currency_code
            """
        ).fetchall()
    found = {}
    for currency, answer_days, outcome_days, due_minute in rows:
        due_at = datetime.combine(step.day, time(), tzinfo=days.BUSINESS_TIME_ZONE) + timedelta(
            minutes=due_minute
        )
        is_today = step.now.astimezone(days.BUSINESS_TIME_ZONE).date() == step.day
        is_early = is_today and step.now < due_at
        last = step.day - timedelta(days=1) if is_early else step.day
        found[str(currency)] = AnswersDue(
            answered=_due_through(last, answer_days), ended=_due_through(last, outcome_days)
        )
    return found


def _due_through(last: date, working_days: int) -> date:
    """Return the latest date which ``last`` follows by at least ``working_days`` working days."""
    for _ in range(working_days):
        if not workdays.is_working_day(last):
            last = workdays.previous_working_day(last)
        last = workdays.previous_working_day(last)
    return last


def _keep_problems(step: Step, problems: Sequence[str]) -> None:
    """Keep what this run found wrong, in place of what an earlier run of the date did."""
    with database.connect(step.settings) as connection, connection.transaction():
        rows = connection.execute(
            "delete from payout.outcome_problems where run_date = %s returning problem, is_told",
            [step.day],
        ).fetchall()
        told = {text for text, is_told in rows if is_told}
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into payout.outcome_problems (run_date, problem_no, problem, is_told)"
                " values (%s, %s, %s, %s)",
                [
                    (step.day, number, text, text in told)
                    for number, text in enumerate(problems, start=1)
                ],
            )


def _add_problems(step: Step, problems: Sequence[str]) -> None:
    """Keep more of what is wrong, after what `apply` found."""
    with database.connect(step.settings) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into payout.outcome_problems (run_date, problem_no, problem)"
            " select %(day)s, coalesce(max(problem_no), 0) + 1, %(problem)s"
            " from payout.outcome_problems where run_date = %(day)s",
            [{"day": step.day, "problem": problem} for problem in problems],
        )


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
        with touched as (
            select distinct attempts.instruction_id
            from payout.attempt_events as events
            inner join payout.attempts as attempts on events.attempt_id = attempts.attempt_id
            where events.business_date > %(day)s - 62
        ),

        states as (
            select
                instructions.payment_date,
                attempts.instruction_id,
                attempts.attempt_no,
                attempts.end_to_end_id,
                payout.latest_status(attempts.attempt_id) as status
            from touched
            inner join payout.attempts as attempts
                on touched.instruction_id = attempts.instruction_id
            inner join payout.instructions as instructions
                on touched.instruction_id = instructions.instruction_id
            where instructions.payment_date <= %(day)s
        ),

        latest as ("""
        + days.LAST_STATES
        + """)

        select distinct latest.payment_date
        from latest
        left join payout.payout_status as statuses
            on latest.payment_date = statuses.payment_date
            and latest.end_to_end_id = statuses.end_to_end_id
        where statuses.current_status is distinct from latest.status
        order by latest.payment_date
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
        if not database.has_table(connection, "payout.payout_status"):
            return False
        known = connection.execute(
            "select file_name from control.channel_files where status in ('landed', 'refused') "
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
