"""The command line `tieout`: a command ends with what it did, where it is, and what is next.

Exit codes: 0 done (or nothing to do), 1 a date or a gate does not hold, or something else a
person has to act on, 2 wrong use. Progress goes to stderr, results to stdout.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from tieout import database
from tieout.commands import (
    bank_lines,
    bills,
    cases,
    evidence,
    explain,
    freezes,
    gate,
    keys,
    leaks,
    ledger,
    own_money,
    payouts,
    people,
    quarantine,
    restate,
    sessions,
    shared,
    statements,
    suspense,
    terms,
    undo,
    verify,
)
from tieout.core.errors import TieoutError
from tieout.core.progress import say
from tieout.core.settings import Settings, load_settings
from tieout.database import persons
from tieout.dates import days, workdays
from tieout.runs import airflow_home
from tieout.runs.steps import GateFailedError

if TYPE_CHECKING:
    from rich.console import Console

    from tieout.simulator import SimulationReport, sample

__all__ = ["app", "main"]

app = typer.Typer(
    name="tieout",
    help="Close an acquirer's day: from channel files to payment files. 日终清结算。",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(suspense.app, name="suspense")
app.add_typer(cases.app, name="cases")
app.add_typer(bank_lines.app, name="bank-lines")
app.add_typer(freezes.app, name="freezes")
app.add_typer(sessions.app, name="sessions")
app.add_typer(own_money.app, name="own-money")
app.add_typer(explain.app, name="explain")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(terms.app, name="terms")
app.add_typer(payouts.app, name="payouts")
app.add_typer(undo.app, name="undo-payment")
app.add_typer(statements.app, name="statements")
app.add_typer(bills.app, name="bills")
app.add_typer(ledger.app, name="ledger")
app.add_typer(restate.app, name="restate")
app.add_typer(gate.app, name="gate")
app.add_typer(people.app, name="people")
app.add_typer(keys.app, name="keys")
app.command("leak-scan")(leaks.leak_scan)
app.command("verify")(verify.verify)
app.command("evidence")(evidence.write)
app.command("check-evidence")(evidence.check)

SAMPLE_VARIABLE = "TIEOUT_SAMPLE_ARGS"
SAMPLE_OPTIONS = ("--seed", "--transactions", "--merchants", "--inject")
UI_STATUS_SECONDS = 1.0

Seed = Annotated[int, typer.Option("--seed", help="The same seed makes the same files.")]
First = Annotated[str, typer.Option("--from", help="First accounting date, YYYY-MM-DD.")]
Days = Annotated[int, typer.Option("--days", min=1, help="Number of accounting dates.")]
Transactions = Annotated[
    int, typer.Option("--transactions", min=50, help="Transactions of a day, about.")
]
Merchants = Annotated[int, typer.Option("--merchants", min=8, help="Merchants.")]
Inject = Annotated[
    list[str] | None,
    typer.Option("--inject", help="A fault to add (repeatable); 'list' lists them."),
]

ThreeArrivals = Annotated[
    bool, typer.Option("--three-arrivals", help="Each channel pays each arrival in three lines.")
]
Returns = Annotated[
    int, typer.Option("--returns", min=0, help="Payouts of each payment file that come back.")
]
EveryMerchant = Annotated[
    bool, typer.Option("--every-merchant", help="Each merchant sells something each day.")
]
StatedFees = Annotated[
    bool, typer.Option("--stated-fees", help="The platform states the fee of each voucher.")
]
FundBills = Annotated[
    bool, typer.Option("--fund-bills", help="The wallets send their fund bills, too.")
]
FreezeOrders = Annotated[
    bool, typer.Option("--freeze-orders", help="The platform states each freeze's order.")
]
ForeignCards = Annotated[
    bool,
    typer.Option(
        "--foreign-cards", help="Foreign cards pay in dollars and settle in yuan: UPI's ICOMN."
    ),
]
QrGateway = Annotated[
    bool,
    typer.Option(
        "--qr-gateway", help="Wallets pay through the QR gateway, too: a channel of its own."
    ),
]
PaymentCodes = Annotated[
    bool, typer.Option("--payment-codes", help="The platform says how payment codes began.")
]
Disputes = Annotated[
    bool,
    typer.Option("--disputes", help="Chargebacks go on to their end, and payments are made twice."),
]
SettlementCycles = Annotated[
    bool,
    typer.Option("--settlement-cycles", help="Some merchants are paid later than on T+1."),
]
OwnFunds = Annotated[
    bool,
    typer.Option("--own-funds", help="Own funds have statements; the reserve has none of ours."),
]

SEED = 20260924
FIRST_DATE = "2026-09-24"
DAY_COUNT = 7
TRANSACTION_COUNT = 1200
MERCHANT_COUNT = 12
# The exit code where a payment date waits: for its cause, or for two people.
GATE_FAILED = 3


def main() -> None:
    """Run the command line; print a TieoutError as its four parts."""
    try:
        code = app(standalone_mode=False)
    except GateFailedError as error:
        _stop(f"tieout: {error}", GATE_FAILED)
    except TieoutError as error:
        _stop(f"tieout: {error}", 1)
    except typer.Abort:
        _stop("tieout: stopped", 130)
    except KeyboardInterrupt:
        _stop("tieout: stopped; run the same command again, it goes on where it was", 130)
    except Exception as error:  # click's own errors carry how to show themselves
        show = getattr(error, "show", None)
        if show is None:
            lost = database.lost(error)
            if lost is None:
                raise
            _stop(f"tieout: {lost}", 1)
        show()
        sys.exit(int(getattr(error, "exit_code", 2)))
    # A command that raised `typer.Exit` has its code returned here, and is none without it.
    if isinstance(code, int) and code:
        sys.exit(code)


def _stop(text: str, code: int) -> NoReturn:
    sys.stderr.write(f"{text}\n")
    sys.exit(code)


def _day(text: str) -> date:
    return days.business_date(text, None)


# --- the database -------------------------------------------------------------------------------


@app.command()
def install() -> None:
    """Make or migrate tables, roles, logins and Airflow's database; load the reference data.

    The administrator's work (TIEOUT_DATABASE_URL): processes that have the logins of roles only
    need it done before (docs/operations/roles.md). Again after each new version.
    """
    from tieout.runs import transform

    settings = load_settings()
    database.ensure_server(settings)
    settings.ensure_dirs()
    changed = database.migrate(settings)
    database.make_logins(settings)
    database.make_airflow_database(settings)
    if settings.gateway_url is not None and persons.make_named_gateway(settings):
        say("the login that speaks for users of Airflow is made")
    say("the tables are migrated" if changed else "the tables are up to date")
    report = transform.seed(settings)
    say("the reference data is loaded" if report.models else "the reference data is up to date")
    say("next: airflow db migrate, then start Airflow; or tieout close DATE")


@app.command()
def url() -> None:
    """Start the database when it is down; print its URL."""
    settings = load_settings()
    address = database.ensure_server(settings)
    database.migrate(settings)
    print(address)


@app.command()
def stop() -> None:
    """Stop the home's database server; its data stays."""
    settings = load_settings()
    stopped = database.stop_server(settings)
    say("the database server is stopped" if stopped else "no database server was running")


