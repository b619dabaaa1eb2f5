"""Closes and pays many payout worlds at once in a real database, and compares with the oracle.

As a month goes: the first dates are closed and their list approved, the first payment date is paid,
its payouts end in every way, the next date is closed with that, and so on.
"""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import builds
import closed_worlds
import oracle_payouts
import payout_worlds
from closed_worlds import Row
from oracle_payouts import Books, PayoutEvent, Week
from payout_worlds import World
from tieout import database
from tieout.core.settings import Settings
from tieout.dates import workdays
from tieout.decisions import terms

__all__ = ["COMPARED", "DATES", "PAYMENT_DATES", "PaidWorlds", "pay"]

DATES = [payout_worlds.FIRST_DATE + timedelta(days=day) for day in range(payout_worlds.DAYS)]
PAYMENT_DATES = sorted(
    {workdays.working_day_on_or_after(day + timedelta(days=lag)) for day in DATES for lag in (1, 2)}
)
PEOPLE = terms.TwoPeople("zhang", "li", "signed contracts")
COMPARED = ("entries", "holds", "statements", "charges", "freeze_parts", "advances", "balances")
SHOWN = 12
Canon = dict[tuple[Any, ...], tuple[Any, ...]]


@dataclass
class PaidWorlds:
    """Worlds, what the SQL made of them (rows by table), and what the oracle did."""

    named: Mapping[str, World]
    rendered: payout_worlds.Rendered
    tables: Mapping[str, Sequence[Row]]
    payouts: Sequence[PayoutEvent]
    sql_rows: Mapping[str, list[Row]]

    @cached_property
    def week(self) -> Week:
        """The oracle's closes."""
        return Week(self.tables, DATES, PAYMENT_DATES)

    def week_again(self) -> Week:
        """The same closes, with terms read anew."""
        again = copy.copy(self.week)
        again.terms = oracle_payouts.terms_of_dates(self.tables, DATES)
        return again

    @cached_property
    def books(self) -> Books:
        """All that the oracle computes."""
        return oracle_payouts.compute(self.week, self.payouts)

    @cached_property
    def by_oracle(self) -> dict[str, Canon]:
        """Table -> rows by key, as both sides are compared."""
        return canon(self.books)

    @cached_property
    def by_sql(self) -> dict[str, Canon]:
        """The same of the database."""
        return {name: dict(_SQL[name](self.sql_rows[name])) for name in COMPARED}

    def differences(self, by_oracle: Mapping[str, Canon], table: str) -> list[str]:
        """What differs in a table, the smallest worlds first, with the world and both rows."""
        ours, theirs = by_oracle[table], self.by_sql[table]
        differ: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for key in sorted({**ours, **theirs}, key=str):
            if ours.get(key) != theirs.get(key):
                differ[self.world_of(key)].append(key)
        found = []
        for name in sorted(differ, key=lambda one: self.named[one].size if one else 0):
            rows = [
                f"{key}\n  oracle {ours.get(key)}\n  SQL    {theirs.get(key)}"
                for key in differ[name][:SHOWN]
            ]
            shown = self.named.get(name, "a shared account")
            ids = self.rendered.ids.get(name, {})
            found.append(
                "\n".join([f"--- {table} of world {name}", *rows, str(shown), f"ids: {ids}"])
            )
        return found

    def world_of(self, key: tuple[Any, ...]) -> str:
        """The world of a row: its key names an account, a voucher or a freeze of it."""
        for part in map(str, key):
            start = part.find("P0" if "P0" in part else "P")
            if start >= 0 and part[start : start + 5] in self.named:
                return part[start : start + 5]
        return self._owners.get(key[-1], "")

    @cached_property
    def _owners(self) -> dict[str, str]:
        """Which world an adjustment's or a decision's entry belongs to."""
        return {entry.entry_id: entry.account_id[:5] for entry in self.books.entries}


def pay(settings: Settings, named: Mapping[str, World]) -> PaidWorlds:
    """Load worlds into a migrated, seeded database of their own, close all dates and pay them."""
    rendered = payout_worlds.tables(named)
    with database.connect(settings) as connection:
        closed_worlds.load(connection, rendered)
        connection.execute(
            "select setval(pg_get_serial_sequence('control.freeze_requests', 'request_id'), 100000)"
        )
    payouts: list[PayoutEvent] = []
    steps = sorted([*((day, 1) for day in DATES), *((day, 0) for day in PAYMENT_DATES)])
    for day, is_close in steps:
        if is_close:
            builds.close(settings, day)
            if day == DATES[0]:
                terms.approve_first_date(settings, PEOPLE)
        else:
            builds.payment(settings, day)
            payouts += send(settings, day)
            write_off(settings, day)
    return read(settings, named, rendered, payouts)


