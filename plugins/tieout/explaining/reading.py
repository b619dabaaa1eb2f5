"""Reads what is known of a payment date from the tables that its close and its gate computed.

SQL reads and adds up; nothing is written. One payment date's partitions, the accounting dates it
pays and a week before them are all that is read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import psycopg

from tieout.explaining.facts import (
    BankLine,
    ChannelRecord,
    Charge,
    DateTotal,
    Facts,
    FileContent,
    Group,
    OpenItem,
    Row,
    Waiting,
)
from tieout.explaining.hypotheses import cost_of

__all__ = ["read_facts"]

# Of more records than these, those alone are read whose amount is the residual.
RECORDS_READ_WHOLE: Final = 20_000
_DAYS_BEFORE: Final = 7
# How many of the rates that a channel's costs show are tried for a record it does not show.
_RATES: Final = 3
_RATE_SAMPLE: Final = 2_000
# A rate of fewer than one record in so many is an accident.
_RATE_SHARE: Final = 20

_GROUPS: Final = """
select
    equation.arrival_group_id,
    equation.channel,
    equation.currency_code,
    equation.arrival_date,
    equation.accounting_dates,
    equation.is_expected,
    equation.residual_minor,
    jsonb_build_object(
        'bank_arrival', equation.bank_arrival_amount_minor,
        'channel_suspense_opened', equation.channel_suspense_opened_amount_minor,
        'channel_suspense_resolved', equation.channel_suspense_resolved_amount_minor,
        'system_suspense_opened', equation.system_suspense_opened_amount_minor,
        'system_suspense_resolved', equation.system_suspense_resolved_amount_minor,
        'channel_cost', equation.channel_cost_amount_minor,
        'brand_fee', equation.brand_fee_amount_minor,
        'adjustments_taken', equation.adjustments_taken_amount_minor,
        'fee_collections', equation.fee_collections_amount_minor,
        'recovery_fee', equation.recovery_fee_amount_minor,
        'merchant_fee', equation.merchant_fee_amount_minor,
        'clearing', equation.clearing_amount_minor
    ) as terms
from gate.balance_equation as equation
where equation.payment_date = %(payment_date)s
order by equation.arrival_group_id
"""

_LINES: Final = """
select
    lines.item_id,
    lines.amount_minor,
    files.file_name,
    lines.line_number,
    lines.booking_date,
    lines.arrival_group_id,
    lines.currency_code,
    lines.item_kind
from reconciliation.bank_match_lines as lines
left join control.channel_files as files on lines.file_id = files.file_id
where
    lines.payment_date = %(payment_date)s
    and lines.side = 'bank'
    and (
        lines.item_kind = 'channel_arrival'
        or (lines.item_kind = 'unclassified' and lines.is_open)
    )
order by lines.item_id
"""

_ITEMS: Final = """
with last_dates as (
    select
        equation.channel,
        equation.currency_code,
        max(dates.accounting_date) as accounting_date,
        min(dates.accounting_date) as first_date
    from gate.balance_equation as equation
    cross join lateral unnest(equation.accounting_dates) as dates (accounting_date)
    where equation.payment_date = %(payment_date)s and equation.residual_minor <> 0
    group by equation.channel, equation.currency_code
)

select
    items.suspense_item_id,
    items.amount_minor,
    files.file_name,
    items.line_number,
    items.side,
    items.opened_on,
    items.break_reason,
    items.linked_item_id,
    coalesce(records.channel_cost_minor, 0) as channel_cost_minor,
    items.channel,
    items.currency_code
from last_dates
inner join reconciliation.suspense_items as items
    on last_dates.channel = items.channel
    and last_dates.currency_code = items.currency_code
    and items.accounting_date between last_dates.first_date and last_dates.accounting_date
left join control.channel_files as files on items.file_id = files.file_id
left join intermediate.int_channels__records as records
    on items.side = 'channel'
    and items.source_id = records.channel_record_id
    and items.opened_on = records.accounting_date
    and records.accounting_date >= %(oldest)s
