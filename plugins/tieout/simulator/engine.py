"""Plays an acquirer's days and writes everybody's files, day by day (see ``simulate``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tieout.core.errors import TieoutError
from tieout.dates import workdays
from tieout.files.store import Store
from tieout.simulator import (
    alipay_files,
    bank,
    fund_files,
    platform_files,
    qr_gateway_files,
    truth,
    unionpay_files,
    upi_files,
    wechat_files,
)
from tieout.simulator.bank import (
    BANK_ACCOUNT_ID,
    FEE_ACCOUNT_ID,
    OWN_FUNDS_ACCOUNT_ID,
    BankLine,
)
from tieout.simulator.events import (
    ALIPAY,
    CHANNELS,
    CUTOFF_MINUTES,
    NEVER,
    PURCHASE,
    QR_GATEWAY,
    UNIONPAY,
    UPI,
    WECHAT,
    Day,
    cut_before_the_platform,
    empty_events,
    empty_history,
    next_history,
    open_day,
    ordinary_events,
)
from tieout.simulator.injections import (
    Injected,
    check_kinds,
    inject_into_bank,
    inject_into_files,
)
from tieout.simulator.payment_codes import code_truth
from tieout.simulator.scenes import AdjustmentDesk, scene_events
from tieout.simulator.unionpay_files import UnionpayDay
from tieout.simulator.wechat_files import WalletDay
from tieout.simulator.world import Row, World, build_world, planned_advances

# Scenes a date has on top of its ordinary life, about.
SCENE_EVENTS = 15
UNPOSTED_VOUCHERS = 3
COUNTERPARTIES = {
    "unionpay": ("中国银联股份有限公司", "UPSETTLE"),
    "wechat": ("财付通支付科技有限公司", "TENPAY"),
    "alipay": ("支付宝（中国）网络技术有限公司", "ALIPAY"),
    # The same payer as UnionPay's: its text alone tells the two apart.
    "qr_gateway": ("中国银联股份有限公司", "QRSETTLE"),
    "upi": ("银联国际有限公司", "UPISETTLE"),
}
# The bank's own charge for the fee account, once a simulation, and its interest.
ACCOUNT_CHARGE_MINOR = 3_000
ACCOUNT_INTEREST_MINOR = 217
BANK_NAME = "示例银行备付金存管中心"
_KEYS = ("voucher_id", "platform_line", "channel_file", "channel_line")
_KEY_TYPES = {
    "voucher_id": pl.String,
    "platform_line": pl.Int64,
    "channel_file": pl.String,
    "channel_line": pl.Int64,
}


@dataclass(frozen=True)
class Funds:
    """How the week's money moves; the defaults are ordinary life.

    ``three_arrivals``: every channel pays each arrival in three lines; by default UnionPay does so
    once. ``returns``: payouts of each payment file that come back. ``every_merchant``: each
    merchant sells something each day, so that each payment date pays nearly all of them.
    ``stated_fees``: the platform says which fee it booked of each voucher. ``fund_bills``: the
    wallets send their fund bills beside their trade bills. ``freeze_orders``: the platform says
    kind, order and release of each freeze. ``qr_gateway``: wallets also pay through UnionPay's QR
    gateway, a channel of its own (examples/channels/qr_gateway). ``payment_codes``: the platform
    says with which digits the payment codes began. ``disputes``: chargebacks go on to
    representments and second chargebacks, and one payment a day is made twice.
    ``settlement_cycles``: some merchants are paid by other cycles than T+1. ``foreign_cards``:
    cards of foreign issuers pay in dollars and settle in yuan, through UnionPay International
    (examples/channels/upi). ``own_funds``: own funds have statements that show each advance, and
    the client reserve starts with nothing of our own in it.
    ``lags``: channel and days for those whose money does not come after one (of the reference data:
    `arrival_lag_days`). ``cutoff_minutes``: when the platform cuts its day; each channel's cut
    moves with it. ``wechat_cutoff_minutes``: where WeChat cuts before the platform.
    """

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
    lags: tuple[tuple[str, int], ...] = ()
    cutoff_minutes: int = CUTOFF_MINUTES
    wechat_cutoff_minutes: int | None = None

    def arrival_date(self, channel: str, accounting_date: date) -> date:
        """Return when the bank credits a channel's money for an accounting date.

        UnionPay and Alipay pay on a working day, WeChat on a calendar day.
        """
        earliest = accounting_date + timedelta(days=dict(self.lags).get(channel, 1))
        return earliest if channel == "wechat" else workdays.working_day_on_or_after(earliest)

    def noted(self) -> dict[str, Any]:
        """Return what a simulation is known by; what came later and is not asked for is none."""
        calendar = {
            "fund_bills", "freeze_orders", "qr_gateway", "payment_codes", "disputes",
            "settlement_cycles", "foreign_cards", "own_funds", "lags", "cutoff_minutes",
            "wechat_cutoff_minutes",
        }  # fmt: skip
        ordinary = asdict(Funds())
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in calendar or value != ordinary[name]
        }


@dataclass(frozen=True)
class SimulationReport:
    """What a simulation wrote.

    ``arrivals``: (channel, arrival date, amount in fen) of every planned arrival.
    ``statements``: bank statements delivered so far, inbox paths.
    """

    inbox: str
    truth_dir: Path
    first_date: date
    last_date: date
    files: int
    vouchers: int
    channel_records: int
    arrivals: tuple[tuple[str, date, int], ...]
    statements: tuple[str, ...]
    injected: tuple[Injected, ...]


@dataclass
class _Progress:
    """What the days so far hand to the next one."""

    pending: pl.DataFrame
    history: pl.DataFrame
    desk: AdjustmentDesk
    funds: Funds
    arrivals: dict[tuple[str, date], int]
    injected: list[Injected]
    billed_costs: dict[tuple[str, date], int] = field(default_factory=dict)
    fund_balances: dict[str, int] = field(default_factory=dict)
    files: int = 0
    vouchers: int = 0
    channel_records: int = 0


def simulate(  # noqa: PLR0917 - what a simulation is made of
    out: Path | str,
    seed: int,
    first_date: date,
    days: int,
    transactions: int,
    merchants: int,
    inject: Sequence[str],
    truth_dir: Path,
    deliver_through: date | None = None,
    on_day: Callable[[date], None] | None = None,
    funds: Funds | None = None,
) -> SimulationReport:
    """Write the files of one consistent acquirer for ``days`` accounting dates.

    The same arguments give the same bytes; the bank keeps what it has already sent.

    Args:
        out: Inbox: a folder or an fsspec URL.
        seed: Number every draw follows from.
        first_date: First accounting date; the platform goes live at its 00:00.
        days: Number of accounting dates, at least 1.
        transactions: Platform records a date, about (never fewer than some sixty).
        merchants: Number of merchants, at least 8 are made.
        inject: Kinds of INJECTIONS; each is put into the second date.
        truth_dir: Folder for the truth and the bank's books.
        deliver_through: Bank mornings up to this date are delivered; default: the first payment
            date.
        on_day: Called after each written date, for progress.
        funds: How the money moves; default: ordinary life.

    Raises:
        TieoutError: an unknown injection, a date outside the published calendar, numbers that make
            no sense, or another simulation in the same folders.
    """
    kinds = list(inject)
    check_kinds(kinds)
    _check_numbers(days, transactions, merchants)
    truth_dir = Path(truth_dir)
    funds = funds or Funds()
    arguments = {
        "seed": seed,
        "first_date": first_date.isoformat(),
        "days": days,
        "transactions": transactions,
        "merchants": merchants,
        "inject": sorted(kinds),
        "funds": funds.noted(),
    }
    fingerprint = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:16]
    bank.require_same_simulation(truth_dir, fingerprint)
    world = build_world(
        seed,
        first_date,
        days,
        transactions,
        merchants,
        every_merchant_sells=funds.every_merchant,
        states_fees=funds.stated_fees,
        states_orders=funds.freeze_orders,
        has_qr_gateway=funds.qr_gateway,
        shows_codes=funds.payment_codes,
        has_cycles=funds.settlement_cycles,
        has_foreign_cards=funds.foreign_cards,
        has_own_funds=funds.own_funds,
    )
    progress = _Progress(
        pending=empty_events().with_columns(
            *[pl.lit(None, dtype=kind).alias(name) for name, kind in _KEY_TYPES.items()]
        ),
        history=empty_history(),
        desk=AdjustmentDesk([], funds.disputes),
        funds=funds,
        arrivals={},
        injected=[],
    )
    fault_date = first_date + timedelta(days=min(1, days - 1))
    for number in range(days):
        day = open_day(
            world,
            number,
            days,
            first_date + timedelta(days=number),
            early_minutes=CUTOFF_MINUTES - funds.cutoff_minutes,
        )
        _play_day(
            day,
            transactions,
            progress,
            out=out,
            truth_dir=truth_dir,
            kinds=kinds,
            fault_date=fault_date,
        )
        if on_day is not None:
            on_day(day.accounting_date)
    arrivals = tuple(
        sorted((channel, when, amount) for (channel, when), amount in progress.arrivals.items())
    )
    plan = _bank_plan(arrivals, three_arrivals=funds.three_arrivals)
    for kind in kinds:
        due = {channel: funds.arrival_date(channel, fault_date) for channel in CHANNELS}
        payment_date = workdays.next_working_day(fault_date)
        done = inject_into_bank(kind, plan, fault_date, due, payment_date)
        if done is not None:
            progress.injected.append(done)
    bank.open_books(
        truth_dir,
        fingerprint,
        world.opening_balance_minor,
        plan,
        fee_opening_minor=world.fee_opening_balance_minor,
        fee_planned=_fee_plan(world, progress.billed_costs),
        own_funds_opening_minor=world.own_funds_opening_balance_minor,
        own_funds_planned=_own_funds_plan(world) if funds.own_funds else None,
        returns_per_batch=funds.returns,
    )
    through = deliver_through or workdays.next_working_day(first_date)
    statements = bank.deliver(out, truth_dir, through)
    report = SimulationReport(
        inbox=str(out),
        truth_dir=truth_dir,
        first_date=world.first_date,
        last_date=world.last_date,
        files=progress.files + len(statements),
        vouchers=progress.vouchers,
        channel_records=progress.channel_records,
        arrivals=arrivals,
        statements=tuple(statements),
        injected=tuple(progress.injected),
    )
    truth.write_json(truth_dir / "arguments.json", arguments)
    truth.write_json(truth_dir / "arrivals.json", _arrival_truth(world, days, arrivals, funds))
    truth.write_json(truth_dir / "injections.json", [item.as_dict() for item in report.injected])
    return report


def _check_numbers(days: int, transactions: int, merchants: int) -> None:
    """Refuse numbers a simulation cannot be made of.

    Raises:
        TieoutError: a number is below its least value or above what the ids can carry.
    """
    limits = (
        ("days", days, 1, 366),
        ("transactions", transactions, 1, 1_800_000),
        ("merchants", merchants, 1, 50_000),
    )
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise TieoutError(
                what=f"cannot simulate {value} {name}",
                where=f"--{name}",
                why=f"{name} must lie between {least} and {most}",
                next_step=f"choose --{name} in that range",
            )


def _play_day(
    day: Day,
    transactions: int,
    progress: _Progress,
    *,
    out: Path | str,
    truth_dir: Path,
    kinds: Sequence[str],
    fault_date: date,
) -> None:
    """Play one accounting date, write its files and its truth, hand over to the next."""
    world = day.world
    adjustments, extra_vouchers, taken = progress.desk.adjustments(day, progress.history)
    history = progress.history.filter(~pl.col("event_no").is_in(taken))
    scenes = scene_events(day, disputes=progress.funds.disputes)
    ordinary = ordinary_events(day, max(40, transactions - SCENE_EVENTS), history)
    ordinary = _leave_unposted(day, ordinary)
    progress.desk.remember(scenes)
    parts = [ordinary, scenes, extra_vouchers]
    if world.has_qr_gateway:
        parts.append(qr_gateway_files.events_of(day, transactions))
    if world.has_foreign_cards:
        parts.append(upi_files.events_of(day, transactions))
    fresh = pl.concat(parts).with_columns(
        *[pl.lit(None, dtype=kind).alias(name) for name, kind in _KEY_TYPES.items()]
    )
    fresh = cut_before_the_platform(day, fresh, progress.funds.wechat_cutoff_minutes)
    events = pl.concat([progress.pending, fresh])

    booked = platform_files.number_vouchers(
        day.accounting_date, events.filter(pl.col("platform_day") == day.day).drop(_KEYS)
    )
    booked = _with_original_vouchers(booked)
    channels = _channel_days(world, day, events, adjustments)
    lines = pl.concat([channel.records for channel in channels.values()])
    events = _with_keys(events, booked, lines)

    files = {
        platform_files.file_path("source_vouchers", day.accounting_date): (
            platform_files.source_vouchers(world, day.accounting_date, booked)
        ),
        platform_files.file_path("accounting_vouchers", day.accounting_date): (
            platform_files.accounting_vouchers(world, day.accounting_date, booked)
        ),
        **platform_files.snapshot_files(world, day.accounting_date, _opening_balances(world)),
    }
    for channel in channels.values():
        files.update(channel.files)
    if progress.funds.fund_bills:
        files.update(_fund_bills(world, day, events, progress.fund_balances))
    _write_truth(world, day, events, booked, channels, truth_dir=truth_dir, funds=progress.funds)
    _inject(files, kinds, fault_date, day, progress)
    store = Store(str(out))
    for path, content in files.items():
        store.write(path, content)

    for name, channel in channels.items():
        key = (name, progress.funds.arrival_date(name, day.accounting_date))
        progress.arrivals[key] = progress.arrivals.get(key, 0) + channel.net_amount_minor
        if isinstance(channel, WalletDay) and channel.billed_cost_minor:
            progress.billed_costs[name, day.accounting_date] = channel.billed_cost_minor
    progress.pending = events.filter(pl.max_horizontal("platform_day", "channel_day") > day.day)
    progress.history = next_history(day, history, booked)
    progress.files += len(files)
    progress.vouchers += booked.height
    progress.channel_records += lines.height


def _leave_unposted(day: Day, ordinary: pl.DataFrame) -> pl.DataFrame:
    """Take the accounting voucher away from a few of today's plain purchases."""
    plain = ordinary.filter(
        (pl.col("type") == PURCHASE)
        & (pl.col("platform_day") == day.day)
        & pl.col("posted")
        & pl.col("open_outcome").is_null()
    )["event_no"].to_numpy()
    chosen = day.random.choice(plain, size=min(UNPOSTED_VOUCHERS, len(plain)), replace=False)
    return ordinary.with_columns(
        posted=pl.col("posted") & ~pl.col("event_no").is_in(np.sort(chosen).tolist())
    )


