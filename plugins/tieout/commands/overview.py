"""What people see at the end of a command: the week in one table, and where things lie.

Reads the public tables and the control tables; computes nothing but sums for display.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal, LiteralString

import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

from tieout import database
from tieout.core.money import amount_text
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.decisions import case_orders, payouts
from tieout.decisions import cases as dispute_cases
from tieout.gate import data_docs, waiting_releases
from tieout.runs import airflow_home, steps

__all__ = [
    "money",
    "print_day_stages",
    "print_places",
    "print_problems",
    "print_reconciliation",
    "print_stages",
    "print_week",
    "week_rows",
]

PAYOUTS_SHOWN = 10
LAPSED_SHOWN_DAYS = 7
MINOR_UNITS = {"JPY": 0, "KRW": 0}

WEEK = """
with accounting_dates as (
    select accounting_date, state
    from control.accounting_days
    where %(first)s::date is null or accounting_date between %(first)s and %(last)s
),

files as (
    select
        accounting_date,
        count(*) as file_count,
        coalesce(sum(row_count), 0) as row_count
    from control.channel_files
    where status = 'landed'
    group by accounting_date
),

results as (
    select
        accounting_date,
        count(*) filter (where outcome = 'matched') as matched_count,
        count(*) filter (where outcome in ('system_resolved', 'channel_resolved'))
            as resolved_count
    from reconciliation.reconciliation_results
    group by accounting_date
),

open_items as (
    select
        accounting_date,
        count(*) as open_count
    from reconciliation.suspense_items
    where status in ('in_doubt', 'one_sided')
    group by accounting_date
),

cleared as (
    select
        accounting_date,
        sum(transaction_amount_minor) as cleared_amount_minor,
        sum(fee_amount_minor) as fee_amount_minor
    from clearing.clearing_records
    group by accounting_date
)

select
    accounting_dates.accounting_date,
    accounting_dates.state,
    coalesce(files.file_count, 0),
    coalesce(files.row_count, 0),
    coalesce(results.matched_count, 0),
    coalesce(results.resolved_count, 0),
    coalesce(open_items.open_count, 0),
    coalesce(cleared.cleared_amount_minor, 0),
    coalesce(cleared.fee_amount_minor, 0)
from accounting_dates
left join files on accounting_dates.accounting_date = files.accounting_date
left join results on accounting_dates.accounting_date = results.accounting_date
left join open_items on accounting_dates.accounting_date = open_items.accounting_date
left join cleared on accounting_dates.accounting_date = cleared.accounting_date
order by accounting_dates.accounting_date
"""

PAYMENT = """
with decision as (
    select outcome
    from control.gate_decisions
    where payment_date = %(payment_date)s
    order by decision_id desc
    limit 1
),

statements as (
    select
        coalesce(sum(payout_amount_minor), 0) as payout_amount_minor,
        coalesce(sum(carried_forward_amount_minor), 0) as carried_amount_minor
    from settlement.settlement_statements
    where payment_date = %(payment_date)s
),

statuses as (
    select
        count(*) as payout_count,
        coalesce(sum(paid_amount_minor), 0) as paid_amount_minor,
        count(*) filter (where current_status in ('failed', 'unknown', 'returned')) as trouble_count
    from payout.payout_status
    where payment_date = %(payment_date)s
)

select
    (select outcome from decision),
    statements.payout_amount_minor,
    statements.carried_amount_minor,
    statuses.payout_count,
    statuses.paid_amount_minor,
    statuses.trouble_count