where
    items.accounting_date >= %(first)s
    and items.accounting_date < %(payment_date)s
    and (
        (
            items.accounting_date = last_dates.accounting_date
            and items.status in ('in_doubt', 'one_sided')
        )
        -- One that an adjustment has ended since may have been a fault of the file all the same.
        or items.status = 'adjusted'
    )
order by items.suspense_item_id
"""

# A day's records by the hundred thousand are counted here, and read where their amount can tell.
_RECORDS: Final = """
with results as (
    select
        results.channel_record_id,
        results.accounting_date,
        results.channel_amount_minor as amount_minor
    from reconciliation.reconciliation_results as results
    where
        results.accounting_date = any(%(dates)s)
        and results.channel = %(channel)s
        and results.currency_code = %(currency_code)s
        and results.outcome = 'matched'
),

records as (
    select
        results.channel_record_id,
        results.amount_minor,
        records.channel_cost_minor,
        records.line_number,
        records.file_id,
        count(*) over () as record_count
    from results
    inner join intermediate.int_channels__records as records
        on results.channel_record_id = records.channel_record_id
        and results.accounting_date = records.accounting_date
    where records.accounting_date = any(%(dates)s) and records.channel = %(channel)s
)

select
    records.channel_record_id,
    records.amount_minor,
    files.file_name,
    records.line_number,
    records.channel_cost_minor,
    records.record_count
from records
left join control.channel_files as files on records.file_id = files.file_id
where
    records.record_count <= %(read_whole)s
    or abs(records.amount_minor - records.channel_cost_minor) = %(residual)s
order by records.channel_record_id
"""

_RATE_ROWS: Final = """
select
    records.amount_minor,
    records.channel_cost_minor
from intermediate.int_channels__records as records
where
    records.accounting_date = any(%(dates)s)
    and records.channel = %(channel)s
    and records.currency_code = %(currency_code)s
    and records.amount_minor <> 0
order by abs(records.amount_minor) desc, records.channel_record_id
limit %(limit)s
"""

_CHARGES: Final = """
with charges as (
    select
        'brand_fee' as term,
        'intermediate.int_channels__brand_fees' as table_name,
        fees.brand_fee_id as row_id,
        fees.brand_fee_minor as taken_minor,
        fees.file_id,
        fees.line_number,
        fees.accounting_date,
        concat_ws(
            '|', fees.acquiring_institution_id, fees.forwarding_institution_id,
            fees.trace_number, fees.transmission_time, fees.brand_fee_minor
        ) as content,
        fees.channel,
        fees.currency_code
    from intermediate.int_channels__brand_fees as fees
    where fees.accounting_date = any(%(dates)s)
    union all
    select
        case types.equation_term when 'adjustments' then 'adjustments_taken'
            else 'fee_collections' end as term,
        'intermediate.int_channels__adjustments' as table_name,
        adjustments.adjustment_id as row_id,
        -(adjustments.funds_effect_minor + adjustments.fees_effect_minor) as taken_minor,
        adjustments.file_id,
        adjustments.line_number,
        adjustments.accounting_date,
        concat_ws(
            '|', adjustments.adjustment_type, adjustments.acquiring_institution_id,
            adjustments.forwarding_institution_id, adjustments.trace_number,
            adjustments.transmission_time, adjustments.original_trace_number,
            adjustments.original_transmission_time, adjustments.funds_effect_minor,
            adjustments.fees_effect_minor
        ) as content,
        adjustments.channel,
        adjustments.currency_code
    from intermediate.int_channels__adjustments as adjustments
    inner join reference.adjustment_types as types
        on adjustments.adjustment_type = types.adjustment_type
    where adjustments.accounting_date = any(%(dates)s)
)

select
    charges.table_name,
    charges.row_id,
    charges.taken_minor,
    files.file_name,
    charges.line_number,
    charges.term,
    charges.content,
    coalesce(suspended.status = 'suspended', false) as is_suspended
from charges
left join control.channel_files as files on charges.file_id = files.file_id
left join clearing.suspended_adjustments as suspended
    on charges.row_id = suspended.adjustment_id
    and charges.accounting_date = suspended.accounting_date
where
    charges.channel = %(channel)s
    and charges.currency_code = %(currency_code)s
    and charges.taken_minor <> 0