def _with_original_vouchers(booked: pl.DataFrame) -> pl.DataFrame:
    """Fill in the voucher ids of originals booked on the same date."""
    originals = booked.select(original_no="event_no", today="voucher_id")
    return (
        booked.join(originals, on="original_no", how="left", maintain_order="left")
        .with_columns(original_voucher_id=pl.coalesce("original_voucher_id", "today"))
        .drop("today")
    )


def _channel_days(
    world: World, day: Day, events: pl.DataFrame, adjustments: Sequence[Any]
) -> dict[str, UnionpayDay | WalletDay]:
    """Return each channel's files of the date."""
    today = events.filter(pl.col("channel_day") == day.day).drop(_KEYS)
    of_channel = [today.filter(pl.col("channel") == number) for number in range(len(CHANNELS))]
    when = day.accounting_date
    files: dict[str, UnionpayDay | WalletDay] = {
        "unionpay": unionpay_files.write_day(world, when, of_channel[UNIONPAY], adjustments),
        "wechat": wechat_files.write_day(world, when, of_channel[WECHAT]),
        "alipay": alipay_files.write_day(world, when, of_channel[ALIPAY]),
    }
    if world.has_qr_gateway:
        files["qr_gateway"] = qr_gateway_files.write_day(world, when, of_channel[QR_GATEWAY])
    if world.has_foreign_cards:
        files["upi"] = upi_files.write_day(world, when, of_channel[UPI])
    return files