def send(settings: Settings, payment_date: date) -> list[PayoutEvent]:
    """Write down payouts of a payment date that end in every way, as the steps would have."""
    found = []
    with database.connect(settings) as connection:
        connection.execute("set session_replication_role = replica")  # no gate decided here
        payable = connection.execute(
            "select statement_id, account_id, currency_code, payout_amount_minor, payee_id,"
            " payee_version from settlement.settlement_statements"
            " where payment_date = %s and payout_amount_minor > 0",
            [payment_date],
        ).fetchall()
        for statement_id, account_id, currency, amount, payee_id, version in payable:
            ends = random.Random(statement_id).choice(
                (("submitted",), ("submitted", "paid"), ("submitted", "failed"),
                 ("submitted", "paid", "returned"))
            )  # fmt: skip
            connection.execute(
                "insert into payout.instructions (instruction_id, statement_id, payment_date,"
                " account_id, payee_id, payee_version, currency_code, amount_minor, decision_id,"
                " created_at) values (%s, %s, %s, %s, %s, %s, %s, %s, 1, %s)",
                [f"I-{statement_id}", statement_id, payment_date, account_id, payee_id, version,
                 currency, amount, payment_date],
            )  # fmt: skip
            connection.execute(
                "insert into payout.attempts values (%s, %s, 1, %s, 'M1', %s)",
                [f"I-{statement_id}-1", f"I-{statement_id}", f"E{statement_id}", payment_date],
            )
            for number, status in enumerate(("created", *ends), start=1):
                on = payment_date if status != "returned" else payment_date + timedelta(days=1)
                connection.execute(
                    "insert into payout.attempt_events (attempt_id, event_no, status,"
                    " business_date, recorded_at) values (%s, %s, %s, %s, %s)",
                    [f"I-{statement_id}-1", number, status, on, on],
                )
                found.append(PayoutEvent(on, account_id, currency, status, amount))
    return found


def write_off(settings: Settings, payment_date: date) -> None:
    """Let two people write off some charges that wait, as of the next payment date."""
    later = [day for day in PAYMENT_DATES if day > payment_date]
    if not later:
        return
    with database.connect(settings) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "with requests as ("
            " insert into control.freeze_requests (action, freeze_id, account_id, currency_code,"
            " amount_minor, effective_on, reason, requested_by, signed_by_login)"
            " select 'write_off', entry_id, account_id, currency_code, closing_amount_minor, %s,"
            " 'cannot be had', 'zhang', 'test' from settlement.charges where payment_date = %s"
            " and charge_status = 'waiting' and hashtext(entry_id) %% 4 = 0 returning request_id)"
            " insert into control.freeze_approvals (request_id, approved_by, signed_by_login)"
            " select request_id, 'li', 'test' from requests",
            [later[0], payment_date],
        )


def read(
    settings: Settings,
    named: Mapping[str, World],
    rendered: payout_worlds.Rendered,
    payouts: Sequence[PayoutEvent],
) -> PaidWorlds:
    """Read what was landed and what the SQL made of it."""
    with database.connect(settings) as connection:

        def rows(query: str) -> list[Row]:
            return closed_worlds._rows(connection, query)

        return PaidWorlds(
            named=named,
            rendered=rendered,
            tables={name: rows(f"select * from {name}") for name in oracle_payouts.TABLES},
            payouts=payouts,
            sql_rows={
                "entries": rows("select * from clearing.clearing_entries"),
                "holds": rows("select * from settlement.holds"),
                "statements": rows("select * from settlement.settlement_statements"),
                "charges": rows("select * from settlement.charges"),
                "freeze_parts": rows("select * from settlement.freeze_parts"),
                "advances": rows("select * from settlement.advances"),
                "balances": rows("select * from ledger.account_balances"),
                "postings": rows("select * from ledger.postings"),
                "equations": rows("select * from gate.balance_equation"),
                "gate_checks": rows("select * from gate.gate_checks"),
                "items": rows("select * from reconciliation.suspense_items"),
                "suspended": rows("select * from clearing.suspended_adjustments"),
                "freezes": rows("select * from settlement.freezes"),
                "channel_adjustments": rows("select * from clearing.channel_adjustments"),
                "term_changes": rows("select * from clearing.term_changes"),
            },
        )