order by charges.term, charges.row_id
"""

_FILES: Final = """
select
    records.file_id,
    sum(records.amount_minor - records.channel_cost_minor)::bigint as net_minor,
    files.file_name,
    records.accounting_date,
    count(*) as record_count,
    sum(
        hashtextextended(
            concat_ws(
                '|', records.acquiring_institution_id, records.forwarding_institution_id,
                records.trace_number, records.transmission_time, records.channel_order_id,
                records.refund_order_id, records.transaction_type, records.amount_minor
            ),
            0
        )::numeric
    )::text as digest
from intermediate.int_channels__records as records
left join control.channel_files as files on records.file_id = files.file_id
where
    records.accounting_date >= %(first)s
    and records.accounting_date < %(payment_date)s
    and records.channel = %(channel)s
    and records.currency_code = %(currency_code)s
group by records.file_id, files.file_name, records.accounting_date
order by records.file_id
"""

_TOTALS: Final = """
select
    terms.accounting_date,
    (
        terms.channel_amount_minor - terms.channel_cost_amount_minor - terms.brand_fee_amount_minor
        - terms.adjustments_taken_amount_minor - terms.fee_collections_amount_minor
        - terms.recovery_fee_amount_minor
    )::bigint as net_minor
from clearing.channel_terms as terms
where
    terms.accounting_date >= %(first)s
    and terms.accounting_date < %(payment_date)s
    and terms.channel = %(channel)s
    and terms.currency_code = %(currency_code)s
order by terms.accounting_date
"""

# What a channel owes, and no file of the place has come, or none that counts.
_WAITING: Final = """
select
    owed.file_kind,
    owed.accounting_date,
    coalesce(
        (
            select min(files.file_name)
            from control.channel_files as files
            where
                files.channel = owed.channel
                and files.file_kind = owed.file_kind
                and files.accounting_date = owed.accounting_date
                and control.slot_has_part(files.slot, owed.name_part)
        ),
        ''
    ) as file_name,
    coalesce(
        (
            select min(files.status)
            from control.channel_files as files
            where
                files.channel = owed.channel
                and files.file_kind = owed.file_kind
                and files.accounting_date = owed.accounting_date
                and control.slot_has_part(files.slot, owed.name_part)
        ),
        'missing'
    ) as status
from unnest(%(dates)s::date[]) as dates (accounting_date)
cross join lateral control.owed_files(dates.accounting_date, dates.accounting_date) as owed
where
    owed.channel = %(channel)s
    and not exists (
        select 1
        from control.channel_files as files
        where
            files.channel = owed.channel
            and files.file_kind = owed.file_kind
            and files.accounting_date = owed.accounting_date
            and files.status = 'landed'
            and control.slot_has_part(files.slot, owed.name_part)
    )