from statements
cross join statuses
"""


def money(amount_minor: int, currency_code: str = "CNY") -> str:
    """Return minor units as a grouped decimal number: 123456 fen is `1,234.56`."""
    digits = MINOR_UNITS.get(currency_code, 2)
    return f"{Decimal(int(amount_minor)).scaleb(-digits):,.{digits}f}"


def week_rows(
    settings: Settings, first: date | None = None, last: date | None = None
) -> list[tuple[Any, ...]]:
    """Return one row a date: date, state, files, rows, matched, resolved, open, cleared, fees."""
    with database.connect(settings) as connection:
        if not database.has_table(connection, "clearing.clearing_records"):
            return []
        return connection.execute(WEEK, {"first": first, "last": last}).fetchall()


def payment_row(settings: Settings, payment_date: date) -> tuple[Any, ...] | None:
    """Return gate outcome, stated, carried, payouts, paid and troubled of a payment date."""
    with database.connect(settings) as connection:
        if not database.has_table(connection, "payout.payout_status"):
            return None
        return connection.execute(PAYMENT, {"payment_date": payment_date}).fetchone()


def print_week(
    console: Console, settings: Settings, first: date | None = None, last: date | None = None
) -> None:
    """Print the dates with what came of them, the payment date beside the dates it pays."""
    table = Table(title="The days 日清总览 (amounts in CNY)", title_justify="left")
    headings: tuple[tuple[str, Literal["left", "right"]], ...] = (
        ("date\n会计日期", "left"),
        ("state\n状态", "left"),
        ("came in\nfiles/rows", "right"),
        ("matched\n对平", "right"),
        ("resolved\n抹平", "right"),
        ("open\n挂账", "right"),
        ("cleared\n清算金额", "right"),
        ("fees\n手续费", "right"),
        ("pays on\n付款日", "left"),
        ("gate\n平衡校验", "left"),
        ("paid\n已付", "right"),
        ("carried\n结转", "right"),
    )
    for heading, justify in headings:
        table.add_column(heading, justify=justify, no_wrap=True)
    rows = week_rows(settings, first, last)
    shown_on = _payments_shown_on(settings, [row[0] for row in rows])
    for row in rows:
        day = row[0]
        came = (
            f"{day:%a %d %b}",
            row[1],
            f"{row[2]}/{row[3]:,}",
            f"{row[4]:,}",
            f"{row[5]:,}",
            f"{row[6]:,}",
            money(row[7]),
            money(row[8]),
        )
        payments = shown_on.get(day, [])
        if not payments:
            table.add_row(*came, "  ┆", *_payment_cells(None))
        for number, payment_date in enumerate(payments):
            # A channel whose money comes later is paid later: a line of its own.
            left = came if number == 0 else ("",) * len(came)
            payment = payment_row(settings, payment_date)
            table.add_row(*left, f"{payment_date:%a %d %b}", *_payment_cells(payment))
    if rows:
        console.print(table)
    else:
        console.print("No date has been closed yet.")


def _payments_shown_on(settings: Settings, shown: Sequence[date]) -> dict[date, list[date]]:
    """Return which payment dates stand beside which date: the last of them that each pays."""
    if not shown:
        return {}
    last_paid: dict[date, date] = {}
    for paid in days.paid_dates(settings, min(shown), max(shown)):
        if paid.accounting_date in shown:
            last_paid[paid.payment_date] = paid.accounting_date  # they come in order
    beside: dict[date, list[date]] = {}
    for payment_date, day in sorted(last_paid.items()):
        beside.setdefault(day, []).append(payment_date)
    return beside


def _payment_cells(payment: tuple[Any, ...] | None) -> tuple[str, str, str]:
    if payment is None or payment[0] is None:
        return "", "", ""
    outcome, _, carried, _, paid, troubled = payment
    paid_text = money(paid) + (f" ({troubled} not paid)" if troubled else "")
    return str(outcome), paid_text, money(carried)


def print_reconciliation(console: Console, settings: Settings, day: date | None) -> None:
    """Print match rates, what opened and why, and open items by age of a date (default: latest)."""
    with database.connect(settings) as connection:
        if not database.has_table(connection, "reconciliation.match_rates"):
            return
        row = connection.execute(
            "select max(accounting_date) from reconciliation.match_rates"
            " where %(day)s::date is null or accounting_date = %(day)s",
            {"day": day},
        ).fetchone()
        shown = row[0] if row else None
        if shown is None:
            return
        rates = connection.execute(
            """
            select
                channel,
                currency_code,
                system_record_count,
                channel_record_count,
                matched_count,
                system_match_rate,
                channel_match_rate
            from reconciliation.match_rates
            where accounting_date = %s
            order by channel, currency_code
            """,
            [shown],
        ).fetchall()
        causes = connection.execute(
            """
            select channel, side, cause, suggested_action, item_count, amount_minor, currency_code
            from reconciliation.breaks_by_cause
            where accounting_date = %s
            order by channel, side, cause, suggested_action, currency_code
            """,
            [shown],
        ).fetchall()
        ages = connection.execute(
            """
            select channel, side, age_bucket, item_count, amount_minor, currency_code
            from reconciliation.aged_open_items
            where accounting_date = %s
            order by channel, side, age_from_days, currency_code
            """,
            [shown],
        ).fetchall()
    console.print(f"Reconciliation of {shown} 对账")
    for channel, currency, system, from_channel, matched, system_rate, channel_rate in rates:
        console.print(
            f"  {channel:<10} {currency}  system {system:,}, channel {from_channel:,}, matched "
            f"{matched:,}; paired {_percent(system_rate)} of system, {_percent(channel_rate)} "
            "of channel 对平率"
        )
    for channel, side, cause, action, count, amount, currency in causes:
        console.print(
            f"  opened 新增挂账 {channel:<10} {side:<8} {cause:<18} {count:>5}  "
            f"{money(amount, currency):>14} {currency}  → {action}"
        )
    for channel, side, bucket, count, amount, currency in ages:
        console.print(
            f"  open 挂账余额   {channel:<10} {side:<8} {bucket + ' days':<18} {count:>5}  "
            f"{money(amount, currency):>14} {currency}"
        )


def _percent(rate: Decimal | None) -> str:
    return "-" if rate is None else f"{rate * 100:.2f} %"


def print_stages(console: Console, settings: Settings) -> None:
    """Print how long each stage of the newest runs took, summed over the dates."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            with newest as (
                select distinct on (kind, business_date, stage)
                    kind,
                    business_date,
                    stage,
                    seconds,
                    row_count
                from control.run_stages
                order by kind asc, business_date asc, stage asc, finished_at desc
            )

            select kind, stage, count(*), sum(seconds), max(seconds), sum(row_count)
            from newest
            where stage not in ('ready', 'claim', 'release')
            group by kind, stage
            order by kind, sum(seconds) desc
            """
        ).fetchall()
    if not rows:
        return
    table = Table(title="Stages", title_justify="left")
    for heading in ("run", "stage", "dates", "seconds in all", "longest", "rows"):
        table.add_column(heading)
    for kind, stage, count, total, longest, row_count in rows:
        table.add_row(
            kind,
            stage,
            str(count),
            f"{float(total):.1f}",
            f"{float(longest):.1f}",
            "" if row_count is None else f"{int(row_count):,}",
        )
    console.print(table)


def print_day_stages(console: Console, settings: Settings, day: date) -> None:
    """Print each run of a date, step by step, newest last."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select kind, stage, seconds, row_count
            from control.run_stages
            where business_date = %s and stage not in ('ready', 'claim', 'release')
            order by finished_at, stage
            """,
            [day],
        ).fetchall()
    for kind, stage, seconds, row_count in rows:
        rows_text = "" if row_count is None else f"{int(row_count):,} rows"
        console.print(f"  {kind:<18} {stage:<10} {float(seconds):6.1f} s  {rows_text}")


def _refused_vouchers(
    connection: psycopg.Connection[Any], day: date | None
) -> list[tuple[Any, ...]]:
    """Return date, count, first voucher and its reason of each date that refused vouchers."""
    if not database.has_table(connection, "clearing.refused_vouchers"):
        return []
    return connection.execute(
        """
        select
            accounting_date,
            count(*),
            min(voucher_id),
            (array_agg(reason order by voucher_id))[1]
        from clearing.refused_vouchers
        where %(day)s::date is null or accounting_date = %(day)s
        group by accounting_date
        order by accounting_date
        """,
        {"day": day},
    ).fetchall()


def _stated_fees(connection: psycopg.Connection[Any], day: date | None) -> list[tuple[Any, ...]]:
    """Return date, count and first voucher of each date whose stated fees stop its payment."""
    if not database.has_table(connection, "clearing.stated_fee_findings"):
        return []
    return connection.execute(
        """
        select findings.accounting_date, count(*), min(findings.accounting_voucher_id)
        from clearing.stated_fee_findings as findings
        inner join control.accounting_days as days
            on findings.accounting_date = days.accounting_date
        where findings.stops_payment
            and days.state <> 'sealed'
            and (%(day)s::date is null or findings.accounting_date = %(day)s)
        group by findings.accounting_date
        order by findings.accounting_date
        """,
        {"day": day},
    ).fetchall()


def _waiting_conversions(
    connection: psycopg.Connection[Any], day: date | None
) -> list[tuple[Any, ...]]:
    """Return date, reason, channel, count, sum (minor units), its currency and the age in days of
    foreign vouchers that no record settles, of a date; default: of the newest."""
    if not database.has_table(connection, "clearing.waiting_conversions"):
        return []
    return connection.execute(
        """
        select waiting.accounting_date, waiting.reason, waiting.channel, count(*),
            sum(abs(waiting.transaction_amount_minor))::bigint, waiting.transaction_currency_code,
            max(waiting.age_days)
        from clearing.waiting_conversions as waiting
        where waiting.accounting_date = coalesce(
            %(day)s::date,
            (select max(accounting_date) from control.accounting_days where close_count > 0)
        )
        group by waiting.accounting_date, waiting.reason, waiting.channel,
            waiting.transaction_currency_code
        order by waiting.channel, waiting.reason, waiting.transaction_currency_code
        """,
        {"day": day},
    ).fetchall()


def _channel_findings(
    connection: psycopg.Connection[Any],
    day: date | None,
    table: str,
    amount: LiteralString,
    counts: LiteralString = "true",
) -> list[tuple[Any, ...]]:
    """Return date, channel, count, sum (minor units) and currency of a table's findings, of dates
    that are not sealed.

    Args:
        connection: who may read the table.
        day: of this date alone; default: of all.
        table: `schema.name`; one that is not there yet has none.
        amount: what of a finding is added up, in SQL; so is `counts`, which of them are counted.
    """
    if not database.has_table(connection, table):
        return []
    query = sql.SQL(
        """
        select
            findings.accounting_date,
            findings.channel,
            count(*),
            sum({amount})::bigint,
            findings.currency_code
        from {table} as findings
        inner join control.accounting_days as days
            on findings.accounting_date = days.accounting_date
        where days.state <> 'sealed'
            and {counts}
            and (%(day)s::date is null or findings.accounting_date = %(day)s)
        group by findings.accounting_date, findings.channel, findings.currency_code
        order by findings.accounting_date, findings.channel, findings.currency_code
        """
    ).format(
        amount=sql.SQL(amount),
        table=sql.Identifier(*table.split(".")),
        counts=sql.SQL(counts),
    )
    return connection.execute(query, {"day": day}).fetchall()


def print_problems(console: Console, settings: Settings, day: date | None) -> None:
    """Print what holds dates up: runs at work, files not accepted, and the last failures."""
    with database.connect(settings) as connection:
        files = connection.execute(
            """
            select accounting_date, status, channel, file_kind, file_name, reason
            from control.channel_files
            where status in ('quarantined', 'conflict', 'refused', 'version')
                and (%(day)s::date is null or accounting_date = %(day)s)
            order by accounting_date, channel, file_kind, file_name
            """,
            {"day": day},
        ).fetchall()
        unknown = connection.execute(
            "select count(*) from control.channel_files where status = 'unrecognised'"
        ).fetchone()
        reopened = connection.execute(
            """
            select days.accounting_date, opened.reason
            from control.accounting_days as days
            left join lateral (
                select
                    files.file_name || ' (' || decisions.action || ' by ' || decisions.decided_by
                    || '): ' || decisions.reason as reason
                from control.file_decisions as decisions
                inner join control.channel_files as files on decisions.file_id = files.file_id
                where days.accounting_date = any(decisions.reopened_dates)
                order by decisions.decision_id desc
                limit 1
            ) as opened on true
            where days.state = 'open'
                and days.close_count > 0
                and (%(day)s::date is null or days.accounting_date = %(day)s)
            order by days.accounting_date
            """,
            {"day": day},
        ).fetchall()
    for lease in days.leases(settings):
        what = f"{lease.kind} of {lease.business_date} since {lease.leased_at:%F %T %Z}"
        if lease.is_alive and _is_worked_on(settings, lease):
            console.print(f"at work: {what} ({lease.owner})")
        else:
            console.print(
                f"broken off: {what}: who worked on it ({lease.owner}) is gone; start it again"
            )
    unfinished = days.unfinished_payment(settings)
    if unfinished is not None:
        console.print(f"not finished: the payment of {unfinished}: run tieout pay {unfinished}")
    for row in files:
        console.print(f"not accepted: {row[0]} {row[2]} {row[3]} {row[4]}: {row[1]}: {row[5]}")
    _print_findings(console, settings, day)
    if unknown is not None and unknown[0] and day is None:
        console.print(f"of unknown names: {unknown[0]} files (tieout quarantine list)")
    for opened_date, reason in reopened:
        why = f" because of {reason}" if reason else ""
        console.print(f"to be closed again: {opened_date}{why}", soft_wrap=True, markup=False)
    print_waiting_releases(console, settings, day)
    _print_payee_problems(console, settings, day)
    _print_payout_problems(console, settings, day)
    _print_bank_problems(console, settings, day)
    _print_freeze_problems(console, settings, day)
    _print_cases(console, settings)
    for path in sorted((settings.logs_dir / "failures").glob("*.json")):
        failure = steps.read_failure_file(path)
        if day is None or failure.day == day:
            console.print(f"failed: {failure.kind} of {failure.day} in {failure.stage}:")
            console.print(f"  {failure.as_error()}")


_CODE_FINDINGS: Final[tuple[tuple[str, LiteralString], ...]] = (
    ("names another channel (付款码与渠道不符)", "findings.finding = 'other_channel'"),
    ("names no wallet (付款码无法识别)", "findings.finding <> 'other_channel'"),
)


def _print_findings(console: Console, settings: Settings, day: date | None) -> None:
    """Print what the close found of each date's files that people have to look at."""
    with database.connect(settings) as connection:
        refused = _refused_vouchers(connection, day)
        stated = _stated_fees(connection, day)
        costs = _channel_findings(
            connection, day, "clearing.channel_cost_findings", "findings.claimable_amount_minor"
        )
        funds = _channel_findings(
            connection,
            day,
            "reconciliation.fund_bill_findings",
            "abs(findings.difference_minor)",
            "findings.finding <> 'booked_later'",
        )
        waiting = _waiting_conversions(connection, day)
        codes = [
            (says, row)
            for says, counts in _CODE_FINDINGS
            for row in _channel_findings(
                connection,
                day,
                "reconciliation.payment_code_findings",
                "abs(findings.amount_minor)",
                counts,
            )
        ]
    for row in refused:
        console.print(
            f"refused: {row[0]} {row[1]} source vouchers contradict our history (拒收凭证), the "
            f"first {row[2]}: {row[3]} (clearing.refused_vouchers)"
        )
    for row in stated:
        console.print(
            f"other fees: {row[0]} {row[1]} that the platform states are not the contract's "
            f"(列示手续费不符), the first {row[2]} (clearing.stated_fee_findings)"
        )
    for row in costs:
        console.print(
            f"channel costs: {row[0]} {row[2]} records of {row[1]} are not as its price list asks "
            f"(与渠道价目不符), claimable {amount_text(row[3], row[4])} "
            "(clearing.channel_cost_findings)"
        )
    for row in funds:
        console.print(
            f"fund bills: {row[0]} {row[2]} numbers of {row[1]} are booked otherwise than its "
            f"trade bill says (资金账单不符), together {amount_text(row[3], row[4])} "
            "(reconciliation.fund_bill_findings)"
        )
    for row in waiting:
        console.print(
            f"foreign vouchers: {row[0]} {row[3]} of {row[2]} are not settled, {row[1]}, together "
            f"{amount_text(row[4], row[5])}, the oldest {row[6]} days (待换汇凭证) "
            "(clearing.waiting_conversions)"
        )
    for says, row in codes:
        console.print(
            f"payment codes: {row[0]} {row[2]} vouchers booked on {row[1]} have a code that "
            f"{says}, together {amount_text(row[3], row[4])} (reconciliation.payment_code_findings)"
        )