# --- files --------------------------------------------------------------------------------------


@app.command()
def simulate(  # noqa: PLR0917  options of a command
    seed: Seed = SEED,
    first: First = FIRST_DATE,
    day_count: Days = DAY_COUNT,
    transactions: Transactions = TRANSACTION_COUNT,
    merchants: Merchants = MERCHANT_COUNT,
    out: Annotated[
        str | None, typer.Option("--out", help="Where to write; default: the inbox.")
    ] = None,
    inject: Inject = None,
    three_arrivals: ThreeArrivals = False,
    returns: Returns = 0,
    every_merchant: EveryMerchant = False,
    stated_fees: StatedFees = False,
    fund_bills: FundBills = False,
    freeze_orders: FreezeOrders = False,
    qr_gateway: QrGateway = False,
    payment_codes: PaymentCodes = False,
    disputes: Disputes = False,
    settlement_cycles: SettlementCycles = False,
    foreign_cards: ForeignCards = False,
    own_funds: OwnFunds = False,
) -> None:
    """Write the files of a simulated acquirer: platform, channels and bank, in the real formats."""
    from tieout.simulator import INJECTIONS, sample

    if inject and "list" in inject:
        for name, text in INJECTIONS.items():
            print(f"{name:<28} {text}")
        return
    settings = load_settings()
    settings.ensure_dirs()
    options = sample.SampleOptions(
        seed,
        _day(first),
        day_count,
        transactions,
        merchants,
        tuple(inject or ()),
        three_arrivals=three_arrivals,
        returns=returns,
        every_merchant=every_merchant,
        stated_fees=stated_fees,
        fund_bills=fund_bills,
        freeze_orders=freeze_orders,
        qr_gateway=qr_gateway,
        payment_codes=payment_codes,
        disputes=disputes,
        settlement_cycles=settlement_cycles,
        foreign_cards=foreign_cards,
        own_funds=own_funds,
    )
    report = sample.simulate(settings, options, out)
    say(_simulated(report))
    where = "" if out is None else f"TIEOUT_INBOX={out} "
    say(f"next: {where}tieout close {first} --to {options.last}")