# --- what happens in the worlds ------------------------------------------------------------------

EVERY_KIND = {
    *(f"statement {status}" for status in (
        "payable", "below_minimum", "no_balance", "negative", "frozen", "held", "withheld")),
    "statement of a date without activity", "statement of several dates",
    "statement covered by the other session", "statement in USD", "statement opened with a balance",
    "statement opened with a debt", "end of a contract pays below its minimum",
    "carried below the minimum and paid later", "freezes beyond the balance",
    *(f"entry of a {kind}" for kind in (
        "purchase", "preauth_completion", "refund", "void", "reversal", "first_chargeback",
        "representment", "second_chargeback", "manual_refund", "credit_adjustment",
        "manual_adjustment")),
    *(f"fee {kind}" for kind in (
        "percentage", "fixed", "minimum", "cap", "of a tier", "of a tier not known",
        "of a category", "of a channel", "of a type", "of a card kind", "of a region", "kept",
        "returned", "taken again")),
    "gross", "net", "return under another contract", "return after the contract",
    "return in the way of its sale", "return of before the first date", "return over dates",
    *(f"change {state} of {kind}" for state in ("taken", "waiting")
      for kind in ("contract", "fee_rate")),
    *(f"charge {status}" for status in ("charged", "waiting", "released", "written_off")),
    *(f"freeze {kind}" for kind in (
        "judicial", "risk", "own_charge", "merchant_request", "of people", "of one session",
        "missing", "smaller", "another_kind", "released by the file", "released by people",
        "ended")),
    *(f"suspended {reason}" for reason in ("above_original", "no_contract")),
    *(f"hold {reason}" for reason in ("in_doubt", "one_sided", "amount_mismatch", "written_off",
                                      "refused_voucher")),
    *(f"hold ended {kind}" for kind in ("arrived", "recovered", "charge_merchant")),
    "hold lowered",
    *(f"payout {status}" for status in ("submitted", "paid", "failed", "returned")),
    "advance netted", "advance told late", "advance of before the first date",
}  # fmt: skip


def kinds(paid: PaidWorlds) -> set[str]:
    """What happens in the worlds, by what both sides agree on."""
    return {
        *_of_entries(paid),
        *_of_statements(paid),
        *_of_freezes(paid),
        *(f"payout {event.status}" for event in paid.payouts),
        *(f"suspended {row['suspended_reason']}" for row in paid.sql_rows["channel_adjustments"]),
        *(f"change {row['change_state']} of {row['term_kind']}"
          for row in paid.sql_rows["term_changes"]),
        *(f"hold {one.reason}" for one in paid.books.holds if one.closing),
        *(f"hold ended {one.end_kind}" for one in paid.books.holds if one.end_kind),
        *("hold lowered" for one in paid.books.holds if one.lowered),
    }  # fmt: skip


def _of_entries(paid: PaidWorlds) -> Iterator[str]:
    rules = {row["fee_rule_id"]: row for row in paid.tables["raw.platform_fee_rates"]}
    sales = {one.source_id: one for one in paid.books.entries if one.entry_id.startswith("T:")}
    for one in paid.books.entries:
        yield f"entry of a {one.transaction_type}"
        yield one.mode
        yield "fee returned" if one.fee < 0 else ""
        if one.clearing_session_type == "adjustment":
            taken_again = one.transaction_type == "representment" and one.fee > 0
            yield "fee taken again" if taken_again else ""
            continue
        voucher = paid.week.vouchers[one.source_id]
        if one.amount > 0:
            yield from _of_price(one, rules[one.fee_rule_id])
            continue
        sale = sales.get(voucher.original_voucher_id or "")
        if one.transaction_type == "refund":
            yield "" if one.fee else "fee kept"
        if sale is None:
            yield "return of before the first date"
            continue
        terms_then = paid.books.terms[one.accounting_date]
        now = terms_then.contract(one.account_id, one.accounting_date)
        yield "return over dates" if one.accounting_date > sale.accounting_date else ""
        if now is None:
            yield "return after the contract"
            yield "return in the way of its sale" if one.mode == sale.mode else ""
        elif now["contract_id"] != sale.contract_id:
            yield "return under another contract"