def print_chains(console: Console, settings: Settings, day: date | None) -> None:
    """Print the heads of a payment date's chains, to be kept elsewhere; default: the newest's."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select heads.chain, heads.link_no, left(heads.link_sha256, 16), newest.payment_date
            from (
                select coalesce(%(day)s::date, max(payment_date)) as payment_date
                from control.chain_links
            ) as newest
            cross join lateral control.chain_heads(newest.payment_date) as heads
            order by heads.chain
            """,
            {"day": day},
        ).fetchall()
    if rows:
        heads = ", ".join(f"{chain} {number} {sha256}" for chain, number, sha256, _ in rows)
        console.print(
            f"chains of payment date {rows[0][3]} (哈希链): {heads}", soft_wrap=True, markup=False
        )


def print_waiting_releases(console: Console, settings: Settings, day: date | None) -> None:
    """Print the releases that a second person has not approved."""
    for one in waiting_releases(settings, day):
        console.print(
            f"waits for a second person: release {one.release_id} of payment date "
            f"{one.payment_date}, asked for by {one.requested_by}: {one.reason} "
            f"(tieout gate approve {one.release_id})",
            soft_wrap=True,
            markup=False,
        )


def _is_worked_on(settings: Settings, lease: days.Lease) -> bool:
    """Say whether anybody can work for the owner: Airflow keeps a run `running` that was killed."""
    is_command = lease.owner.startswith(days.COMMAND_PREFIX)
    return is_command or airflow_home.scheduler_is_alive(settings)


