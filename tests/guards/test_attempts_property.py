"""Whatever the bank says and whoever asks, a statement has one live attempt, and is paid once."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import payment_world
import payouts_again
from payment_world import PAYMENT_DATE, PAYOUTS_MINOR, World
from payouts_again import BALANCE_MINOR
from tieout import database
from tieout.payouts.states import LIVE_STATES, TRANSITIONS, State

pytestmark = pytest.mark.slow
STATEMENT = payment_world.statement_id(1)
INSTRUCTION = f"I-{STATEMENT}"
AMOUNT = PAYOUTS_MINOR[0]
REASONS = (None, "AM04", "AC01", "AM05", "ZZ99")
LAST_DAY = 28


class Statement(RuleBasedStateMachine):
    """One statement: days pass, the bank says anything, runs and people ask for new attempts.

    All of a history is one transaction, which is rolled back.
    """

    world: ClassVar[World]
    made: ClassVar[int] = 0
    refused: ClassVar[int] = 0

    @initialize()
    def begin(self) -> None:
        self.connection = database.connect(self.world.settings)
        self.day = PAYMENT_DATE
        self.version = 1
        self.files = 0
        self.land_statement()

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.rollback()
            self.connection.close()

    # --- what happens ---------------------------------------------------------------------------

    def run(self, query: str, *values: object) -> list[tuple[object, ...]]:
        cursor = self.connection.execute(query, values)
        return cursor.fetchall() if cursor.description else []

    def file(self) -> str:
        self.files += 1
        sha256 = f"{self.files:064x}"
        self.run(
            "insert into control.channel_files (slot, file_id, file_name, file_url, sha256,"
            " size_bytes, channel, file_kind, accounting_date, booked_on, row_count, totals_status,"
            " status) values (%s, %s, %s, 'x', %s, 1, 'bank', 'camt053', %s, %s, 1, 'agree',"
            " 'landed')",
            f"slot{self.files}",
            sha256[-16:],
            f"f{self.files}",
            sha256,
            self.day,
            self.day,
        )
        for table in (
            "bank_statements",
            "bank_statement_lines",
            "bank_statement_line_details",
        ):
            self.run(
                f"create table if not exists raw.{table}_{self.day:%Y%m%d} partition of raw.{table}"
                f" for values in ('{self.day}')"
            )
        return sha256[-16:]

    def land_statement(self) -> None:
        self.run(
            "insert into raw.bank_statements values (%s, 1, %s, 'S', %s, %s, 1, 'CNY', %s, %s, 0)",
            self.file(),
            self.day,
            payouts_again.RESERVE,
            self.day,
            BALANCE_MINOR,
            BALANCE_MINOR,
        )

    def attempts(self) -> list[tuple[str, str, State]]:
        """Return id, end-to-end id and state of the attempts, in their order."""
        return self.run(  # type: ignore[return-value]
            "select attempt_id, end_to_end_id, payout.latest_status(attempt_id)"
            " from payout.attempts where instruction_id = %s order by attempt_no",
            INSTRUCTION,
        )

    def event(self, attempt_id: str, status: State, reason: str | None) -> None:
        self.run(
            "insert into payout.attempt_events (attempt_id, event_no, status, business_date,"
            " reason_code) select %s, max(event_no) + 1, %s, %s, %s from payout.attempt_events"
            " where attempt_id = %s",
            attempt_id,
            status,
            self.day,
            reason,
            attempt_id,
        )

    @rule(statement=st.booleans())
    def a_day_passes(self, statement: bool) -> None:
        if (self.day - PAYMENT_DATE).days >= LAST_DAY:
            return
        self.day += timedelta(days=1)
        if statement:
            self.land_statement()

    @rule(place=st.integers(0, 9), choice=st.integers(0, 9), reason=st.sampled_from(REASONS))
    def the_bank_says(self, place: int, choice: int, reason: str | None) -> None:
        """Any state that may follow, of any attempt, with its line or without."""
        attempts = self.attempts()
        attempt_id, _, status = attempts[place % len(attempts)]
        after = sorted(TRANSITIONS[status])
        if after:
            self.event(attempt_id, after[choice % len(after)], reason)

    @rule(reason=st.sampled_from(REASONS), is_proved=st.booleans())
    def the_last_is_refused(self, reason: str | None, is_proved: bool) -> None:
        """As it goes in life, with the statement of the day after or without."""
        attempt_id, _, status = self.attempts()[-1]
        if "failed" not in TRANSITIONS[status]:
            return
        self.event(attempt_id, "failed", reason)
        if is_proved:
            self.a_day_passes(statement=True)

    @rule(reason=st.sampled_from(REASONS), is_credited=st.booleans())
    def the_last_comes_back(self, reason: str | None, is_credited: bool) -> None:
        """As it goes in life: debited, credited, and the payee corrected."""
        attempt_id, _, status = self.attempts()[-1]
        if status not in {"submitted", "accepted", "unknown"}:
            return
        place = len(self.attempts()) - 1
        self.a_line_is_booked(place=place, is_return=False)
        self.event(attempt_id, "paid", None)
        if is_credited:
            self.a_line_is_booked(place=place, is_return=True)
        self.event(attempt_id, "returned", reason)
        self.the_payee_is_corrected(is_confirmed=True)
        self.somebody_asks(days_ahead=0)

    @rule(place=st.integers(0, 9), is_return=st.booleans())
    def a_line_is_booked(self, place: int, is_return: bool) -> None:
        attempts = self.attempts()
        _, identifier, _ = attempts[place % len(attempts)]
        amount = AMOUNT if is_return else -AMOUNT
        file_id = self.file()
        self.run(
            "insert into raw.bank_statement_lines (file_id, line_number, accounting_date,"
            " statement_id, bank_account_id, statement_date, booking_date, currency_code,"
            " amount_minor, is_reversal, is_return, end_to_end_id, detail_count)"
            " values (%s, 1, %s, 'S', %s, %s, %s, 'CNY', %s, false, %s, %s, 0)",
            file_id,
            self.day,
            payouts_again.RESERVE,
            self.day,
            self.day,
            amount,
            is_return,
            identifier,
        )

    @rule(is_confirmed=st.booleans())
    def the_payee_is_corrected(self, is_confirmed: bool) -> None:
        self.version += 1
        self.run(
            "insert into control.payee_versions select payee_id, %s, account_id, currency_code,"
            " bank_code, account_number_token || %s, account_name_token, effective_from, file_id,"
            " line_number, accounting_date from control.payee_versions"
            " where payee_id = 'P000001' and payee_version = 1",
            self.version,
            str(self.version),
        )
        self.run(
            "insert into clearing.payee_terms select accounting_date, payee_id, %s, account_id,"
            " currency_code, payee_status, effective_from, effective_to, is_in_force, %s,"
            " change_id from clearing.payee_terms"
            " where payee_id = 'P000001' and payee_version = 1",
            self.version,
            "two_people" if is_confirmed else "waiting",
        )

    @rule(is_held=st.booleans())
    def a_person_holds_or_releases(self, is_held: bool) -> None:
        query = "payout.hold(%s, 'Zhou', 'x')" if is_held else "payout.release_hold(%s, 'Wu', 'x')"
        try:
            with self.connection.transaction():
                self.run(f"select {query}", STATEMENT)
        except psycopg.errors.RestrictViolation:
            return

    @rule(days_ahead=st.integers(0, 2))
    def somebody_asks(self, days_ahead: int) -> None:
        """The administrator, who may do all that a run and a person may."""
        before = self.attempts()
        try:
            with self.connection.transaction():
                self.run(
                    "select payout.new_attempt(%s, %s, 'Zhou', 'x')",
                    STATEMENT,
                    self.day + timedelta(days=days_ahead),
                )
        except psycopg.errors.RestrictViolation:
            type(self).refused += 1
            assert len(self.attempts()) == len(before)
            return
        type(self).made += 1
        assert {status for _, _, status in before} <= {"failed", "returned"}
        assert not self.run("select 1 where payout.is_held(%s)", STATEMENT)
        for _, identifier, status in before:
            debits, returns = self.booked(identifier)
            assert debits <= returns, "money that left has come back"
            assert status != "returned" or returns > 0

    @rule(number=st.integers(1, 4))
    def somebody_inserts(self, number: int) -> None:
        """A second attempt by hand is never taken."""
        with pytest.raises(psycopg.IntegrityError), self.connection.transaction():
            self.run(
                "insert into payout.attempts values (%s, %s, %s, %s, 'B', %s)",
                f"A-{STATEMENT}-{number}",
                INSTRUCTION,
                number,
                f"{STATEMENT}-{number}",
                self.day,
            )

    # --- what always holds ----------------------------------------------------------------------

    def booked(self, identifier: str) -> tuple[int, int]:
        ((debits, returns),) = self.run(
            "select count(*) filter (where amount_minor < 0), count(*) filter (where is_return)"
            " from raw.bank_statement_lines where end_to_end_id = %s",
            identifier,
        )
        return int(str(debits)), int(str(returns))

    @invariant()
    def one_attempt_may_pay(self) -> None:
        """But where the bank pays what it had refused: then it alone is at fault, and is told."""
        if not hasattr(self, "connection"):
            return
        attempts = self.attempts()
        live = [item for item in attempts if item[2] in LIVE_STATES]
        refused_then_paid = {
            row[0]
            for row in self.run(
                "select events.attempt_id from payout.attempt_events as events where events.status"
                " = 'paid' and exists (select 1 from payout.attempt_events as before where"
                " before.attempt_id = events.attempt_id and before.status = 'failed')"
            )
        }
        assert len([item for item in live if item[0] not in refused_then_paid]) <= 1
        numbers = self.run(
            "select attempt_no from payout.attempts where instruction_id = %s order by 1",
            INSTRUCTION,
        )
        assert [row[0] for row in numbers] == list(range(1, len(numbers) + 1))

    @invariant()
    def what_is_open_is_the_last_that_has_not_paid(self) -> None:
        if not hasattr(self, "connection"):
            return
        last_id, _, status = self.attempts()[-1]
        found = self.run(
            "select attempt_id, status from payout.open_attempts where attempt_id like %s",
            f"A-{STATEMENT}-%",
        )
        assert found == ([] if status == "paid" else [(last_id, status)])


@pytest.fixture
def sent(world: World) -> World:
    """A world whose payments are at the bank, with working days enough."""
    payouts_again.submit(world)
    world.execute("update reference.calendar_days set is_working_day = true")
    world.execute("update reference.payout_retry_limits set statement_attempt_limit = 9")
    return world


def test_a_statement_has_one_live_attempt_whatever_happens(sent: World) -> None:
    Statement.world, Statement.made, Statement.refused = sent, 0, 0
    run_state_machine_as_test(
        Statement,
        settings=settings(
            max_examples=settings.default.max_examples if settings.default else 25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # A machine that never gets that far would prove nothing.
    assert Statement.made > 0
    assert Statement.refused > Statement.made
