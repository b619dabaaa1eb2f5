"""A bank that lies, and the truth about it: which money really left the account and came back.

It reads the payment files of the outbox and pays every one that it is given, a file that comes a
second time too: it looks for no duplicates. What it says of them (status reports, statements,
answers to inquiries) is drawn by `soak_draws`. Each movement of money is kept as it was booked,
beside what the statement says of it. Nothing here looks at the product's database.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import soak_draws
from attack_world import World
from soak_draws import DONE_BY, EVENINGS, PAYMENT, Draws
from tieout.payouts import pain001
from tieout.simulator import bank, bank_answers, sample
from tieout.simulator.bank import BankLine, BankLineDetail

__all__ = ["Bank", "Order"]

PAYER = bank_answers.PAYER_NAME
_REFUSALS = {
    "refused": soak_draws.RETRIED,
    "refused_for_its_payee": soak_draws.AWAITING_PAYEE,
    "refused_for_good": soak_draws.STOPPED,
    "not_found_then_paid": soak_draws.RETRIED,
}
_SILENT = frozenset({"silent_paid", "silent_not_paid"})
_CUT = 0.6


@dataclass
class Order:
    """A payment that the bank was told to make; ``moves``: what was booked, received positive."""

    payment: pain001.ReadPayment
    batch: pain001.ReadBatch
    attempt_no: int
    statement_id: str
    kind: str
    history: int
    taken_on: date = PAYMENT
    moves: list[tuple[date, int]] = field(default_factory=list)
    times_ordered: int = 1
    refusal: str | None = None
    is_refused: bool = False
    oddities: list[str] = field(default_factory=list)

    @property
    def end_to_end_id(self) -> str:
        """The id that the order came with."""
        return self.payment.end_to_end_id

    @property
    def out_minor(self) -> int:
        """What has left and not come back, minor units."""
        return -sum(amount for _, amount in self.moves)


class Bank:
    """The bank of one wave."""

    def __init__(self, world: World, draws: Draws) -> None:
        self.world = world
        self.draws = draws
        self.statements: list[str] = []
        self.owed: dict[str, int] = {}
        self.orders: dict[str, Order] = {}
        self.violations: list[str] = []
        self.kinds: list[tuple[int, str, str, str]] = []
        self.lines: list[tuple[date, BankLine]] = []
        self._new: list[pain001.ReadBatch] = []
        self._unsaid: set[date] = set()
        self._early: list[tuple[str, bytes]] = []
        self._taken: dict[str, bool] = {}
        self._asked: set[str] = set()
        self._lines: dict[int, list[tuple[BankLine, str | None]]] = defaultdict(list)
        self._files: dict[int, list[tuple[str, bytes]]] = defaultdict(list)
        self.how_reported: dict[str, str] = {}
        self._balance = 0
        self._yesterday: tuple[str, bytes] | None = None
        self._morning_path = ""
        self._morning = b""

    # --- the morning ------------------------------------------------------------------------------

    def morning(self) -> None:
        """Send the morning's arrivals, with what is drawn to be wrong in them."""
        truth_dir = self.world.settings.truth_dir
        sample.bank_morning(self.world.settings, PAYMENT)
        state = bank._load(truth_dir)
        self._morning_path = next(
            str(sent["path"]) for sent in state["sent"] if sent["statement_date"] == str(PAYMENT)
        )
        self._balance = bank.closing_balance(truth_dir)
        path = self.world.inbox / self._morning_path
        self._morning = path.read_bytes()
        if self.draws.arrival == "ties":
            return
        plan = next(each for each in state["planned"] if each["statement_date"] == str(PAYMENT))
        lines = [bank._line_from_json(line) for line in plan["lines"]]
        opening = self._balance - sum(line.amount_minor for line in lines)
        if self.draws.arrival == "cut":
            path.write_bytes(self._morning[: int(len(self._morning) * _CUT)])
        else:
            path.write_bytes(bank.statement_xml(PAYMENT, 1, opening, self._wrong(lines)))

    def _wrong(self, lines: Sequence[BankLine]) -> list[BankLine]:
        arrivals = [line for line in lines if line.kind == "channel_arrival"]
        first, last = arrivals[0], arrivals[-1]
        if self.draws.arrival == "one_fen_off":
            return [_amount(line, line.amount_minor - (line is first)) for line in lines]
        if self.draws.arrival == "swapped_channels":
            swapped = {id(first): last.amount_minor, id(last): first.amount_minor}
            return [_amount(line, swapped.get(id(line), line.amount_minor)) for line in lines]
        # Its text says that it is of another day's group.
        return [_renamed(line) if line is first else line for line in lines]

    def correct_morning(self) -> None:
        """Send the statement as it ought to have been; a person says that it is the true one."""
        (self.world.inbox / self._morning_path).write_bytes(self._morning)

    # --- orders -----------------------------------------------------------------------------------

    def fetch(self, day: date) -> None:
        """Take what lies in the outbox: a file that is there anew is paid, whatever it says."""
        for path in sorted(self.world.outbox.glob("payouts/*/pain001_*.xml")):
            name = path.name
            if self._taken.get(name):
                continue  # copied before, and still there
            batch = pain001.read(path.read_bytes(), str(path))
            if name in self._taken and not self.draws.is_fetched_away():
                continue
            self._order(batch, day)
            self._new.append(batch)
            if self.draws.is_fetched_away():
                path.unlink()
                self._taken[name] = False
            else:
                self._taken[name] = True

    def _order(self, batch: pain001.ReadBatch, day: date) -> None:
        for payment in batch.payments:
            statement_id, _, number = payment.end_to_end_id.rpartition("-")
            known = self.orders.get(payment.end_to_end_id)
            if known is not None:
                known.times_ordered += 1
                self.violations.append(
                    f"payment {payment.end_to_end_id} was ordered a second time on {day}"
                )
                continue
            for other in self.orders.values():
                if other.statement_id == statement_id and self._known_out(other) > 0:
                    self.violations.append(
                        f"statement {statement_id} was paid again on {day} as "
                        f"{payment.end_to_end_id}, while {other.end_to_end_id} "
                        f"({other.kind}) had not come back"
                    )
            self.orders[payment.end_to_end_id] = Order(
                payment, batch, int(number), statement_id, "", -1
            )

    def _known_out(self, order: Order) -> int:
        """Return what has left and not come back, without what no statement could say yet.

        A refusal is proved by a statement of a later day; a debit after that one, whose own
        statement the bank has not sent, nobody can know of.
        """
        unsaid = {
            day for day in self._unsaid if EVENINGS.index(day) > EVENINGS.index(order.taken_on) + 1
        }
        return -sum(amount for day, amount in order.moves if day not in unsaid)

    def history_of(self, statement_id: str) -> int:
        """Return the number of a statement's history."""
        return self.draws.first_history + self.statements.index(statement_id)

    # --- an evening -------------------------------------------------------------------------------

    def evening(self, day: date, place: int) -> None:
        """Book what was ordered, report on it, answer inquiries, send the day's statement."""
        for batch in self._new:
            self._execute(batch, place)
            self._report(batch, day, place)
        self._new = []
        self._answer(day, place)
        for path, content in self._files.pop(place, []):
            self._put(path, content)
        self._state(day, place)

    def _execute(self, batch: pain001.ReadBatch, place: int) -> None:
        debits: dict[int, list[Order]] = defaultdict(list)
        for payment in batch.payments:
            order = self.orders[payment.end_to_end_id]
            order.history = self.history_of(order.statement_id)
            order.taken_on = EVENINGS[place]
            order.kind = self.draws.payment(order.history, order.attempt_no, place)
            at = self._book(order, place)
            if at is not None:
                debits[at].append(order)
        for at, orders in debits.items():
            self._lines[at].append((_debit(batch, orders), None))

    def _book(self, order: Order, place: int) -> int | None:
        """Plan what an order leads to; return the evening of its ordinary debit, if it has one."""
        kind, amount = order.kind, order.payment.amount_minor

        def later(first: int, last: int) -> int:
            offset = self.draws.delay(order.history, order.attempt_no, first, last)
            return min(place + offset, DONE_BY)

        if kind in _REFUSALS:
            order.is_refused = True
            order.refusal = self._reason(order, _REFUSALS[kind])
        if kind == "refused_without_reason":
            order.is_refused = True
        if kind == "not_found_then_paid":
            self._lines[later(1, 4)].append((_debit(order.batch, [order]), None))
        elif kind == "debited_twice":
            self._lines[later(0, 2)].append((_debit(order.batch, [order]), None))
        elif kind == "one_fen_off":
            # Always one more: one more and one less in a batch without its payments cancel out.
            wrong = amount + 1
            self._lines[place].append((_debit(order.batch, [order], wrong), None))
            return None
        elif kind == "under_anothers_id":
            other = self._other(order)
            if other is not None:
                self._lines[place].append(
                    (_debit(order.batch, [order], said=other.end_to_end_id), order.end_to_end_id)
                )
                other.oddities.append("named in a line of another payment")
                return None
        elif kind.startswith("returned"):
            at = later(3, 4) if kind == "returned_late" else later(0, 1)
            given = amount - max(1, amount // 10) if kind == "returned_in_part" else amount
            for _ in range(2 if kind == "returned_twice" else 1):
                line = _credit(order, given, self._reason(order, soak_draws.ANY))
                self._lines[at].append((line, None))
        if kind in ("silent_not_paid", "paid_on_paper") or order.is_refused:
            return None
        return later(0, 1) if kind == "silent_paid" else place

    def _other(self, order: Order) -> Order | None:
        """Return a payment of another file whose id the bank writes by mistake."""
        others = [
            other
            for other in self.orders.values()
            if other.batch.message_id != order.batch.message_id
            and other.statement_id != order.statement_id
        ]
        if not others:
            return None
        return self.draws.chance("other", order.history, order.attempt_no).choice(others)

    def _reason(self, order: Order, among: Sequence[str]) -> str:
        return self.draws.reason(order.history, order.attempt_no, among)

    # --- what it says -----------------------------------------------------------------------------

    def _report(self, batch: pain001.ReadBatch, day: date, place: int) -> None:
        orders = [self.orders[payment.end_to_end_id] for payment in batch.payments]
        how = self.draws.report(batch.message_id, place)
        if self.draws.only is not None and self.draws.only not in {
            order.history for order in orders
        }:
            how = soak_draws.REPORTS[0]
        self.how_reported[batch.message_id] = how
        for order in orders:
            self.kinds.append((order.history, order.kind, how, self.draws.statement(place)))
        content = self._status_report(batch, orders, day)
        path, folder = f"pain002_{batch.message_id}", f"bank/{day:%Y%m%d}"
        next_folder = f"bank/{EVENINGS[min(place + 1, len(EVENINGS) - 1)]:%Y%m%d}"
        now, later = self._files[place], self._files[min(place + 1, len(EVENINGS) - 1)]
        cut = content[: int(len(content) * _CUT)]
        if how in ("whole", "twice", "again_next_day", "contradicted"):
            now.append((f"{folder}/{path}.xml", content))
        if how == "twice":
            now.append((f"{folder}/{path}-2.xml", content))
        elif how in {"again_next_day", "late"}:
            later.append((f"{next_folder}/{path}.xml", content))
        elif how == "cut":
            now.append((f"{folder}/{path}.xml", cut))
        elif how == "cut_then_whole":
            now.append((f"{folder}/{path}.xml", cut))
            later.append((f"{folder}/{path}.xml", content))
        elif how == "contradicted":
            later.append((f"{next_folder}/{path}-2.xml", self._opposite(batch, orders, day)))
        elif how == "of_another_file":
            now.append((f"{folder}/{path}.xml", self._of_another(content, batch)))
        elif how == "of_another_count":
            wrong = content.replace(
                f"<OrgnlNbOfTxs>{batch.payment_count}<".encode(),
                f"<OrgnlNbOfTxs>{batch.payment_count + 1}<".encode(),
            )
            now.append((f"{folder}/{path}.xml", wrong))
        duplicates = [order for order in orders if order.kind == "duplicate_after_paying"]
        if duplicates:
            again = bank_answers.status_report(
                batch,
                day,
                {order.end_to_end_id: "AM05" for order in duplicates},
                frozenset(order.end_to_end_id for order in orders if order not in duplicates),
                report_id=f"{batch.message_id}-D",
            )
            later.append((f"{next_folder}/{path}-D.xml", again))

    def _status_report(self, batch: pain001.ReadBatch, orders: Iterable[Order], day: date) -> bytes:
        rejects = {order.end_to_end_id: order.refusal or "" for order in orders if order.is_refused}
        silent = frozenset(order.end_to_end_id for order in orders if order.kind in _SILENT)
        return _without_empty_reasons(
            bank_answers.status_report(
                batch, day, {key: code or "NONE" for key, code in rejects.items()}, silent
            )
        )

    @staticmethod
    def _opposite(batch: pain001.ReadBatch, orders: Iterable[Order], day: date) -> bytes:
        """Say of each payment the contrary of what was said before."""
        rejects = {order.end_to_end_id: "AM04" for order in orders if not order.is_refused}
        return bank_answers.status_report(batch, day, rejects, report_id=f"{batch.message_id}-2")

    def _of_another(self, content: bytes, batch: pain001.ReadBatch) -> bytes:
        """Name a payment of another file in place of the first of this one."""
        others = [
            order for order in self.orders.values() if order.batch.message_id != batch.message_id
        ]
        if not others:
            return content
        other = self.draws.chance("report of", batch.message_id).choice(others)
        first = batch.payments[0].end_to_end_id
        return content.replace(f">{first}<".encode(), f">{other.end_to_end_id}<".encode())

    def _answer(self, day: date, place: int) -> None:
        """Answer the inquiries that came since the evening before."""
        asked: dict[str, list[Order]] = defaultdict(list)
        for path in sorted(self.world.outbox.glob("inquiries/*/payout_inquiry_*.csv")):
            if path.name in self._asked:
                continue
            self._asked.add(path.name)
            for row in csv.DictReader(io.StringIO(path.read_text())):
                order = self.orders.get(row["end_to_end_id"])
                if order is not None and order.history >= 0 and self._says(order, place):
                    asked[order.batch.message_id].append(order)
        for number, (message_id, orders) in enumerate(sorted(asked.items())):
            batch = orders[0].batch
            others = frozenset(payment.end_to_end_id for payment in batch.payments) - {
                order.end_to_end_id for order in orders
            }
            report = bank_answers.status_report(
                batch,
                day,
                {order.end_to_end_id: order.refusal or "NONE" for order in orders
                 if order.is_refused},
                others,
                report_id=f"INQ-{message_id}-{place}",
            )  # fmt: skip
            path = f"bank/{day:%Y%m%d}/pain002_INQ-{message_id}-{place}-{number}.xml"
            self._files[place].append((path, _without_empty_reasons(report)))

    def _says(self, order: Order, place: int) -> bool:
        """Decide what becomes of a payment that is asked about; whether there is an answer."""
        if order.kind != "silent_not_paid" or order.is_refused or order.moves:
            return True
        answer = self.draws.inquiry_answer(order.history, order.attempt_no)
        if place >= DONE_BY - 1:
            answer = "refuses" if answer == "nothing" else answer
        if place > DONE_BY:
            answer = "pays_now"  # a refusal would be repeated after the last evening
        order.oddities.append(f"asked: {answer}")
        if answer == "nothing":
            return False
        if answer == "pays_now":
            self._lines[place].append((_debit(order.batch, [order]), None))
            order.kind = "silent_paid"
            return True
        order.is_refused = True
        order.refusal = self._reason(order, soak_draws.RETRIED) if answer == "refuses" else None
        if answer == "not_found_then_pays":
            at = min(place + 2, DONE_BY)
            self._lines[at].append((_debit(order.batch, [order]), None))
        return True

    def _state(self, day: date, place: int) -> None:
        """Send the day's statement as it is drawn, and what was left of the evening before."""
        for path, content in self._early:
            self._put(path, content)
        self._early = []
        self._unsaid.clear()
        how = self.draws.statement(place)
        lines = []
        for line, real in self._lines.pop(place, []):
            self._note(day, line, real)
            lines.append(_undetailed(line) if how == "no_details" else line)
            self.lines.append((day, lines[-1]))
        sequence = 2 if day == PAYMENT else 1
        content = bank.statement_xml(day, sequence, self._balance, lines)
        self._balance += sum(line.amount_minor for line in lines)
        path = bank.statement_path(day, sequence)
        if how in ("whole", "twice", "again_next_day", "no_details"):
            self._put(path, content)
        if how == "twice":
            again = Path(path).with_stem(f"{Path(path).stem}-again")
            self._put(str(again), content)
        elif how == "late":
            self._unsaid.add(day)
            self._early.append((path, content))
        elif how == "cut_then_whole":
            self._unsaid.add(day)
            self._put(path, content[: int(len(content) * _CUT)])
            self._early.append((path, content))
        elif how == "again_next_day":
            tomorrow = EVENINGS[place + 1]
            self._early.append((f"bank/{tomorrow:%Y%m%d}/{Path(path).name}", content))

    def _note(self, day: date, line: BankLine, real: str | None) -> None:
        """Keep whose money a line really moved."""
        for detail in line.details:
            name = real or detail.end_to_end_id
            assert name is not None
            self.orders[name].moves.append((day, detail.amount_minor))

    @property
    def balance_minor(self) -> int:
        """The balance of the account after all that was booked."""
        return self._balance

    def _put(self, path: str, content: bytes) -> None:
        target = self.world.inbox / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _debit(
    batch: pain001.ReadBatch,
    orders: Sequence[Order],
    amount_minor: int | None = None,
    said: str | None = None,
) -> BankLine:
    """Return a debit of payments of a batch; ``said``: another id than that of the only payment."""
    details = tuple(
        BankLineDetail(
            amount_minor=-(amount_minor or order.payment.amount_minor),
            end_to_end_id=said or order.end_to_end_id,
            counterparty_name=order.payment.account_name,
            remittance_text=f"PAYOUT {batch.message_id}",
        )
        for order in orders
    )
    return BankLine(
        amount_minor=sum(detail.amount_minor for detail in details),
        counterparty_name=PAYER,
        remittance_text=f"PAYOUT {batch.message_id}",
        details=details,
        batch_message_id=batch.message_id,
        kind="payout_debit",
        about=batch.message_id,
    )


def _credit(order: Order, amount_minor: int, reason: str) -> BankLine:
    """Return the credit of a payment that came back."""
    text = f"RETURN {order.end_to_end_id}"
    return BankLine(
        amount_minor=amount_minor,
        counterparty_name=order.payment.account_name,
        remittance_text=text,
        details=(
            BankLineDetail(
                amount_minor=amount_minor,
                end_to_end_id=order.end_to_end_id,
                counterparty_name=order.payment.account_name,
                remittance_text=text,
                return_reason_code=reason,
            ),
        ),
        is_return=True,
        kind="payout_return",
        about=order.end_to_end_id,
    )


def _undetailed(line: BankLine) -> BankLine:
    """Return the line of a bank that names no payment below a batch."""
    if line.batch_message_id is None:
        return line
    whole = BankLineDetail(line.amount_minor, None, PAYER, line.remittance_text)
    return replace(line, details=(whole,))


def _amount(line: BankLine, amount_minor: int) -> BankLine:
    return replace(line, amount_minor=amount_minor, details=())


def _renamed(line: BankLine) -> BankLine:
    """Name another day in the text of an arrival."""
    text = line.remittance_text.replace(f"{PAYMENT:%Y%m%d}", "20260918")
    return replace(line, remittance_text=text, details=())


def _without_empty_reasons(report: bytes) -> bytes:
    """Take out the reason of a payment that is refused without one."""
    return re.sub(rb"\s*<StsRsnInf>\s*<Rsn>\s*<Cd>NONE</Cd>\s*</Rsn>\s*</StsRsnInf>", b"", report)