def _simulated(report: SimulationReport) -> str:
    lines = [
        f"simulated {report.first_date} to {report.last_date}: {report.vouchers:,} vouchers, "
        f"{report.channel_records:,} channel records, {report.files} files in {report.inbox}; "
        f"the truth is in {report.truth_dir}",
        *(f"injected {item.kind}: {item.description}" for item in report.injected),
    ]
    return "\n".join(lines)


@app.command()
def fetch(
    day: Annotated[
        str | None, typer.Option("--date", help="YYYY-MM-DD; default: yesterday in Shanghai.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", help="Only this source (repeatable).")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Ask for bills that are here, too: another version?")
    ] = False,
) -> None:
    """Copy into the inbox what the sources owe for a date (docs/operations/sources.md)."""
    from tieout import fetching

    settings = load_settings()
    settings.ensure_dirs()
    path = fetching.sources_path(settings)
    sources = fetching.read_sources(path)
    if not sources:
        say(f"no sources: {path} is not there or empty; files come into {settings.inbox_url}")
        return
    if any(one.connection for one in sources):
        airflow_home.enter(settings)
    wanted = days.business_date(day, datetime.now(UTC) - timedelta(days=1))
    report = fetching.fetch(settings, wanted, names=source, again=again)
    for outcome in report.outcomes:
        print(outcome)
    for error in report.errors:
        say(f"tieout: {error}")
    if report.failed:
        _stop("next: see docs/runbooks/source-not-answering.md, then fetch again", 1)
    say("next: tieout land, or tieout close DATE")


@app.command()
def land(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files or folders; default: the whole inbox.")
    ] = None,
    through: Annotated[
        str | None,
        typer.Option("--through", help="Files of later dates wait for their date; default: today."),
    ] = None,
) -> None:
    """Land files: check them, take their rows in, set bad ones aside with the reason."""
    from tieout import landing
    from tieout.simulator import sample

    settings = database.working_as(shared.home(), "ingest")
    through_date = _day(through) if through else None
    if through_date is None and not sample.has_sample(settings):
        # A simulated week has a time of its own.
        through_date = datetime.now(days.BUSINESS_TIME_ZONE).date()
    report = landing.land(settings, paths=paths or None, through_date=through_date)
    counted = ", ".join(f"{count} {name}" for name, count in report.counts.items())
    say(f"landed from {settings.inbox_url}: {counted}")
    if through_date is not None:
        say(f"files of dates after {through_date} wait for their date (--through)")
    if report.problems:
        _stop("next: tieout quarantine list, then show, release or reject", 1)
    say("next: tieout close DATE")