def _print_cases(console: Console, settings: Settings) -> None:
    """Print disputes that wait for us or for the channel, and what may have been paid twice."""
    with database.connect(settings) as connection:
        if not database.has_table(connection, "clearing.cases"):
            return
    found = dispute_cases.cases(settings)
    due = sorted(case.next_due_on for case in found if case.next_due_on is not None)
    if due:
        late = sum(day <= found[0].accounting_date for day in due)
        console.print(
            f"cases 差错案件: {len(due)} wait for us, the first until {due[0]}"
            + (f"; {late} are overdue 逾期" if late else "")
            + " (tieout cases list --due-within 3)"
        )
    for case in found:
        # Told for as long as somebody may still ask why; after that the table knows it.
        if case.lapsed_days is not None and case.lapsed_days <= LAPSED_SHOWN_DAYS:
            console.print(
                f"case 差错案件 {case.case_id} lapsed on {case.due_on}: "
                f"{amount_text(case.disputed_minor, case.currency_code)} were not represented in "
                "time (docs/runbooks/chargeback.md)",
                soft_wrap=True,
            )
    for case in found:
        if case.sent_on is not None and case.is_open and case.status != "represented":
            console.print(
                f"case 差错案件 {case.case_id}: order {case.order_id} left on {case.sent_on} in "
                f"{case.file_name}, no answer of {case.channel} for "
                f"{max((case.accounting_date - case.sent_on).days, 0)} days",
                soft_wrap=True,
            )
    for channel, count in case_orders.unsent(settings).items():
        console.print(
            f"case orders 案件指令: {count} for {channel} are approved and did not leave "
            "(tieout cases send)"
        )
    pairs = len(dispute_cases.duplicate_payments(settings))
    if pairs:
        console.print(f"paid twice? 疑似重复支付: {pairs} pairs of sales (tieout cases duplicates)")