def _of_price(one: Any, rule: Row) -> Iterator[str]:
    exact = rule["fee_rate"] * one.amount + rule["fixed_fee_minor"]
    if one.fee == rule["cap_fee_minor"]:
        yield "fee cap"
    elif one.fee == rule["minimum_fee_minor"] > exact:
        yield "fee minimum"
    elif rule["fee_rate"]:
        yield "fee percentage"
    yield "fee fixed" if rule["fixed_fee_minor"] else ""
    yield "fee of a tier" if one.tier_from else ""
    yield "" if one.tier_volume is not None else "fee of a tier not known"
    for column, kind in (
        ("merchant_category_code", "category"), ("channel", "channel"), ("card_kind", "card kind"),
        ("transaction_type", "type"), ("card_region", "region"),
    ):  # fmt: skip
        yield f"fee of a {kind}" if rule[column] else ""


def _of_statements(paid: PaidWorlds) -> Iterator[str]:
    ended = {
        row["account_id"]: row["ended_on"]
        for row in paid.tables["raw.platform_contracts"]
        if row["ended_on"]
    }
    minimum = {
        row["account_id"]: row["payout_minimum_minor"]
        for row in paid.tables["raw.platform_contracts"]
    }
    was_below = set()
    for one in paid.books.statements:
        place = (one.account_id, one.session, one.currency_code)
        yield f"statement {one.status}"
        yield "" if one.accounting_dates else "statement of a date without activity"
        yield "statement of several dates" if len(one.accounting_dates) > 2 else ""
        yield "statement covered by the other session" if one.transfer else ""
        yield f"statement in {one.currency_code}"
        if one.payment_date == PAYMENT_DATES[0] and one.previous:
            yield f"statement opened with a {'balance' if one.previous > 0 else 'debt'}"
        has_ended = ended.get(one.account_id, one.payment_date) < one.payment_date
        if has_ended and 0 < one.payout < minimum[one.account_id]:
            yield "end of a contract pays below its minimum"
        if one.status == "below_minimum":
            was_below.add(place)
        elif one.status == "payable" and place in was_below:
            yield "carried below the minimum and paid later"
    statuses: dict[str, str] = {}
    for (_, entry_id), status in sorted(paid.books.charges.items()):
        yield f"charge {status}"
        waited = statuses.get(entry_id) == "waiting"
        yield "charge released" if status == "charged" and waited else ""
        statuses[entry_id] = status
    told: dict[str, date] = {}
    for row in sorted(
        paid.tables["raw.platform_advances"], key=lambda found: found["accounting_date"]
    ):
        told.setdefault(row["advance_id"], row["accounting_date"])
        yield "advance of before the first date" if row["for_accounting_date"] < DATES[0] else ""
        if row["advance_id"] in paid.books.advances:
            is_late = told[row["advance_id"]] > row["for_accounting_date"]
            yield "advance told late" if is_late else "advance netted"


def _of_freezes(paid: PaidWorlds) -> Iterator[str]:
    in_force: set[str] = set()
    for row in sorted(paid.sql_rows["freezes"], key=lambda found: found["payment_date"]):
        if not row["is_in_force"]:
            yield "freeze ended" if row["freeze_id"] in in_force else ""
            continue
        in_force.add(row["freeze_id"])
        yield f"freeze {row['freeze_kind']}"
        yield f"freeze {row['contradiction']}"
        yield f"freeze of {row['source']}"
        yield "freeze of one session" if row["settlement_session_type"] else ""
        yield "freeze released by the file" if row["delivered_release_amount_minor"] else ""
        yield "freeze released by people" if row["decided_release_amount_minor"] else ""
    for covered, uncovered in paid.books.parts.values():
        yield "freezes beyond the balance" if covered and uncovered else ""


# --- one form for both sides --------------------------------------------------------------------

Rows = Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]


