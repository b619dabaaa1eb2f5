"""Closes many worlds at once in a real database, and compares every table with the oracle.

Worlds are independent channels, so a week of closes is computed once for all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

import builds
import oracle
import oracle_holds
import worlds
from tieout import database
from tieout.core.settings import Settings
from tieout.dates import workdays

Row = dict[str, Any]
Canon = tuple[tuple[str, Any], ...]
SHOWN = 12
UNSAID = "the page does not say"
ONE_OF_SEVERAL = "one of the adjustments"
# What the equation's public table calls the oracle's terms.
TERMS = {
    "bank_arrival_amount_minor": "bank_arrival",
    "channel_suspense_opened_amount_minor": "channel_suspense_opened",
    "channel_suspense_resolved_amount_minor": "channel_suspense_resolved",
    "system_suspense_opened_amount_minor": "system_suspense_opened",
    "system_suspense_resolved_amount_minor": "system_suspense_resolved",
    "channel_cost_amount_minor": "channel_cost",
    "brand_fee_amount_minor": "brand_fee",
    "adjustments_taken_amount_minor": "adjustments_taken",
    "fee_collections_amount_minor": "fee_collections",
    "merchant_fee_amount_minor": "merchant_fee",
    "clearing_amount_minor": "clearing",
    "residual_minor": "residual",
}
STEPS = ("opening", "opened", "resolved", "adjusted", "written_off", "closing")
COMPARED = ("results", "items", "roll_forwards", "equations")


def dates_from(first: date) -> list[date]:
    """The accounting dates of a week of worlds."""
    return [first + timedelta(days=day) for day in range(worlds.DAYS)]


def payment_dates_from(first: date) -> list[date]:
    """The payment dates that pay the week, arrivals up to two days late included."""
    last = workdays.working_day_on_or_after(first + timedelta(days=worlds.DAYS + 2))
    days = [first + timedelta(days=day) for day in range(1, (last - first).days + 1)]
    return [day for day in days if workdays.is_working_day(day)]


def load(connection: psycopg.Connection[Any], rendered: worlds.Rendered) -> None:
    """Write the rows of worlds into a seeded database without other channels' reference rows."""
    for table in (
        "reference.channels",
        "reference.channel_currencies",
        "reference.match_rules",
        "reference.expected_files",
    ):
        connection.execute(sql.SQL("truncate {}").format(_name(table)))
    connection.execute("delete from reference.bank_line_rules where channel is not null")
    connection.execute("delete from reference.bank_accounts where currency_code = 'USD'")
    connection.execute(
        "insert into reference.bank_accounts (bank_account_id, account_kind, account_name,"
        " bank_code, bank_name, currency_code) select %s, account_kind, account_name, bank_code,"
        " bank_name, 'USD' from reference.bank_accounts where currency_code = 'CNY' limit 1",
        [worlds.BANK_ACCOUNTS["USD"]],
    )
    connection.execute(
        "insert into reference.payout_rails select %s, rail, customer_id, payments_per_file,"
        " payment_limit_minor, creditor_address, acknowledgement from reference.payout_rails"
        " limit 1",
        [worlds.BANK_ACCOUNTS["USD"]],
    )
    for table, rows in rendered.tables.items():
        if table.startswith("raw."):
            for day in sorted({row["accounting_date"] for row in rows}):
                connection.execute(
                    sql.SQL(
                        "create table if not exists {} partition of {} for values in ({})"
                    ).format(_name(f"{table}_p{day:%Y%m%d}"), _name(table), sql.Literal(day))
                )
        _copy(connection, table, rows)
        connection.execute(sql.SQL("analyze {}").format(_name(table)))
    connection.execute(
        "select control.register_vouchers(file_id, booked_on)"
        " from (select distinct file_id, accounting_date as booked_on"
        "       from raw.platform_source_vouchers) as files"
    )
    # Worlds refund sales of the time before them as they like.
    connection.execute(
        "insert into reference.history_limits select channel, currency_code, 1000000000000, 1000000"
        " from reference.channel_currencies"
    )