# --- the days -----------------------------------------------------------------------------------


@app.command()
def close(
    accounting_date: Annotated[str, typer.Argument(help="YYYY-MM-DD")],
    to: Annotated[str | None, typer.Option("--to", help="Close each date up to this one.")] = None,
) -> None:
    """Close accounting dates (DAG accounting_close); an open date is replaced exactly."""
    from tieout.runs import reclosing, runner
    from tieout.simulator import sample

    first = _day(accounting_date)
    last = _day(to) if to else first
    if last < first:
        raise typer.BadParameter(f"{last} lies before {first}")
    settings = shared.home()
    console = shared.console()
    asked = [first + timedelta(days=step) for step in range((last - first).days + 1)]

    def close_one(day: date) -> bool:
        say(f"{day:%a %d %b %Y}  close 日切关账")
        sample.bank_morning(settings, day)
        result = runner.run(settings, days.ACCOUNTING_CLOSE, day)
        if result.state == "skipped":
            say(f"    {result.reason}")
        return result.state != "skipped"

    with days.command_owner(settings):
        closed = sum(1 for _ in reclosing.in_order(settings, asked, close_one))
    _show_week(console, settings)
    say(f"closed {closed} dates; the tables are at `tieout url`")
    _say_end_of_calendar(last)
    unpaid = days.first_unpaid(settings)
    if unpaid is not None:
        say(f"next: tieout pay {unpaid.payment_date}")


@app.command()
def pay(
    payment_date: Annotated[str, typer.Argument(help="YYYY-MM-DD, a working day")],
) -> None:
    """Pay a payment date (DAG settlement_payout): gate, payment files, seals.

    Ends with 3 where the gate does not pass: nothing waits, and the same command goes on when the
    cause is mended or two people have released the date (`tieout gate`).
    """
    from tieout.files.store_urls import shown_url
    from tieout.runs import runner
    from tieout.simulator import sample

    settings = shared.home()
    day = _day(payment_date)
    with days.command_owner(settings):
        say(f"{day:%a %d %b %Y}  pay 结算付款")
        sample.bank_morning(settings, day)
        result = runner.run(settings, days.SETTLEMENT_PAYOUT, day)
    if result.state == "skipped":
        say(f"    {result.reason}")
        return
    _show_week(shared.console(), settings)
    place = shown_url(settings.payment_files_url).removeprefix("file://")
    folder = f"{place}/payouts/{day:%Y%m%d}/"
    say(f"the payment files of {day} are in {folder}")
    if sample.has_sample(settings):
        say(f"next: tieout bank-answers {day}, then tieout outcomes {day}")
    else:
        say(f"next: send them to the bank; when it has answered: tieout outcomes {day}")


@app.command()
def outcomes(
    payment_date: Annotated[str, typer.Argument(help="Read the bank's answers up to YYYY-MM-DD")],
) -> None:
    """Read the bank's answers (DAG payout_outcomes)."""
    from tieout.runs import runner

    settings = shared.home()
    day = _day(payment_date)
    with days.command_owner(settings):
        say(f"{day:%a %d %b %Y}  outcomes 付款结果")
        result = runner.run(settings, days.PAYOUT_OUTCOMES, day)
    if result.state == "skipped":
        say(f"    {result.reason}")
    _show_week(shared.console(), settings)
    say("each payout's status is in payout.payout_status; its history in payout.attempt_events")


@app.command("bank-answers")
def bank_answers(
    payment_date: Annotated[str, typer.Argument(help="YYYY-MM-DD, a payment date")],
) -> None:
    """Have the simulated bank answer the payment files of a date."""
    from tieout.simulator import bank_answers as simulated
    from tieout.simulator import collection_answers

    settings = shared.home()
    day = _day(payment_date)
    report = simulated.answer(settings, day)
    debit_files = collection_answers.answer(settings, day)
    say(
        f"the simulated bank answered {report.files_answered} payment files of {day}: "
        f"{report.settled_count} paid, {report.rejected_count} rejected"
    )
    if debit_files:
        say(f"and {debit_files} direct-debit files: tieout bills collect DAY reads the answers")
    say(f"next: tieout outcomes {day}")