def canon(books: Books) -> dict[str, Canon]:
    """The oracle's rows by key."""
    return {
        "entries": {
            (one.accounting_date, one.entry_id): (
                one.clearing_session_type, one.account_id, one.merchant_id, one.channel,
                one.currency_code, one.transaction_type, one.source_id, one.amount, one.fee,
                one.deducted, one.clearing, one.mode, one.is_foreign_card, one.fee_rule_id,
                one.contract_id, one.payment_date, one.tier_from, one.tier_volume,
                one.merchant_category_code,
            )
            for one in books.entries
        },
        "holds": {
            (one.payment_date, one.entry_id): (
                one.account_id, one.currency_code, one.reason, one.opening, one.closing,
                one.closing_gross, one.closing_fee, one.lowered, one.end_kind,
            )
            for one in books.holds
        },
        "statements": {
            (one.payment_date, one.key): (
                one.account_id, one.session, one.currency_code, one.accounting_dates,
                one.transaction_count, one.transaction_amount, one.fee, one.deducted,
                one.settlement, one.adjustment_count, one.adjustment, one.advance,
                one.advance_fee, one.previous, one.transfer, one.held, one.frozen, one.available,
                one.minimum, one.status, one.withheld_reason, one.payout, one.carried,
            )
            for one in books.statements
        },
        "charges": {key: (status,) for key, status in books.charges.items()},
        "freeze_parts": dict(books.parts.items()),
        "advances": {(name,): (on,) for name, on in books.advances.items()},
        "balances": {
            (one.accounting_date, one.ledger_account, one.currency_code, one.subledger_id): (
                one.amount,
            )
            for one in books.balances
        },
    }  # fmt: skip


def _entries(rows: Sequence[Row]) -> Rows:
    names = (
        "clearing_session_type", "account_id", "merchant_id", "channel", "currency_code",
        "transaction_type", "source_id", "transaction_amount_minor", "fee_amount_minor",
        "deducted_fee_amount_minor", "clearing_amount_minor", "settlement_mode", "is_foreign_card",
        "fee_rule_id", "contract_id", "payment_date", "tier_from_minor", "tier_volume_minor",
        "merchant_category_code",
    )  # fmt: skip
    for row in rows:
        yield (row["accounting_date"], row["entry_id"]), tuple(row[name] for name in names)


def _holds(rows: Sequence[Row]) -> Rows:
    names = (
        "account_id", "currency_code", "reason", "opening_amount_minor", "closing_amount_minor",
        "closing_gross_amount_minor", "closing_fee_amount_minor", "lowered_amount_minor",
        "end_kind",
    )  # fmt: skip
    for row in rows:
        says = ("opening", "closing_gross", "ended_gross")
        if row["lowered_amount_minor"] or any(row[f"{name}_amount_minor"] for name in says):
            yield (row["payment_date"], row["entry_id"]), tuple(row[name] for name in names)


def _statements(rows: Sequence[Row]) -> Rows:
    names = (
        "transaction_count", "transaction_amount_minor", "fee_amount_minor",
        "deducted_fee_amount_minor", "settlement_amount_minor", "adjustment_count",
        "adjustment_amount_minor", "advance_amount_minor", "advance_fee_amount_minor",
        "previous_unsettled_amount_minor", "transfer_amount_minor", "held_amount_minor",
        "frozen_amount_minor", "available_amount_minor", "payout_minimum_amount_minor",
        "payable_status", "withheld_reason", "payout_amount_minor",
        "carried_forward_amount_minor",
    )  # fmt: skip
    for row in rows:
        yield (
            (row["payment_date"], row["statement_id"]),
            (
                row["account_id"],
                row["settlement_session_type"],
                row["currency_code"],
                tuple(row["accounting_dates"]),
                *(row[name] for name in names),
            ),
        )


def _charges(rows: Sequence[Row]) -> Rows:
    for row in rows:
        yield (row["payment_date"], row["entry_id"]), (row["charge_status"],)


def _freeze_parts(rows: Sequence[Row]) -> Rows:
    for row in rows:
        yield (
            (row["payment_date"], row["statement_id"], row["freeze_id"]),
            (row["covered_amount_minor"], row["uncovered_amount_minor"]),
        )


def _advances(rows: Sequence[Row]) -> Rows:
    for row in rows:
        yield (row["advance_id"],), (row["payment_date"],)


def _balances(rows: Sequence[Row]) -> Rows:
    found: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in rows:
        account = row["ledger_account"]
        if account in ("adjustments_receivable", "adjustments_payable"):
            account = "adjustments"
        if account in oracle_payouts.COMPARED_ACCOUNTS:
            key = (row["accounting_date"], account, row["currency_code"], row["subledger_id"])
            found[key] += row["closing_amount_minor"]
    for key, amount in found.items():
        if amount:
            yield key, (amount,)


_SQL = {
    "entries": _entries,
    "holds": _holds,
    "statements": _statements,
    "charges": _charges,
    "freeze_parts": _freeze_parts,
    "advances": _advances,
    "balances": _balances,
}