def _print_payee_problems(console: Console, settings: Settings, day: date | None) -> None:
    """Print whom no payment file could name on the latest payment date: they are not paid."""
    with database.connect(settings) as connection:
        found = connection.execute(
            """
            select payment_date, payee_id, payee_version, reason
            from payout.unwritable_payees
            where payment_date = coalesce(
                %(day)s::date, (select max(payment_date) from payout.instructions)
            )
            order by payee_id, payee_version
            """,
            {"day": day},
        ).fetchall()
    for payment_date, payee_id, version, reason in found:
        console.print(
            f"payee 收款人 {payee_id} version {version} is withheld on {payment_date}: {reason} "
            "(docs/runbooks/payee-unwritable.md)",
            soft_wrap=True,
        )


def _print_payout_problems(console: Console, settings: Settings, day: date | None) -> None:
    """Print payouts that are unknown, failed, returned, held or overdue, oldest first."""
    with database.connect(settings) as connection:
        if not database.has_table(connection, "reference.payee_return_reasons"):
            return
    as_of = day or payouts.business_day(settings)
    found = payouts.open_payouts(settings, as_of)
    for payout in found[:PAYOUTS_SHOWN]:
        marks = [text for text in (payout.reason_code, payout.policy) if text]
        if payout.is_overdue:
            marks.append("overdue 逾期: no answer of the bank when it was due")
        if payout.inquiry_count:
            marks.append(f"asked {payout.inquiry_count} times")
        if payout.held_by:
            marks.append(f"held by {payout.held_by}")
        console.print(
            f"payout 代付 {payout.statement_id}, {money(payout.amount_minor, payout.currency_code)}"
            f" {payout.currency_code}: {payout.state} since {payout.since}, age {payout.age_days}"
            f" days{' (' + ', '.join(marks) + ')' if marks else ''}: tieout payouts show",
            soft_wrap=True,
        )
    if len(found) > PAYOUTS_SHOWN:
        console.print(f"and {len(found) - PAYOUTS_SHOWN} more: tieout payouts list")


