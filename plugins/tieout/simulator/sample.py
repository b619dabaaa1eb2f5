"""The sample week, run as an operator would: one day after the other, each thing at its hour.

On each calendar day: the bank's morning has come, the date before is closed at 10:00, a working day
is paid at 11:00, the bank answers in the evening, its answers are read at 20:00.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.dates import days, workdays
from tieout.decisions import own_money, terms
from tieout.runs import answers, runner

if TYPE_CHECKING:
    from tieout.simulator import SimulationReport

__all__ = [
    "Event",
    "SampleOptions",
    "approve_first_list",
    "bank_morning",
    "clock_order",
    "has_sample",
    "note_sample",
    "play",
    "simulate",
]

ANSWERS = "bank_answers"
SAMPLE_PEOPLE = terms.TwoPeople("Zhou Min", "Wu Fang", "terms of the sample week")


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """The simulated week; the defaults are what `make close` shows."""

    seed: int = 20260924
    first: date = date(2026, 9, 24)
    days: int = 7
    transactions: int = 1200
    merchants: int = 12
    inject: tuple[str, ...] = ()
    three_arrivals: bool = False
    returns: int = 0
    every_merchant: bool = False
    stated_fees: bool = False
    fund_bills: bool = False
    freeze_orders: bool = False
    qr_gateway: bool = False
    payment_codes: bool = False
    disputes: bool = False
    settlement_cycles: bool = False
    foreign_cards: bool = False
    own_funds: bool = False

    @property
    def last(self) -> date:
        """The last accounting date."""
        return self.first + timedelta(days=self.days - 1)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing of the week: a run of a DAG, or the bank's answers (``bank_answers``)."""

    kind: str
    day: date


def simulate(settings: Settings, options: SampleOptions, out: str | None) -> SimulationReport:
    """Write the week's files into ``out`` (default: the inbox), the truth beside it, and note it.

    Raises:
        TieoutError: the options make no sense, or another simulation lives there.
    """
    # The simulator brings numpy and Polars along; no other command needs them.
    from tieout.simulator import Funds  # noqa: PLC0415
    from tieout.simulator import simulate as simulate_files  # noqa: PLC0415

    if out is None:
        target, truth_dir = settings.inbox_url.removeprefix("file://"), settings.truth_dir
    else:
        target, truth_dir = out, Path(out).absolute().parent / "truth"
    report = simulate_files(
        target,
        options.seed,
        options.first,
        options.days,
        options.transactions,
        options.merchants,
        options.inject,
        truth_dir,
        funds=Funds(
            options.three_arrivals,
            options.returns,
            options.every_merchant,
            options.stated_fees,
            options.fund_bills,
            options.freeze_orders,
            options.qr_gateway,
            options.payment_codes,
            options.disputes,
            options.settlement_cycles,
            options.foreign_cards,
            options.own_funds,
        ),
    )
    if out is None:
        note_sample(settings, options)
    return report


def note_sample(settings: Settings, options: SampleOptions) -> None:
    """Note in the home which week was simulated: its end tells a schedule where to stop."""
    settings.ensure_dirs()
    noted = {
        "first_accounting_date": options.first.isoformat(),
        "last_accounting_date": options.last.isoformat(),
        **asdict(options),
    }
    del noted["first"], noted["days"]  # said by the two dates
    settings.sample_note.write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")


def has_sample(settings: Settings) -> bool:
    """Say whether `tieout simulate` has written a week into this home's inbox."""
    return settings.sample_note.is_file()


def clock_order(settings: Settings, first: date, last: date) -> Iterator[Event]:
    """Yield what happens from the close of ``first`` to the last payment, by the clock.

    A date T is closed on T+1. Payments, answers and outcomes of a day come after the close of
    the date before it and before its own close. The calendar is asked as the days pass: the first
    close loads it.
    """
    window = days.OperatingWindow(first, last)
    day = first
    while day <= last or day < _last_payment(settings, first, last):
        day += timedelta(days=1)
        if day - timedelta(days=1) <= last:
            yield Event(days.ACCOUNTING_CLOSE, day - timedelta(days=1))
        if days.covered_dates(settings, day, window):
            yield Event(days.SETTLEMENT_PAYOUT, day)
            yield Event(ANSWERS, day)
            yield Event(days.PAYOUT_OUTCOMES, day)