def _fund_bills(
    world: World, day: Day, events: pl.DataFrame, balances: dict[str, int]
) -> dict[str, bytes]:
    """Return the wallets' fund bills of the date; ``balances`` go on to the next one."""
    today = events.filter(pl.col("channel_day") == day.day).drop(_KEYS)
    files = {}
    for name, channel, write in (
        ("wechat", WECHAT, fund_files.write_wechat),
        ("alipay", ALIPAY, fund_files.write_alipay),
    ):
        records = today.filter(pl.col("channel") == channel)
        bill = write(world, day.accounting_date, records, balances.get(name, 0))
        files[bill.path] = bill.content
        balances[name] = bill.closing_minor
    return files


def _with_keys(events: pl.DataFrame, booked: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Note where each event's two sides stand, keeping what earlier dates noted."""
    vouchers = booked.select("event_no", "voucher_id", "platform_line")
    joined = events.join(
        vouchers, on="event_no", how="left", suffix="_new", maintain_order="left"
    ).join(lines, on="event_no", how="left", suffix="_new", maintain_order="left")
    return joined.with_columns(
        *[pl.coalesce(name, f"{name}_new").alias(name) for name in _KEYS]
    ).drop([f"{name}_new" for name in _KEYS])


def _opening_balances(world: World) -> list[Row]:
    """Return the ledger at go-live: the balances at the bank are our own money."""
    own = (
        world.opening_balance_minor
        + world.fee_opening_balance_minor
        + world.own_funds_opening_balance_minor
    )
    accounts = (
        ("client_reserve_bank", BANK_ACCOUNT_ID, world.opening_balance_minor),
        ("fee_bank", FEE_ACCOUNT_ID, world.fee_opening_balance_minor),
        ("own_funds_bank", OWN_FUNDS_ACCOUNT_ID, world.own_funds_opening_balance_minor),
        ("own_funds", "opening", -own),
    )
    return [
        {
            "ledger_account": account,
            "subledger_id": subledger,
            "currency_code": "CNY",
            "balance_minor": balance,
        }
        for account, subledger, balance in accounts
        if balance
    ]


def _write_truth(
    world: World,
    day: Day,
    events: pl.DataFrame,
    booked: pl.DataFrame,
    channels: dict[str, UnionpayDay | WalletDay],
    *,
    truth_dir: Path,
    funds: Funds,
) -> None:
    """Write the truth of the date."""
    seen = upi_files.as_settled(events)
    results = truth.expected_results(
        world.first_date,
        day.day,
        seen.filter((pl.col("platform_day") == day.day) | (pl.col("channel_day") == day.day)),
    )
    counts = results.group_by("channel", "outcome").len().sort("channel", "outcome")
    unionpay = channels["unionpay"]
    adjusted = unionpay.adjustment_lines if isinstance(unionpay, UnionpayDay) else ()
    vouchers = dict(
        booked.filter(pl.col("scene") == "manual_refund")
        .select("event_no", "voucher_id")
        .iter_rows()
    )
    closed = {number for item, _, _ in adjusted for number in item.closes_event_nos}
    facts = {
        "accounting_date": day.accounting_date.isoformat(),
        "source_vouchers": booked.height,
        "channel_records": {name: channel.records.height for name, channel in channels.items()},
        "outcomes": counts.to_dicts(),
        "catch_up_voucher_ids": truth.catch_up_voucher_ids(booked),
        "adjustments": truth.adjustment_truth(world.merchants, adjusted, vouchers),
        "scenes_closed_by_adjustment": len(closed),
        "net_amounts_minor": {name: channel.net_amount_minor for name, channel in channels.items()},
        "arrival_dates": {
            name: funds.arrival_date(name, day.accounting_date).isoformat() for name in channels
        },
    }
    if world.shows_codes:
        facts["payment_code_findings"] = code_truth(booked)
    truth.write_day(truth_dir, day.accounting_date, results, facts)


def _inject(
    files: dict[str, bytes],
    kinds: Sequence[str],
    fault_date: date,
    day: Day,
    progress: _Progress,
) -> None:
    """Put the asked-for faults into the day's files."""
    payment_date = workdays.next_working_day(fault_date)
    for kind in kinds:
        done = inject_into_files(
            kind,
            files,
            fault_date,
            day.accounting_date,
            payment_date=payment_date,
        )
        if done is not None:
            progress.injected.append(done)


def _bank_plan(
    arrivals: Sequence[tuple[str, date, int]], *, three_arrivals: bool
) -> list[tuple[date, list[BankLine], int]]:
    """Return the reserve's morning statements: a channel arrives in one line, or in three."""
    plan: dict[date, list[BankLine]] = {}
    unionpay_dates = [when for channel, when, _ in arrivals if channel == "unionpay"]
    for channel, when, amount in arrivals:
        name, text = COUNTERPARTIES[channel]
        in_three = three_arrivals or (channel, [when]) == ("unionpay", unionpay_dates[1:2])
        parts = [amount // 2, amount // 3, amount - amount // 2 - amount // 3]
        plan.setdefault(when, []).extend(
            BankLine(
                part,
                name,
                f"{text} {when:%Y%m%d}",
                kind="channel_arrival",
                about=f"{channel}-{when:%Y%m%d}-CNY",
            )
            for part in (parts if in_three else [amount])
        )
    return [(when, plan[when], 0) for when in sorted(plan)]


def _fee_plan(
    world: World, billed_costs: dict[tuple[str, date], int]
) -> list[tuple[date, list[BankLine], int]]:
    """Return the fee account's statements: each week's cost billed apart in one line on the first
    working day after it, and what the bank takes and gives of its own."""
    plan: dict[date, list[BankLine]] = {}
    weeks: dict[tuple[str, date], int] = {}
    for (channel, day), cost in billed_costs.items():
        key = (channel, day - timedelta(days=day.weekday()))
        weeks[key] = weeks.get(key, 0) + cost
    for (channel, monday), cost in sorted(weeks.items()):
        name, text = COUNTERPARTIES[channel]
        period = f"{monday:%GW%V}"
        line = BankLine(
            -cost,
            name,
            f"{text}FEE {period}",
            kind="period_fee",
            about=f"{channel} {period}",
        )
        due = workdays.next_working_day(monday + timedelta(days=6))
        if cost:
            plan.setdefault(due, []).append(line)
    own = workdays.working_day_on_or_after(world.last_date)
    for amount, text, kind in (
        (-ACCOUNT_CHARGE_MINOR, f"账户管理费 {own:%Y年%m月}", "bank_charge"),
        (ACCOUNT_INTEREST_MINOR, f"活期结息 {own:%Y年%m月}", "bank_interest"),
    ):
        plan.setdefault(own, []).append(BankLine(amount, BANK_NAME, text, kind=kind))
    return [(when, plan[when], 0) for when in sorted(plan)]


def _own_funds_plan(world: World) -> list[tuple[date, list[BankLine], int]]:
    """Return the statements of own funds: an empty one to begin with, and each advance's debit."""
    plan: dict[date, list[BankLine]] = {world.first_date: []}
    for advance_id, day, _, amount in planned_advances(world):
        if day <= world.last_date:
            text = f"ADVANCE {advance_id}"
            line = BankLine(-amount, "垫款", text, kind="advance", about=advance_id)
            plan.setdefault(day, []).append(line)
    return [(when, plan[when], 0) for when in sorted(plan)]


def _arrival_truth(
    world: World, days: int, arrivals: Sequence[tuple[str, date, int]], funds: Funds
) -> list[dict[str, Any]]:
    """Return the expected arrival groups with their accounting dates."""
    dates = [world.first_date + timedelta(days=number) for number in range(days)]
    return [
        {
            "arrival_group_id": f"{channel}-{when:%Y%m%d}-CNY",
            "channel": channel,
            "arrival_date": when.isoformat(),
            "accounting_dates": [
                each.isoformat() for each in dates if funds.arrival_date(channel, each) == when
            ],
            "amount_minor": amount,
        }
        for channel, when, amount in arrivals
    ]


__all__ = ["NEVER", "Funds", "SimulationReport", "simulate"]