def _print_freeze_problems(console: Console, settings: Settings, day: date | None) -> None:
    """Print the freezes that go on although the platform's latest snapshot says otherwise."""
    with database.connect(settings) as connection:
        if not database.has_table(connection, "settlement.freezes"):
            return
        found = connection.execute(
            """
            select payment_date, freeze_id, account_id, contradiction
            from settlement.freezes
            where contradiction is not null
                and payment_date = coalesce(
                    %(day)s::date, (select max(payment_date) from settlement.freezes)
                )
            order by freeze_id
            """,
            {"day": day},
        ).fetchall()
    for payment_date, freeze_id, account_id, contradiction in found:
        console.print(
            f"freeze 冻结 {freeze_id} of {account_id} goes on on {payment_date}: the platform's "
            f"snapshot has it {contradiction.replace('_', ' ')}; it ends by its end date only "
            "(settlement.freezes)",
            soft_wrap=True,
        )


def _print_bank_problems(console: Console, settings: Settings, day: date | None) -> None:
    """Print the payouts that are unknown, and the bank lines that fail the next gate."""
    with database.connect(settings) as connection:
        if database.has_table(connection, "payout.payout_status"):
            for payment_date, count, amount, currency in connection.execute(
                """
                select payment_date, count(*), sum(payout_amount_minor), currency_code
                from payout.payout_status
                where current_status = 'unknown'
                    and (%(day)s::date is null or payment_date = %(day)s)
                group by payment_date, currency_code
                order by payment_date, currency_code
                """,
                {"day": day},
            ).fetchall():
                console.print(
                    f"unknown 未决: {count} payouts of {payment_date}, {money(amount, currency)} "
                    f"{currency}: ask the bank, never send them again "
                    "(docs/runbooks/payout-unresolved.md)",
                    soft_wrap=True,
                )
        if database.has_table(connection, "reconciliation.unexplained_bank_lines"):
            for name, amount, currency, reason, opened_on in connection.execute(
                """
                select
                    file_id || ':' || line_number,
                    unexplained_amount_minor,
                    currency_code,
                    reason,
                    opened_on
                from reconciliation.unexplained_bank_lines
                where status = 'open'
                    and payment_date = coalesce(
                        %(day)s,
                        (select max(payment_date) from reconciliation.unexplained_bank_lines)
                    )
                order by opened_on, file_id, line_number
                """,
                {"day": day},
            ).fetchall():
                console.print(
                    f"bank line 未解释流水: {name} {money(amount, currency)} {currency}, {reason}, "
                    f"since {opened_on}: fails the next gate (tieout bank-lines show {name})",
                    soft_wrap=True,
                )


def print_places(console: Console, settings: Settings) -> None:
    """Print where the files and the documents lie."""
    from tieout.files.store_urls import shown_url  # noqa: PLC0415  fsspec is heavy

    outbox = shown_url(settings.outbox_url).removeprefix("file://")
    payment_files = shown_url(settings.payment_files_url).removeprefix("file://")
    places = {
        "payment files 付款文件": f"{payment_files}/payouts/",
        "settlement statements 结算单": f"{outbox}/statements/",
        "dbt docs (tables, columns)": str(settings.docs_dir / "dbt" / "index.html"),
        "Data Docs (gate)": str(data_docs.folder(settings) / data_docs.INDEX_NAME),
        "logs": str(settings.logs_dir),
        "SQL": "psql $(tieout url)",
    }
    width = max(_cells(name) for name in places)
    for name, place in places.items():
        pad = " " * (width - _cells(name))
        console.print(f"  {name}{pad}  {place}", soft_wrap=True, highlight=False)


def _cells(text: str) -> int:
    """Return the terminal cells of a text: a Chinese character takes two."""
    return sum(2 if ord(character) > 0x2E7F else 1 for character in text)