order by owed.file_kind, owed.accounting_date, owed.name_part
"""

Connection = psycopg.Connection[Any]


def read_facts(connection: Connection, payment_date: date) -> Facts:
    """Read the groups of a payment date; of those that do not close, all that may say why."""
    connection.execute("set local enable_nestloop = off")
    groups = [_group(row) for row in connection.execute(_GROUPS, {"payment_date": payment_date})]
    dates = [day for group in groups for day in group.accounting_dates]
    bounds = {
        "payment_date": payment_date,
        "first": min(dates, default=payment_date) - timedelta(days=_DAYS_BEFORE),
        "oldest": min(dates, default=payment_date) - timedelta(days=62),
    }
    lines, unclassified = _lines(connection, payment_date)
    items = _items(connection, bounds)
    whole = []
    for read in groups:
        group = replace(read, lines=tuple(lines[read.arrival_group_id]))
        own = tuple(items[group.channel, group.currency_code])
        whole.append(
            _with_rows(connection, replace(group, items=own), bounds)
            if group.residual_minor
            else group
        )
    known = {group.arrival_group_id for group in groups}
    strays = [line for name, some in lines.items() if name not in known for line in some]
    return Facts(payment_date, tuple(whole), tuple(unclassified), tuple(strays))


def _group(row: Sequence[Any]) -> Group:
    return Group(
        arrival_group_id=str(row[0]),
        channel=str(row[1]),
        currency_code=str(row[2]),
        arrival_date=row[3],
        accounting_dates=tuple(sorted(row[4])),
        is_expected=bool(row[5]),
        residual_minor=int(row[6]),
        terms={name: int(amount) for name, amount in row[7].items()},
    )


def _lines(
    connection: Connection, payment_date: date
) -> tuple[dict[str, list[BankLine]], list[BankLine]]:
    by_group: dict[str, list[BankLine]] = defaultdict(list)
    unclassified = []
    for row in connection.execute(_LINES, {"payment_date": payment_date}):
        place = Row("reconciliation.bank_match_lines", str(row[0]), int(row[1]), row[2], row[3])
        line = BankLine(place, row[4], row[5])
        if row[7] == "unclassified":
            unclassified.append(line)
        else:
            by_group[str(row[5])].append(line)
    return by_group, unclassified


def _items(connection: Connection, bounds: dict[str, Any]) -> dict[tuple[str, str], list[OpenItem]]:
    found: dict[tuple[str, str], list[OpenItem]] = defaultdict(list)
    for row in connection.execute(_ITEMS, bounds):
        place = Row("reconciliation.suspense_items", str(row[0]), int(row[1]), row[2], row[3])
        item = OpenItem(place, str(row[4]), row[5], row[6], row[7], int(row[8]))
        found[str(row[9]), str(row[10])].append(item)
    return found


def _with_rows(connection: Connection, group: Group, bounds: dict[str, Any]) -> Group:
    wanted = {
        **bounds,
        "channel": group.channel,
        "currency_code": group.currency_code,
        "dates": list(group.accounting_dates),
        "residual": abs(group.residual_minor),
        "read_whole": RECORDS_READ_WHOLE,
        "limit": _RATE_SAMPLE,
    }
    records = connection.execute(_RECORDS, wanted).fetchall()
    rates = connection.execute(_RATE_ROWS, wanted).fetchall()
    return replace(
        group,
        records=tuple(
            ChannelRecord(
                Row("intermediate.int_channels__records", str(row[0]), int(row[1]), row[2], row[3]),
                int(row[4]),
            )
            for row in records
        ),
        record_count=int(records[0][5]) if records else 0,
        charges=tuple(
            Charge(
                Row(str(row[0]), str(row[1]), int(row[2]), row[3], row[4]),
                str(row[5]),
                str(row[6]),
                bool(row[7]),
            )
            for row in connection.execute(_CHARGES, wanted)
        ),
        files=tuple(
            FileContent(
                Row("control.channel_files", str(row[0]), int(row[1]), row[2]),
                row[3],
                int(row[4]),
                str(row[5]),
            )
            for row in connection.execute(_FILES, wanted)
        ),
        totals=tuple(DateTotal(row[0], int(row[1])) for row in connection.execute(_TOTALS, wanted)),
        waiting=tuple(
            Waiting(
                Row(
                    "control.channel_files", f"{group.channel}/{row[0]}/{row[1]}", 0, row[2] or None
                ),
                row[1],
                str(row[3]),
            )
            for row in connection.execute(_WAITING, wanted)
        ),
        cost_rates=_rates([(int(row[0]), int(row[1])) for row in rates]),
    )


def _rates(records: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the rates (hundredths of a percent) that explain a channel's costs, the first most.

    Each next one explains what those before it do not; a small amount has the cost of many rates.
    """
    left = list(records)
    rates: list[int] = []
    while len(rates) < _RATES:
        counts: Counter[int] = Counter()
        for amount, cost in left:
            rate = (abs(cost) * 20_000 + abs(amount)) // (2 * abs(amount))
            if cost_of(amount, rate) == cost:
                counts[rate] += 1
        if not counts:
            break
        rate, count = min(counts.items(), key=lambda one: (-one[1], one[0]))
        if rates and count * _RATE_SHARE < len(records):
            break
        rates.append(rate)
        left = [(amount, cost) for amount, cost in left if cost_of(amount, rate) != cost]
    return tuple(rates)