def _last_payment(settings: Settings, first: date, last: date) -> date:
    paid = days.paid_dates(settings, first, last)
    return max((each.payment_date for each in paid), default=workdays.next_working_day(last))


def play(settings: Settings, say: Callable[[str], None]) -> int:
    """Run the week; return how many runs did something.

    A date whose close still stands (closed, and the same files landed) is not run again.

    Raises:
        TieoutError: a close or a gate does not hold; nothing after it is run.
    """
    window = days.sample_window(settings)
    if window is None or window.last is None:
        raise TieoutError(
            what="there is no sample week in this home",
            where=str(settings.home),
            why="`tieout simulate` has not run here",
            next_step="run `tieout simulate`, or close your own dates with `tieout close DATE`",
        )
    done = 0
    for event in clock_order(settings, window.first, window.last):
        done += _play_event(settings, event, say)
    return done


def _play_event(settings: Settings, event: Event, say: Callable[[str], None]) -> int:
    """Run one event; return 1 when it did something."""
    if event.kind == ANSWERS:
        from tieout.simulator import bank_answers  # noqa: PLC0415  needs the payouts' tables

        report = bank_answers.answer(settings, event.day)
        if report.files_answered:
            say(
                f"{event.day:%a %d %b}  the bank 银行 answers {report.files_answered} payment "
                f"files: {report.settled_count} paid, {report.rejected_count} rejected"
            )
        return 0
    label = LABELS[event.kind]
    if event.kind == days.ACCOUNTING_CLOSE and stands(settings, event.day):
        say(f"{event.day:%a %d %b}  {label}: closed, the same files: unchanged")
        return 0
    if event.kind == days.PAYOUT_OUTCOMES and answers.is_read(settings, event.day):
        say(f"{event.day:%a %d %b}  {label}: nothing new")
        return 0
    say(f"{event.day:%a %d %b}  {label}")
    if event.kind == days.SETTLEMENT_PAYOUT:
        approve_first_list(settings, say)
    bank_morning(settings, event.day)
    result = runner.run(settings, event.kind, event.day)
    if result.state == "skipped":
        say(f"    {result.reason}")
        return 0
    return 1


def approve_first_list(settings: Settings, say: Callable[[str], None]) -> None:
    """Approve the simulated first date's list, as two people of the simulated acquirer would."""
    found = terms.first_date_list(settings)
    if found.is_approved:
        return
    terms.approve_first_date(settings, SAMPLE_PEOPLE)
    counts = ", ".join(f"{count} {name}" for name, count in found.counts.items())
    say(f"    approved by {SAMPLE_PEOPLE.first} and {SAMPLE_PEOPLE.second}: {counts}")


LABELS = {
    days.ACCOUNTING_CLOSE: "close 日切关账",
    days.SETTLEMENT_PAYOUT: "pay 结算付款",
    days.PAYOUT_OUTCOMES: "outcomes 付款结果",
}


def stands(settings: Settings, accounting_date: date) -> bool:
    """Say whether a close of the date would read just what its last close read."""
    state = days.day_state(settings, accounting_date)
    return state.state == "closed" and state.inputs_fingerprint == days.inputs_fingerprint(
        settings, accounting_date
    )


def bank_morning(settings: Settings, day: date) -> list[str]:
    """Have the simulated bank send its statements up to the morning of ``day``.

    It transfers what two people ordered between the client reserve and own funds by then.

    Does nothing in a home without a simulated bank: there the bank's files come from the bank.
    """
    if not settings.truth_dir.is_dir():
        return []
    from tieout.simulator import bank  # noqa: PLC0415  brings numpy and Polars along

    if not bank.exists(settings.truth_dir):
        return []
    sent = bank.deliver(settings.inbox_url, settings.truth_dir, day)
    has_server = settings.external_database_url or (settings.pg_dir / "data").exists()
    if not has_server:
        return sent  # its files are another home's, and so is what people order there
    for transfer in own_money.approved_transfers(settings, day):
        sent += bank.transfer_own_money(
            settings.inbox_url,
            settings.truth_dir,
            day,
            transfer.bank_text,
            transfer.reserve_amount_minor,
        )
    return sent
