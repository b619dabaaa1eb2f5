"""What a wave has to look like in the end: the product's books beside the truth of the bank.

Nobody is paid twice unless the bank did so by itself, and then people are told. No payout is
forgotten: it is paid, or people find it in the list of what is not. Nothing is unexplained: where
the bank's truth is not one plain payment, a person is told of that statement, or the
reconciliation has it open. And statuses, journal and bank reconciliation agree with the truth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import attack_world
from soak_bank import Bank, Order
from soak_draws import LAST, PAYMENT
from tieout.decisions import payouts as people
from tieout.payouts.states import LIVE_STATES
from tieout.simulator import bank as simulated

if TYPE_CHECKING:
    from soak_world import Wave

__all__ = ["End", "compare", "overdue"]


@dataclass(frozen=True)
class End:
    """How one history ended: in a word, and told whole."""

    history: int
    statement_id: str
    kinds: tuple[str, ...]
    end: str
    story: str


def compare(world: attack_world.World, bank: Bank, wave: Wave) -> None:
    """Put the end of each history, and what does not hold, into the wave."""
    books = _Books(world, bank, wave)
    for statement_id in bank.statements:
        wave.ends.append(books.end_of(statement_id))
    wave.violations += [f"wave {wave.number}: {text}" for text in books.whole_wave()]


def overdue(world: attack_world.World, bank: Bank, day: date) -> list[str]:
    """Say what an evening's run, once it has applied the answers, ought to have made unknown.

    The bank answers on the day itself, and says how what it has taken ends a working day later.
    Who is not paid is in flight for that long, or stands in the list by then.
    """
    listed = {payout.statement_id for payout in people.open_payouts(world.settings, day)}
    found, in_flight, paid = [], set(), set()
    for statement_id, identifier, submitted_on, status in world.rows(
        "select instructions.statement_id, attempts.end_to_end_id, attempts.submitted_on,"
        " payout.latest_status(attempts.attempt_id) from payout.attempts as attempts"
        " inner join payout.instructions as instructions"
        " on attempts.instruction_id = instructions.instruction_id order by attempts.attempt_id"
    ):
        if status == "submitted" or (status == "accepted" and submitted_on < day):
            found.append(f"{identifier} of {submitted_on} is {status} on the evening of {day}")
        if status == "paid":
            paid.add(statement_id)
        elif status in {"created", "accepted"}:
            in_flight.add(statement_id)
    forgotten = set(bank.statements) - listed - paid - in_flight
    found += [f"{statement} stands in no list on {day}" for statement in sorted(forgotten)]
    return found


class _Books:
    """What the product says in the end."""

    def __init__(self, world: attack_world.World, bank: Bank, wave: Wave) -> None:
        self.world, self.bank, self.wave = world, bank, wave
        self.orders: dict[str, list[Order]] = defaultdict(list)
        for order in bank.orders.values():
            self.orders[order.statement_id].append(order)
        self.states: dict[str, dict[str, str]] = defaultdict(dict)
        for statement_id, identifier, status in world.rows(
            "select instructions.statement_id, attempts.end_to_end_id,"
            " payout.latest_status(attempts.attempt_id) from payout.attempts as attempts"
            " inner join payout.instructions as instructions"
            " on attempts.instruction_id = instructions.instruction_id order by attempts.attempt_no"
        ):
            self.states[statement_id][identifier] = status
        self.listed = {
            payout.statement_id: payout.state
            for payout in people.open_payouts(world.settings, LAST)
        }
        self.status = dict(
            world.rows(
                "select statement_id, current_status from payout.payout_status"
                " where payment_date = %s",
                [PAYMENT],
            )
        )
        self.journal = {
            str(statement): int(amount)
            for statement, amount in world.rows(
                "select statement_id, sum(amount_minor) from ledger.bank_journal"
                " where statement_id is not null group by statement_id"
            )
        }
        self.told = _by_statement(wave.told, bank.statements)
        # Overtaken before they left: without a file, or in one that a person took away.
        self.never_left = {
            str(identifier)
            for identifier, path in world.rows(
                "select attempts.end_to_end_id, files.file_path from payout.attempts as attempts"
                " left join payout.outbox_files as files"
                " on attempts.batch_message_id = files.batch_message_id"
            )
            if path is None or path.rpartition("/")[2] in wave.taken_away
        }
        self.open_items = self._open_items()

    def _open_items(self) -> set[str]:
        """Return the statements that the reconciliation of the last day has open.

        A line that names no payment stands for all of its file's.
        """
        found: set[str] = set()
        by_batch: dict[str, set[str]] = defaultdict(set)
        for order in self.bank.orders.values():
            by_batch[order.batch.message_id].add(order.statement_id)
        for key, item in self.world.rows(
            "select match_key, item_id from reconciliation.bank_match_lines"
            " where payment_date = %s and is_open",
            [LAST],
        ):
            found |= set(_by_statement([f"{key} {item}"], self.bank.statements))
            found |= by_batch.get(str(key).removeprefix("batch:"), set())
        return found

    # --- one history ------------------------------------------------------------------------------

    def end_of(self, statement_id: str) -> End:
        """Judge a history."""
        bank, wave = self.bank, self.wave
        history = bank.history_of(statement_id)
        orders = self.orders.get(statement_id, [])
        states = self.states.get(statement_id, {})
        owed = bank.owed[statement_id]
        out = sum(order.out_minor for order in orders)
        is_paid = "paid" in states.values()
        is_told = statement_id in self.told or statement_id in self.open_items
        wrong = []
        if out > owed and not is_told:
            wrong.append(f"{out} left for {owed} owed, and nobody is told")
        if not is_paid and statement_id not in self.listed:
            wrong.append(f"it is not paid, and stands in no list: {states}")
        if not is_told and out != (owed if is_paid else 0):
            wrong.append(f"the books say {'paid' if is_paid else 'not paid'}, {out} left: not told")
        live = [name for name, state in states.items() if state in LIVE_STATES]
        beside = [order.end_to_end_id for order in orders if order.kind == "not_found_then_paid"]
        if len(live) > 1 and not (set(live) & set(beside) or is_told):
            wrong.append(f"two attempts are alive: {live}")
        if set(states) - self.never_left != {order.end_to_end_id for order in orders}:
            wrong.append(f"attempts {sorted(states)} are not what the bank was ordered")
        expected = "paid" if is_paid else (list(states.values()) or ["instructed"])[-1]
        if self.status.get(statement_id) != expected:
            wrong.append(f"payout_status says {self.status.get(statement_id)}, not {expected}")
        journal = -owed * len(live)
        if self.journal.get(statement_id, 0) != journal:
            wrong.append(f"the bank journal has {self.journal.get(statement_id)}, not {journal}")
        for order in orders:
            if order.payment.amount_minor != owed:
                wrong.append(f"{order.end_to_end_id} orders {order.payment.amount_minor}")
        end = self._word(statement_id, out, len(orders), is_paid=is_paid)
        story = self._story(history, statement_id, orders, end)
        wave.violations += [f"history {history}: {text}\n{story}" for text in wrong]
        kinds = tuple(order.kind for order in orders)
        return End(history, statement_id, kinds, end, story)

    def _word(self, statement_id: str, out: int, order_count: int, *, is_paid: bool) -> str:
        owed = self.bank.owed[statement_id]
        if not is_paid:
            return f"a person: {self.listed.get(statement_id, 'forgotten')}"
        if out > owed:
            return "paid too much by the bank, told"
        if out < owed:
            return "paid, not as the bank says, told"
        return "paid once" if order_count == 1 else "paid after a new attempt"

    def _story(self, history: int, statement_id: str, orders: Iterable[Order], end: str) -> str:
        lines = [f"history {history}, {statement_id}, {self.bank.owed[statement_id]}: {end}"]
        states = self.states.get(statement_id, {})
        for order in orders:
            moves = ", ".join(f"{day:%m-%d} {amount:+}" for day, amount in order.moves)
            how = self.bank.how_reported.get(order.batch.message_id)
            lines.append(
                f"    {order.end_to_end_id} in {order.batch.message_id}: {order.kind}"
                f" {order.refusal or ''} {order.oddities or ''}; report {how}; moves {moves or '-'}"
                f"; the product says {states.get(order.end_to_end_id)}"
            )
        if statement_id in self.wave.refusals:
            lines.append(f"    a person was refused: {self.wave.refusals[statement_id]}")
        if statement_id in self.open_items:
            lines.append("    open in the bank reconciliation")
        for text in dict.fromkeys(self.told.get(statement_id, [])):
            lines.append(f"    told: {text[:160]}")
        return "\n".join(lines)

    # --- all of a wave ----------------------------------------------------------------------------

    def whole_wave(self) -> Iterable[str]:
        """Say what does not hold of the account as a whole."""
        account = simulated.BANK_ACCOUNT_ID
        ((closing,),) = self.world.rows(
            "select statements.closing_balance_minor from raw.bank_statements as statements"
            " inner join control.channel_files as files on statements.file_id = files.file_id"
            " where files.status = 'landed' and statements.bank_account_id = %s"
            " order by statements.statement_date desc, statements.sequence_number desc limit 1",
            [account],
        )
        if int(closing) != self.bank.balance_minor:
            yield f"the last statement closes at {closing}, the bank at {self.bank.balance_minor}"
        booked = sum(line.amount_minor for _, line in self.bank.lines)
        ((seen,),) = self.world.rows(
            "select coalesce(sum(amount_minor), 0) from reconciliation.bank_match_lines"
            " where side = 'bank' and is_new and bank_account_id = %s"
            " and item_kind <> 'channel_arrival'",
            [account],
        )
        if int(seen) != booked:
            yield f"the reconciliation has seen {seen}, the bank has booked {booked}"
        ((journal,),) = self.world.rows(
            "select coalesce(sum(amount_minor), 0) from ledger.bank_journal"
            " where attempt_id is not null"
        )
        ((left,),) = self.world.rows(
            "select coalesce(sum(case side when 'journal' then amount_minor"
            " else -amount_minor end), 0) from reconciliation.bank_match_lines"
            " where payment_date = %s and is_open and bank_account_id = %s"
            " and item_kind <> 'channel_arrival'",
            [LAST, account],
        )
        if int(journal) - booked != int(left):
            yield f"journal {journal} less bank {booked} is not what is open: {left}"


def _by_statement(texts: Iterable[str], statements: Iterable[str]) -> dict[str, list[str]]:
    """Return the texts that name a statement, or a payment of it, by statement."""
    known = set(statements)
    found: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        for word in set(text.replace(":", " ").replace(",", " ").replace(";", " ").split()):
            for name in (word, word.rpartition("-")[0], word.removeprefix("A-").rpartition("-")[0]):
                if name in known:
                    found[name].append(text)
                    break
    return found