@app.command()
def status(
    accounting_date: Annotated[str | None, typer.Argument(help="YYYY-MM-DD; default: all")] = None,
) -> None:
    """Show the state of each date, what holds it up, and how long its stages took."""
    from tieout.commands import overview

    settings = shared.home()
    console = shared.console()
    day = _day(accounting_date) if accounting_date else None
    overview.print_week(console, settings, day, day)
    overview.print_reconciliation(console, settings, day)
    overview.print_problems(console, settings, day)
    overview.print_chains(console, settings, day)
    if day is None:
        overview.print_stages(console, settings)
    else:
        overview.print_day_stages(console, settings, day)
    state = "running" if airflow_home.scheduler_is_alive(settings) else "not running"
    say(f"home {settings.home}; scheduler {state}")
    newest = day or days.last_closed(settings)
    if newest is not None:
        _say_end_of_calendar(newest)
    unpaid = days.first_unpaid(settings)
    if unpaid is not None:
        say(f"next: tieout pay {unpaid.payment_date}")


def _say_end_of_calendar(day: date) -> None:
    warning = workdays.ends_soon(day)
    if warning is not None:
        say(warning)


# --- the sample ---------------------------------------------------------------------------------


@app.command("sample")
def sample_week(  # noqa: PLR0917  options of a command
    seed: Seed = SEED,
    transactions: Transactions = TRANSACTION_COUNT,
    merchants: Merchants = MERCHANT_COUNT,
    inject: Inject = None,
    three_arrivals: ThreeArrivals = False,
    returns: Returns = 0,
    every_merchant: EveryMerchant = False,
    stated_fees: StatedFees = False,
    fund_bills: FundBills = False,
    freeze_orders: FreezeOrders = False,
    qr_gateway: QrGateway = False,
    payment_codes: PaymentCodes = False,
    disputes: Disputes = False,
    settlement_cycles: SettlementCycles = False,
    foreign_cards: ForeignCards = False,
    own_funds: OwnFunds = False,
) -> None:
    """Make the sample week and run it: close, pay, answers, outcomes, in the clock's order."""
    from tieout.commands import overview
    from tieout.runs import transform
    from tieout.simulator import sample

    started = time.monotonic()
    settings = shared.home()
    console = shared.console()
    say(f"home {settings.home}")
    options = _sample_options(
        sample.SampleOptions(
            seed=seed,
            transactions=transactions,
            merchants=merchants,
            three_arrivals=three_arrivals,
            returns=returns,
            every_merchant=every_merchant,
            stated_fees=stated_fees,
            fund_bills=fund_bills,
            freeze_orders=freeze_orders,
            qr_gateway=qr_gateway,
            payment_codes=payment_codes,
            disputes=disputes,
            settlement_cycles=settlement_cycles,
            foreign_cards=foreign_cards,
            own_funds=own_funds,
        ),
        tuple(inject or ()),
    )
    with days.command_owner(settings):
        transform.seed(settings)
        if not sample.has_sample(settings):
            say(_simulated(sample.simulate(settings, options, None)))
        try:
            done = sample.play(settings, say)
        except TieoutError:
            _show_week(console, settings)
            raise
        if done or not (settings.docs_dir / "dbt" / "index.html").is_file():
            _write_docs(settings)
    _show_week(console, settings)
    overview.print_stages(console, settings)
    overview.print_places(console, settings)
    seconds = time.monotonic() - started
    what = f"{done} runs" if done else "nothing to do: every date stands as it was"
    say(f"the sample week is closed and paid: {what}, {seconds:.0f} s")
    say("next: make ui, or tieout status")