def _copy(connection: psycopg.Connection[Any], table: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    names = list(rows[0])
    statement = sql.SQL("copy {} ({}) from stdin").format(
        _name(table), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            values = [row[name] for name in names]
            copy.write_row([Jsonb(value) if isinstance(value, dict) else value for value in values])


def _name(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))


def read_tables(connection: psycopg.Connection[Any]) -> dict[str, list[Row]]:
    """The oracle's input, as the database holds it."""
    return {table: _rows(connection, f"select * from {table}") for table in oracle.TABLES}


def _rows(connection: psycopg.Connection[Any], query: str) -> list[Row]:
    cursor = connection.execute(query)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@dataclass
class ClosedWorlds:
    """Worlds, what the SQL made of them (tables by name), and what the oracle did."""

    named: Mapping[str, worlds.World]
    rendered: worlds.Rendered
    first: date
    source: oracle.Landed
    sql_rows: Mapping[str, list[Row]]

    @cached_property
    def closes(self) -> dict[str, list[oracle.Close]]:
        """The oracle's week of each channel."""
        return oracle.close_week(self.source, dates_from(self.first))

    @cached_property
    def equations(self) -> list[oracle.Equation]:
        """The oracle's equations."""
        return oracle.equations(self.source, self.closes, dates_from(self.first))

    @cached_property
    def holds(self) -> list[oracle_holds.Hold]:
        """What the oracle says is held, and what ended, on each payment date."""
        dates = payment_dates_from(self.first)
        found = oracle_holds.holds(self.source, self.closes, self.equations, dates)
        return [row for row in found if row.says_something]

    @cached_property
    def by_oracle(self) -> dict[str, dict[str, Counter[Canon]]]:
        """Table -> channel -> rows, in the form both sides are compared in."""
        links = self._links
        doubt = {
            channel.name: timedelta(days=channel.doubt_period_closes)
            for channel in self.source.channels
        }
        found = {
            "results": {
                name: [_result(row, links) for close in closes for row in close.results]
                for name, closes in self.closes.items()
            },
            "items": {
                name: [
                    _item(item, close.accounting_date, doubt[name])
                    for close in closes
                    for item in close.items
                ]
                for name, closes in self.closes.items()
            },
            "roll_forwards": {
                name: [_roll_forward(row) for close in closes for row in close.roll_forwards]
                for name, closes in self.closes.items()
            },
            "equations": {
                name: [_equation(row) for row in self.equations if row.channel == name]
                for name in self.closes
            },
        }
        return {table: _counted(rows) for table, rows in found.items()}

    @cached_property
    def by_sql(self) -> dict[str, dict[str, Counter[Canon]]]:
        """The same of the database."""
        owner = {row["result_id"]: _own_item(row) for row in self.sql_rows["results"]}
        links = self._links
        found: dict[str, dict[str, list[Canon]]] = {
            table: {name: [] for name in self.named} for table in COMPARED
        }
        for row in self.sql_rows["results"]:
            found["results"][row["channel"]].append(_sql_result(row, owner, links))
        parts = self._parts
        for row in self.sql_rows["items"]:
            found["items"][row["channel"]].append(_sql_item(row, parts))
        for row in self.sql_rows["roll_forwards"]:
            canon = _sql_roll_forward(row)
            if any(value for name, value in canon if name.endswith(("_count", "_minor"))):
                found["roll_forwards"][row["channel"]].append(canon)
        for row in self.sql_rows["equations"]:
            found["equations"][row["channel"]].append(_sql_equation(row))
        return {table: _counted(rows) for table, rows in found.items()}

    @cached_property
    def _links(self) -> dict[tuple[date, str], str | None]:
        """Which row a row is linked with, by date and item; UNSAID for a link to an old item."""
        links: dict[tuple[date, str], str | None] = {}
        for closes in self.closes.values():
            for close in closes:
                opened = {item.item_id: item for item in close.items}
                for row in close.results:
                    own = _own(row)
                    item = opened.get(own)
                    old_link = item is not None and item.linked_item_id and not row.linked_to
                    links[close.accounting_date, own] = UNSAID if old_link else row.linked_to
        return links

    @cached_property
    def _parts(self) -> dict[tuple[date, str], tuple[str, ...]]:
        """The adjustments that ended an item together, by date and item."""
        return {
            (close.accounting_date, item.item_id): item.resolved_by
            for closes in self.closes.values()
            for close in closes
            for item in close.items
            if len(item.resolved_by) > 1
        }

    def differences(self, name: str, *, of: Sequence[str] = COMPARED) -> str:
        """What differs for a world, with the world; empty where nothing does."""
        parts: list[tuple[Canon, str]] = []
        for table in of:
            ours = self.by_oracle[table].get(name, Counter())
            theirs = self.by_sql[table].get(name, Counter())
            parts += [(row, f"{table}: only the SQL has    {_shown(row)}") for row in theirs - ours]
            parts += [(row, f"{table}: only the oracle has {_shown(row)}") for row in ours - theirs]
        if not parts:
            return ""
        # A difference of a date goes on on every later one: the first dates say why.
        shown = [text for _, text in sorted(parts, key=lambda part: (part[0][0][1], part[1]))]
        more = [f"and {len(shown) - SHOWN} more"] if len(shown) > SHOWN else []
        ids = ", ".join(f"{ref}={found}" for ref, found in self.rendered.ids[name].items())
        return "\n".join(
            [f"--- world {name}", *shown[:SHOWN], *more, str(self.named[name]), f"ids: {ids}"]
        )

    def by_content(
        self, table: str, name: str, rows: Mapping[str, Mapping[str, Counter[Canon]]] | None = None
    ) -> Counter[Canon]:
        """A world's rows (of the SQL) with content for ids, so that variants can be compared.

        Identical records may stand for one another; rows about an added pair are left out.
        """
        refs = self.rendered.references(name)
        content = {row.ref: row for row in (*self.named[name].vouchers, *self.named[name].records)}

        def plain(value: Any) -> Any:
            if not isinstance(value, str):
                return value
            side, _, rest = value.partition(":")
            ref = refs.get(rest if side in ("S", "C") else value)
            if ref is None:
                return value.removeprefix(f"{name}A")  # an account
            return str(worlds.bare(content[ref])) if ref in content else ref

        counted: Counter[Canon] = Counter()
        for row, times in (rows or self.by_sql)[table][name].items():
            if any(refs.get(str(value).partition(":")[2]) in worlds.EXTRA for _, value in row):
                continue
            kept = tuple((key, plain(value)) for key, value in row if key != "channel")
            counted[kept] += times
        return counted


def by_oracle_alone(
    named: Mapping[str, worlds.World], first: date = worlds.FIRST_DATE
) -> ClosedWorlds:
    """What the oracle makes of worlds without any database."""
    rendered = worlds.tables(named, first)
    source = oracle.landed({**worlds.common_tables(), **rendered.tables})
    return ClosedWorlds(named, rendered, first, source, {})


def close(
    settings: Settings, named: Mapping[str, worlds.World], first: date = worlds.FIRST_DATE
) -> ClosedWorlds:
    """Load worlds into a migrated, seeded database of their own, close the week and pay it."""
    rendered = worlds.tables(named, first)
    with database.connect(settings) as connection:
        load(connection, rendered)
    for day in dates_from(first):
        builds.close(settings, day)
    for day in payment_dates_from(first):
        builds.payment(settings, day)
    return read(settings, named, rendered, first)


def read(
    settings: Settings,
    named: Mapping[str, worlds.World],
    rendered: worlds.Rendered,
    first: date = worlds.FIRST_DATE,
) -> ClosedWorlds:
    """Read what was landed and what the SQL made of it."""
    with database.connect(settings) as connection:
        return ClosedWorlds(
            named=named,
            rendered=rendered,
            first=first,
            source=oracle.landed(read_tables(connection)),
            sql_rows={
                "results": _rows(connection, "select * from reconciliation.reconciliation_results"),
                "items": _rows(connection, "select * from reconciliation.suspense_items"),
                "roll_forwards": _rows(
                    connection, "select * from reconciliation.suspense_rollforward"
                ),
                "equations": _rows(connection, "select * from gate.balance_equation"),
                "actions": _rows(connection, "select * from reconciliation.applied_actions"),
                "holds": _rows(connection, "select * from settlement.holds"),
                "statements": _rows(connection, "select * from settlement.settlement_statements"),
                "backed": _rows(connection, "select * from settlement.backed_rollforward"),
                "gate_checks": _rows(
                    connection,
                    "select * from gate.gate_checks where check_name"
                    " in ('payout_backed_by_arrival', 'holds_rollforward_exact')",
                ),
            },
        )


# --- one form for both sides --------------------------------------------------------------------


def _counted(rows: Mapping[str, Iterable[Canon]]) -> dict[str, Counter[Canon]]:
    return {name: Counter(some) for name, some in rows.items()}


def _shown(row: Canon) -> str:
    return ", ".join(f"{name}={value}" for name, value in row if value is not None)


def _own(row: oracle.Result) -> str:
    """The item a row of the results is about (of a pair: the one that was open)."""
    if row.outcome.startswith("channel") or row.system_id is None:
        return f"C:{row.channel_id}"
    return f"S:{row.system_id}"


def _own_item(row: Row) -> str:
    is_channel = row["outcome"].startswith("channel") or row["system_transaction_id"] is None
    return f"C:{row['channel_record_id']}" if is_channel else f"S:{row['system_transaction_id']}"


def _result(row: oracle.Result, links: Mapping[tuple[date, str], str | None]) -> Canon:
    own = _own(row)
    by_hand = row.match_rule == "manual_match"
    return (
        ("date", row.accounting_date),
        ("channel", row.channel),
        ("currency", row.currency_code),
        ("outcome", row.outcome),
        ("item", own),
        # A pair by hand has a row a side; whether it names the other side too is not said.
        ("system", UNSAID if by_hand else row.system_id),
        ("record", UNSAID if by_hand else row.channel_id),
        ("system_amount", UNSAID if by_hand else row.system_amount_minor),
        ("channel_amount", UNSAID if by_hand else row.channel_amount_minor),
        ("break_reason", row.break_reason),
        ("match_rule", UNSAID if by_hand else row.match_rule),
        ("opened_on", row.opened_on),
        ("linked_to", links[row.accounting_date, own]),
    )


def _sql_result(
    row: Row, owner: Mapping[str, str], links: Mapping[tuple[date, str], str | None]
) -> Canon:
    own = _own_item(row)
    linked = row["linked_result_id"]
    linked_to = None if linked is None else owner.get(linked, linked)
    if links.get((row["accounting_date"], own)) == UNSAID:
        linked_to = UNSAID
    # A late match has no linked row; a pair by hand has.
    by_hand = row["outcome"].endswith("_resolved") and linked is not None
    return (
        ("date", row["accounting_date"]),
        ("channel", row["channel"]),
        ("currency", row["currency_code"]),
        ("outcome", row["outcome"]),
        ("item", own),
        ("system", UNSAID if by_hand else row["system_transaction_id"]),
        ("record", UNSAID if by_hand else row["channel_record_id"]),
        ("system_amount", UNSAID if by_hand else row["system_amount_minor"]),
        ("channel_amount", UNSAID if by_hand else row["channel_amount_minor"]),
        ("break_reason", row["break_reason"]),
        ("match_rule", UNSAID if by_hand else row["match_rule"]),
        ("opened_on", row["opened_on"]),
        ("linked_to", linked_to),
    )


def _item(item: oracle.Item, day: date, doubt_period: timedelta) -> Canon:
    until = item.opened_on + doubt_period
    return (
        ("date", day),
        ("channel", item.entry.channel),
        ("item", item.item_id),
        ("side", item.entry.side),
        ("currency", item.entry.currency_code),
        ("amount", item.entry.amount_minor),
        ("status", item.status),
        ("opened_on", item.opened_on),
        ("age_days", (day - item.opened_on).days),
        ("resolved_on", item.resolved_on),
        ("resolution_method", item.resolution_method),
        ("resolved_by", _by(item.resolution_method, item.resolved_by)),
        ("break_reason", item.break_reason),
        ("linked_item", item.linked_item_id),
        ("in_doubt_until", until if item.status == "in_doubt" else None),
        ("variance", item.variance_kind),
        ("account", item.entry.account_id),
        ("transaction_type", item.entry.transaction_type),
        ("transaction_at", item.entry.transaction_at.astimezone(ZoneInfo("UTC"))),
    )


def _by(method: str | None, ids: Sequence[str]) -> str | None:
    """What ended an item, where the page says it: the counterpart, or the adjustment."""
    if method not in ("late_match", "manual_match", "adjustment"):
        return None
    return ids[0] if len(ids) == 1 else ONE_OF_SEVERAL


def _sql_item(row: Row, parts: Mapping[tuple[date, str], tuple[str, ...]]) -> Canon:
    by = row["resolved_by_id"]
    if row["resolution_method"] not in ("late_match", "manual_match", "adjustment"):
        by = None
    elif by in parts.get((row["accounting_date"], row["suspense_item_id"]), ()):
        by = ONE_OF_SEVERAL
    return (
        ("date", row["accounting_date"]),
        ("channel", row["channel"]),
        ("item", row["suspense_item_id"]),
        ("side", row["side"]),
        ("currency", row["currency_code"]),
        ("amount", row["amount_minor"]),
        ("status", row["status"]),
        ("opened_on", row["opened_on"]),
        ("age_days", row["age_days"]),
        ("resolved_on", row["resolved_on"]),
        ("resolution_method", row["resolution_method"]),
        ("resolved_by", by),
        ("break_reason", row["break_reason"]),
        ("linked_item", row["linked_item_id"]),
        ("in_doubt_until", row["in_doubt_until"] if row["status"] == "in_doubt" else None),
        ("variance", row["variance_kind"]),
        ("account", row["account_id"]),
        ("transaction_type", row["transaction_type"]),
        ("transaction_at", row["transaction_at"].astimezone(ZoneInfo("UTC"))),
    )


def _roll_forward(row: oracle.RollForward) -> Canon:
    return (
        ("date", row.accounting_date),
        ("channel", row.channel),
        ("side", row.side),
        ("currency", row.currency_code),
        *((f"{step}_count", getattr(row, step).count) for step in STEPS),
        *((f"{step}_amount_minor", getattr(row, step).amount_minor) for step in STEPS),
    )


def _sql_roll_forward(row: Row) -> Canon:
    return (
        ("date", row["accounting_date"]),
        ("channel", row["channel"]),
        ("side", row["side"]),
        ("currency", row["currency_code"]),
        *((f"{step}_count", int(row[f"{step}_count"])) for step in STEPS),
        *((f"{step}_amount_minor", int(row[f"{step}_amount_minor"])) for step in STEPS),
    )


def _equation(row: oracle.Equation) -> Canon:
    return (
        ("payment_date", row.payment_date),
        ("arrival_date", row.arrival_date),
        ("channel", row.channel),
        ("currency", row.currency_code),
        ("accounting_dates", row.accounting_dates),
        *((name, getattr(row, term)) for name, term in TERMS.items()),
    )


def _sql_equation(row: Row) -> Canon:
    return (
        ("payment_date", row["payment_date"]),
        ("arrival_date", row["arrival_date"]),
        ("channel", row["channel"]),
        ("currency", row["currency_code"]),
        ("accounting_dates", tuple(sorted(row["accounting_dates"]))),
        *((name, None if row[name] is None else int(row[name])) for name in TERMS),
    )


# --- what the worlds are about ------------------------------------------------------------------

OUTCOMES = (
    "matched",
    "system_in_doubt",
    "system_one_sided",
    "system_resolved",
    "channel_in_doubt",
    "channel_one_sided",
    "channel_resolved",
)
EVERY_FEATURE = frozenset(
    {
        *(f"outcome {outcome}" for outcome in OUTCOMES),
        *(
            f"break {reason}"
            for reason in (
                "amount_mismatch",
                "currency_mismatch",
                "direction_mismatch",
                "duplicate",
                "no_reference",
            )
        ),
        *(
            f"linked later {reason}"
            for reason in ("amount_mismatch", "currency_mismatch", "direction_mismatch")
        ),
        *(
            f"{rule} {outcome}"
            for rule in ("rule_1", "rule_2")
            for outcome in ("matched", "system_resolved", "channel_resolved")
        ),
        "rule_3 matched",
        *(
            f"method {method}"
            for method in (
                "late_match",
                "manual_match",
                "adjustment",
                "manual_adjustment",
                "offset",
                "write_off",
            )
        ),
        "two items adjusted at once",
        "adjusted in parts",
        "adjusted later than the adjustment came",
        "adjustment left suspended",
        "action applied",
        "action refused",
        "action without a second person",
        "in doubt on a second date",
        "in doubt became one-sided",
        "voided pair left out",
        "reversal of a failed sale left out",
        *(f"format {name}" for name in ("unionpay", "wechat", "alipay")),
        *(f"term {term}" for term in TERMS.values()),
        "arrival of several dates",
        "arrival without a line",
        "arrival in three lines",
        "two currencies",
        "cutoff shared",
        "cutoff at midnight",
        "paid after the October holiday",
    }
)


def features(closed: ClosedWorlds) -> Counter[str]:
    """What happens in the worlds, by the oracle."""
    found: Counter[str] = Counter()
    for closes in closed.closes.values():
        for close in closes:
            found.update(_features_of(close))
    for row in closed.equations:
        found.update(f"term {term}" for term in TERMS.values() if getattr(row, term))
        found["arrival of several dates"] += len(row.accounting_dates) > 1
        found["paid after the October holiday"] += row.payment_date == date(2026, 10, 8)
        lines = [
            line
            for line in closed.source.bank_lines
            if line.counterparty_name == f"{row.channel} clearing"
            and line.remittance_text == f"ARRIVAL {row.arrival_date:%Y%m%d}"
            and line.currency_code == row.currency_code
        ]
        found["arrival without a line"] += not lines
        found["arrival in three lines"] += len(lines) == 3
    for world in closed.named.values():
        found[f"format {world.format}"] += 1
        found["two currencies"] += len(world.currencies) > 1
        found["cutoff shared"] += world.cutoff_minutes == world.platform_cutoff_minutes
        found["cutoff at midnight"] += world.cutoff_minutes == 1440
        found["action without a second person"] += any(
            not action.is_approved and action.kind != "assign" for action in world.actions
        )
    for channel in closed.source.channels:
        mine = [row for row in closed.source.vouchers if row.channel == channel.name]
        found["reversal of a failed sale left out"] += any(
            oracle.is_reversal_of_nothing(row, mine) for row in mine
        )
        both = replace(channel, voided_pairs="both")
        for day in dates_from(closed.first) if channel.voided_pairs == "none" else ():
            found["voided pair left out"] += len(
                oracle.system_pool(closed.source, both, mine, day)
            ) > len(oracle.system_pool(closed.source, channel, mine, day))
    return +found


def _features_of(close: oracle.Close) -> Iterator[str]:
    for row in close.results:
        yield f"outcome {row.outcome}"
        yield f"break {row.break_reason}"
        if row.match_rule and row.match_rule.startswith("rule"):
            yield f"{row.match_rule} {row.outcome}"
    opened = {item.item_id for item in close.items if item.opened_on == close.accounting_date}
    for item in close.items:
        yield f"method {item.resolution_method}"
        if item.item_id not in opened:
            if item.linked_item_id in opened:
                yield f"linked later {item.break_reason}"
            if item.status == "in_doubt":
                yield "in doubt on a second date"
            if item.status == "one_sided" and item.break_reason is None:
                yield "in doubt became one-sided"
        if item.resolution_method == "adjustment":
            together = [other for other in close.items if other.resolved_by == item.resolved_by]
            yield "adjusted in parts" if len(item.resolved_by) > 1 else "adjusted by one"
            yield "two items adjusted at once" if len(together) > 1 else "one item adjusted"
    for name, happened in (
        ("adjustment left suspended", close.suspended),
        ("adjusted later than the adjustment came", close.late_adjustment_ids),
        ("action applied", close.applied_action_ids),
        ("action refused", close.refused_action_ids),
    ):
        if happened:
            yield name
