"""A bank that errs: it debits a batch twice and gives a payout back twice, and two people take it.

The week stops at the next gate, which names each line; what was taken is posted, matched and asked
about no more, and the week goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tieout import database
from tieout.commands.cli import GATE_FAILED
from tieout.core.settings import Settings
from tieout.decisions import bank_lines

from .conftest import served_home, tieout

pytestmark = pytest.mark.timeout(1200)

WEEK = ("--transactions", "60", "--merchants", "10")
PEOPLE = ("--by", "Zhou Min", "--second", "Wu Fang")


@pytest.fixture(scope="module")
def stopped(
    prepared_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Settings, str]]:
    """A home whose week has stopped at the gate of 29 September; and what was said of it."""
    home = tmp_path_factory.mktemp("erring-bank") / "home"
    with served_home(prepared_home, home) as settings:
        for command in (
            ("simulate", *WEEK),
            ("close", "2026-09-24", "--to", "2026-09-27"),
            ("terms", "approve", "--first-date", *PEOPLE, "--reason", "signed"),
            ("pay", "2026-09-28"),
        ):
            done = tieout(home, *command)
            assert done.returncode == 0, done.stderr[-3000:]
        returned = returned_payout(settings)
        (settings.truth_dir / "bank" / "answers.json").write_text(
            json.dumps(
                {
                    "debit_twice": ["2026-09-28"],
                    "return": {returned: "AC04"},
                    "return_twice": [returned],
                }
            )
        )
        # The evening's outcomes tell of both when everything else is done; the next gate stops.
        told = tieout(home, "sample", *WEEK)
        assert told.returncode == 1, told.stderr[-3000:]
        assert "payout outcomes of 2026-09-28" in told.stderr
        assert "was debited a second time" in told.stderr
        done = tieout(home, "sample", *WEEK)
        assert done.returncode == GATE_FAILED, done.stderr[-3000:]
        yield home, settings, done.stderr


def query(settings: Settings, text: str) -> list[tuple[Any, ...]]:
    with database.connect(settings) as connection:
        return connection.execute(text).fetchall()


def returned_payout(settings: Settings) -> str:
    """Return the end-to-end id of the payout that comes back."""
    return str(query(settings, "select min(end_to_end_id) from payout.attempts")[0][0])


def test_the_gate_names_each_line(stopped: tuple[Path, Settings, str]) -> None:
    home, settings, said = stopped
    message = said[said.rfind("tieout:") :]
    for word in ("gate of 2026-09-29", "bank_lines_explained", "debited_twice", "returned_twice"):
        assert word in message
    assert list((home / "outbox/payouts/20260928").iterdir())
    assert not (home / "outbox/payouts/20260929").exists()
    found = query(
        settings,
        "select reason, unexplained_amount_minor, amount_minor, opened_on::text, status"
        " from reconciliation.unexplained_bank_lines where payment_date = '2026-09-29'"
        " order by reason",
    )
    paid = query(settings, "select sum(amount_minor) from payout.instructions")[0][0]
    one = query(
        settings,
        "select instructions.amount_minor from payout.instructions as instructions"
        " inner join payout.attempts as attempts"
        " on instructions.instruction_id = attempts.instruction_id"
        f" where attempts.end_to_end_id = '{returned_payout(settings)}'",
    )[0][0]
    assert found == [
        ("debited_twice", -paid, -paid, "2026-09-28", "open"),
        ("returned_twice", one, one, "2026-09-28", "open"),
    ]
    told = query(
        settings, "select problem from payout.outcome_problems where run_date = '2026-09-28'"
    )
    (returned,) = [problem for (problem,) in told if "came back a second time" in problem]
    assert f"payment {returned_payout(settings)}" in returned
    assert len(told) > 1
    assert all("a second time" in problem for (problem,) in told)
    # The ledger of the date holds both in suspense, each payout in transit once.
    suspense = query(
        settings,
        "select closing_amount_minor from ledger.account_balances"
        " where accounting_date = '2026-09-28' and ledger_account = 'bank_suspense'",
    )
    transit = query(
        settings,
        "select sum(closing_amount_minor) from ledger.account_balances"
        " where accounting_date = '2026-09-28' and ledger_account = 'payouts_in_transit'",
    )
    assert suspense == [(paid - one,)]
    assert transit == [(0,)]


def test_two_people_take_the_lines_and_the_week_goes_on(
    stopped: tuple[Path, Settings, str],
) -> None:
    home, settings, _ = stopped
    listed = tieout(home, "bank-lines", "list")
    assert "debited_twice" in listed.stdout
    lines = bank_lines.open_lines(settings)
    assert len(lines) == 2
    owed = sum(line.unexplained_amount_minor for line in lines)
    for line in lines:
        shown = tieout(home, "bank-lines", "show", line.name)
        assert line.reason in shown.stdout
        asked = tieout(
            home, "bank-lines", "take", line.name,
            "--as", "claim_on_bank", "--by", "Alice", "--reason", "the bank says it erred",
        )  # fmt: skip
        assert asked.returncode == 0, asked.stderr
    # One person's word is not enough.
    again = tieout(home, "pay", "2026-09-29")
    assert again.returncode == GATE_FAILED
    assert "bank_lines_explained" in again.stderr
    numbers = [decision.decision_id for decision in bank_lines.decisions(settings)]
    alone = tieout(home, "bank-lines", "approve", str(numbers[0]), "--by", "Al\u200bice")
    assert alone.returncode == 1
    assert "another person" in alone.stderr
    for number in numbers:
        done = tieout(home, "bank-lines", "approve", str(number), "--by", "Bob")
        assert done.returncode == 0, done.stderr
    for command in (("pay", "2026-09-29"), ("close", "2026-09-29")):
        done = tieout(home, *command)
        assert done.returncode == 0, done.stderr[-3000:]
    assert tieout(home, "bank-lines", "list").stdout == ""
    assert set(
        query(
            settings,
            "select payment_date::text, status from reconciliation.unexplained_bank_lines",
        )
    ) == {("2026-09-28", "open"), ("2026-09-29", "taken")}
    balances = dict(
        query(
            settings,
            "select ledger_account, sum(closing_amount_minor) from ledger.account_balances"
            " where accounting_date = '2026-09-29'"
            " and ledger_account in ('bank_suspense', 'claims_on_banks')"
            " group by ledger_account",
        )
    )
    assert balances == {"bank_suspense": 0, "claims_on_banks": -owed}
    waiting = query(
        settings,
        "select match_id from reconciliation.bank_matches where settled_by is null"
        " and payment_date = (select max(payment_date) from reconciliation.bank_matches)",
    )
    # What was just ordered waits for the bank; nothing of the 28th does.
    names = [str(match_id) for (match_id,) in waiting]
    assert any(name.startswith("batch:PO20260929") for name in names)
    assert [name for name in names if "20260928" in name] == []