def _sample_options(options: sample.SampleOptions, inject: tuple[str, ...]) -> sample.SampleOptions:
    """Add what TIEOUT_SAMPLE_ARGS says (`--transactions 300 --inject NAME`) to the options."""
    given = shlex.split(os.environ.get(SAMPLE_VARIABLE, ""))
    injected = list(inject)
    while given:
        name = given.pop(0)
        if not given or name not in SAMPLE_OPTIONS:
            raise TieoutError(
                what=f"{SAMPLE_VARIABLE} is not understood",
                where=f"{SAMPLE_VARIABLE}: {name}",
                why=f"it takes {', '.join(SAMPLE_OPTIONS)}, each with a value",
                next_step=f"for instance {SAMPLE_VARIABLE}='--transactions 300'",
            )
        value = given.pop(0)
        if name == "--seed":
            options = replace(options, seed=int(value))
        elif name == "--transactions":
            options = replace(options, transactions=int(value))
        elif name == "--merchants":
            options = replace(options, merchants=int(value))
        else:
            injected.append(value)
    return replace(options, inject=tuple(injected))


@app.command()
def docs() -> None:
    """Build the dbt docs and the Data Docs."""
    from tieout.commands import overview

    settings = shared.home()
    _write_docs(settings)
    overview.print_places(shared.console(), settings)


def _write_docs(settings: Settings) -> None:
    from tieout.core import progress
    from tieout.gate import data_docs
    from tieout.runs import transform

    with progress.step("dbt docs"):
        transform.build_docs(settings)
    with progress.step("Data Docs"):
        data_docs.finish(settings)


@app.command()
def ui() -> None:
    """Run Airflow with its UI on this home, until Ctrl-C."""
    from tieout.runs import airflow_server as services

    settings = shared.home()
    # A service manager ends us with SIGTERM: the three processes have to end with us then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    say("starting Airflow …")
    with services.serving(settings) as running:
        login = running.login
        print(f"Airflow   {login.url}")
        print(f"login     {login.user_name} / {login.password}")
        say("a local demonstration: its one user is a name in a file (SimpleAuthManager)")
        say("it decides about simulated money only; real users: docs/operations/roles.md")
        say("Ctrl-C stops it; the DAGs are unpaused while it runs")
        sys.stdout.flush()
        try:
            while (ended := running.ended()) is None:
                time.sleep(UI_STATUS_SECONDS)
        except KeyboardInterrupt:
            say("stopping …")
            return
    raise TieoutError(
        what=f"Airflow's {ended} ended by itself",
        where=str(settings.logs_dir / f"airflow_{ended}.log"),
        why="see its log",
        next_step="read the log, then start again",
    )


@app.command()
def bench(
    transactions: Transactions = 200_000,
    merchants: Merchants = 200,
    seed: Seed = SEED,
) -> None:
    """Close one day of many transactions in a home of its own; say how long each stage took."""
    from tieout.commands import overview
    from tieout.runs import runner, transform
    from tieout.simulator import sample

    base = load_settings()
    home = base.home / "bench" / f"{datetime.now().astimezone():%Y%m%d%H%M%S}"
    os.environ["TIEOUT_HOME"] = str(home)
    os.environ.pop("TIEOUT_INBOX", None)
    os.environ.pop("TIEOUT_OUTBOX", None)
    os.environ.pop("TIEOUT_PAYMENT_FILES", None)
    settings = shared.home()
    options = sample.SampleOptions(
        seed=seed, days=1, transactions=transactions, merchants=merchants
    )
    try:
        say(_simulated(sample.simulate(settings, options, None)))
        with days.command_owner(settings):
            transform.seed(settings)
            runner.run(settings, days.ACCOUNTING_CLOSE, options.first)
        overview.print_week(shared.console(), settings)
        overview.print_stages(shared.console(), settings)
        say(f"largest memory of this process: {_peak_megabytes():,} MB; home {home}")
    finally:
        database.stop_server(settings)


def _peak_megabytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _show_week(console: Console, settings: Settings) -> None:
    from tieout.commands import overview

    overview.print_week(console, settings)


if __name__ == "__main__":
    main()
