"""The funds level: a week of payouts in many batches and three arrivals a day, without a hand.

More than three thousand payees are paid on each payment date, in files of as many payments as
reference data says, some of their payouts come back, each channel pays each arrival in three lines,
and one channel's cost is charged to the fee account by the week.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tieout import database
from tieout.core.settings import Settings
from tieout.runs import transform

from .conftest import served_home, tieout

pytestmark = pytest.mark.timeout(1800)

MERCHANTS = 3_200
TRANSACTIONS = 3_500
RETURNS = 6
BATCH_PAYOUTS_MAX = 500


@pytest.fixture(scope="module")
def funds_week(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home in which the week was closed and paid by one command."""
    home = tmp_path_factory.mktemp("funds") / "home"
    with served_home(prepared_home, home) as settings:
        with database.connect(settings) as connection:
            connection.execute(
                "update reference.payout_rails set payments_per_file = %s", (BATCH_PAYOUTS_MAX,)
            )
        done = tieout(
            home, "sample", "--merchants", str(MERCHANTS), "--transactions", str(TRANSACTIONS),
            "--returns", str(RETURNS), "--three-arrivals", "--every-merchant",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        yield settings


def query(settings: Settings, text: str) -> list[tuple[Any, ...]]:
    with database.connect(settings) as connection:
        return connection.execute(text).fetchall()


def books(settings: Settings) -> list[dict[str, Any]]:
    """Return the bank's own books: the client reserve's and the fee account's."""
    state = json.loads((settings.truth_dir / "bank/state.json").read_text(encoding="utf-8"))
    return [state, state["fee_account"]]


def true_lines(settings: Settings) -> dict[tuple[str, str], tuple[str, str, int, str]]:
    """Return the truth of each bank line: kind, what it is about, amount, statement date."""
    return {
        (account["bank_account_id"], line["entry_reference"]): (
            line["kind"],
            line["about"],
            line["amount_minor"],
            sent["statement_date"],
        )
        for account in books(settings)
        for sent in account["sent"]
        for line in sent["lines"]
    }


def last_payment_date(settings: Settings) -> date:
    return query(settings, "select max(payment_date) from gate.balance_equation")[0][0]


def test_batches_of_a_file_each_match_one_to_many(funds_week: Settings) -> None:
    sizes = query(
        funds_week,
        """
        select matches.payment_date, matches.bank_line_count, matches.journal_entry_count,
            matches.variance_minor
        from reconciliation.bank_matches as matches
        where matches.match_id like 'batch:%' and matches.match_kind = 'one_to_many'
            and matches.settled_by = 'match'
        order by matches.payment_date, matches.journal_entry_count desc
        """,
    )
    full = [row for row in sizes if row[2] == BATCH_PAYOUTS_MAX]
    payment_dates = {
        row[0] for row in query(funds_week, "select payment_date from gate.gate_checks")
    }
    assert {row[0] for row in full} == payment_dates
    assert len(payment_dates) == 4
    assert all((lines, variance) == (1, 0) for _, lines, _, variance in sizes)
    payouts = query(
        funds_week,
        "select payment_date, count(*) from payout.attempts inner join payout.instructions"
        " using (instruction_id) group by payment_date order by payment_date",
    )
    assert min(count for _, count in payouts) > 5 * BATCH_PAYOUTS_MAX
    assert Counter(row[0] for row in sizes) == {
        day: -(-count // BATCH_PAYOUTS_MAX) for day, count in payouts
    }
    assert sum(row[2] for row in sizes) == sum(count for _, count in payouts)


def test_each_channel_arrives_in_three_lines(funds_week: Settings) -> None:
    rows = query(
        funds_week,
        """
        select match_kind, bank_line_count, journal_entry_count, variance_minor, settled_by
        from reconciliation.bank_matches where arrival_group_id is not null
        """,
    )
    assert set(rows) == {("many_to_one", 3, 1, 0, "match")}
    groups = query(
        funds_week,
        "select arrival_group_id, bank_arrival_amount_minor, line_count, residual_minor"
        " from gate.balance_equation where is_expected",
    )
    arrivals = json.loads((funds_week.truth_dir / "arrivals.json").read_text(encoding="utf-8"))
    assert sorted(groups) == sorted(
        (arrival["arrival_group_id"], arrival["amount_minor"], 3, 0) for arrival in arrivals
    )
    assert len(rows) == len(groups) == 15


def test_payouts_come_back_one_by_one_and_together(funds_week: Settings) -> None:
    """Each returned payout that the bank booked by the end has its own match."""
    last = last_payment_date(funds_week).isoformat()
    true_returns = Counter(
        payout
        for account in books(funds_week)
        for sent in account["sent"]
        if sent["statement_date"] <= last
        for line in sent["lines"]
        if line["kind"] == "payout_return"
        for payout in line["payouts"]
    )
    assert len(true_returns) > 4 * RETURNS
    assert set(true_returns.values()) == {1}
    found = query(
        funds_week,
        """
        select journal.match_key, bank.item_id
        from reconciliation.bank_match_lines as bank
        inner join reconciliation.bank_match_lines as journal
            on bank.payment_date = journal.payment_date and bank.match_id = journal.match_id
            and journal.side = 'journal'
        where bank.side = 'bank' and bank.item_kind = 'payout_return'
            and bank.settled_by = 'match'
        """,
    )
    assert sorted(key.removeprefix("return:") for key, _ in found) == sorted(true_returns)
    # Several of them stand in one line of the bank, some came on a later date than their payout.
    per_line = Counter(item.split(":")[0] + ":" + item.split(":")[1] for _, item in found)
    assert max(per_line.values()) > 1
    assert min(per_line.values()) == 1
    returned = query(
        funds_week,
        "select count(*) from payout.payout_status where current_status = 'returned'",
    )
    assert returned == [(len(true_returns),)]
    later = query(
        funds_week,
        """
        select count(*)
        from ledger.bank_journal as returns
        inner join ledger.bank_journal as payouts
            on returns.attempt_id = payouts.attempt_id and payouts.entry_kind = 'payout'
        where returns.entry_kind = 'payout_return' and returns.payment_date > payouts.payment_date
        """,
    )[0][0]
    assert later > 0


def test_a_weeks_fee_is_one_line_of_the_fee_account(funds_week: Settings) -> None:
    rows = query(
        funds_week,
        """
        select match_id, match_kind, bank_line_count, journal_entry_count, variance_minor
        from reconciliation.bank_matches
        where match_id like 'period_fee:%' and settled_by is not null
        order by match_id
        """,
    )
    account = books(funds_week)[1]["bank_account_id"]
    assert rows == [
        (f"period_fee:alipay:2026W39/{account}/CNY", "one_to_many", 1, 4, 0),
        (f"period_fee:alipay:2026W40/{account}/CNY", "one_to_many", 1, 3, 0),
    ]
    # The equation knows nothing of it.
    costs = query(
        funds_week,
        "select sum(channel_cost_amount_minor) from gate.balance_equation where channel = 'alipay'",
    )
    assert costs == [(0,)]


def test_the_only_open_items_are_those_the_truth_says(funds_week: Settings) -> None:
    last = last_payment_date(funds_week)
    open_items = query(
        funds_week,
        f"select * from reconciliation.bank_matches"
        f" where payment_date = '{last}' and settled_by is null",
    )
    assert open_items == []
    closing = query(
        funds_week,
        f"select bank_account_id, side, closing_count from reconciliation.bank_rollforward"
        f" where payment_date = '{last}'",
    )
    # Two sides of three accounts; own funds have no statement and no journal yet.
    assert len(closing) == 6
    assert all(count == 0 for _, _, count in closing)
    # What the bank books of its own was closed by rule, and nothing else was.
    by_rule = query(
        funds_week,
        """
        select lines.bank_account_id, raw_lines.entry_reference, lines.item_kind
        from reconciliation.bank_match_lines as lines
        inner join raw.bank_statement_lines as raw_lines
            on lines.file_id = raw_lines.file_id and lines.line_number = raw_lines.line_number
        where lines.settled_by = 'rule'
        """,
    )
    truth = true_lines(funds_week)
    own = {
        (account, reference, kind)
        for (account, reference), (kind, _, _, when) in truth.items()
        if kind in {"bank_charge", "bank_interest"} and when <= last.isoformat()
    }
    assert set(by_rule) == own
    assert len(own) == 2


def test_each_bank_line_is_what_the_truth_says(funds_week: Settings) -> None:
    last = last_payment_date(funds_week).isoformat()
    found = {
        (account, reference): (kind, amount)
        for account, reference, kind, amount in query(
            funds_week,
            """
            select lines.bank_account_id, raw_lines.entry_reference, lines.line_kind,
                lines.amount_minor
            from intermediate.int_bank__classified_lines as lines
            inner join raw.bank_statement_lines as raw_lines
                on lines.file_id = raw_lines.file_id and lines.line_number = raw_lines.line_number
            """,
        )
    }
    expected = {
        key: (kind, amount)
        for key, (kind, _, amount, when) in true_lines(funds_week).items()
        if when <= last
    }
    assert found == expected
    assert {kind for kind, _ in found.values()} == {
        "channel_arrival",
        "payout_debit",
        "payout_return",
        "period_fee",
        "bank_charge",
        "bank_interest",
    }


def test_the_ledger_has_the_banks_balance_for_each_account_and_date(funds_week: Settings) -> None:
    """Of each closed date: what the account's last statement up to it closes with."""
    ledger = {
        (account, day.isoformat()): balance
        for account, day, balance in query(
            funds_week,
            """
            select subledger_id, accounting_date, closing_amount_minor
            from ledger.account_balances
            where ledger_account in ('client_reserve_bank', 'fee_bank')
            """,
        )
    }
    days = [f"2026-09-{number}" for number in range(24, 31)]
    expected = {}
    for account in books(funds_week):
        for day in days:
            sent = [each for each in account["sent"] if each["statement_date"] <= day]
            expected[account["bank_account_id"], day] = (
                sent[-1]["closing_balance_minor"] if sent else account["opening_balance_minor"]
            )
    assert ledger == expected
    # Nothing waits in suspense, and what was billed apart and not yet charged is the last days'.
    waiting = query(
        funds_week,
        "select sum(closing_amount_minor) from ledger.account_balances"
        " where ledger_account = 'bank_suspense'",
    )
    assert waiting == [(None,)]


def test_statements_chain_for_each_account(funds_week: Settings) -> None:
    rows = query(
        funds_week,
        "select subject, bool_and(holds), count(*) from gate.gate_checks"
        " where check_name = 'bank_statement_continuity' group by subject order by subject",
    )
    assert rows == [
        ("6600100200300400 CNY", True, 4),
        ("6600100200300418 CNY", True, 4),
        ("6600100200300426 CNY", True, 4),
        ("all", True, 4),
    ]
    kinds = query(
        funds_week,
        "select distinct file_kind from control.channel_files where status = 'landed'"
        " and channel = 'bank' order by file_kind",
    )
    assert kinds == [("camt053",), ("mt940",), ("pain002",)]


# --- plans ---------------------------------------------------------------------------------------

# A loop that reads the date again for each of its rows meets 3,500 times 3,500 of them; one over
# its groups, or that probes an index, meets far fewer.
LOOP_ROWS_MAX = TRANSACTIONS**2 // 8


def loops(plan: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield how many rows the inner side of each nested loop gave, and what it read."""
    for node in plan.get("Plans", ()):
        yield from loops(node)
    if plan["Node Type"] == "Nested Loop":
        inner = plan["Plans"][1]
        rows = inner["Actual Loops"] * inner["Actual Rows"]
        rows += plan["Actual Loops"] * plan.get("Rows Removed by Join Filter", 0)
        rows += inner["Actual Loops"] * inner.get("Rows Removed by Filter", 0)
        yield round(rows), inner.get("Relation Name") or inner.get("CTE Name") or inner["Node Type"]


def worst_loops(settings: Settings) -> dict[str, tuple[int, str]]:
    """Run each model's query of the last dates; return the largest nested loop of each."""
    last = last_payment_date(settings)
    transform.run_dbt(
        settings,
        ["compile", "--select", "tag:close", "tag:payment"],
        {
            "TIEOUT_ACCOUNTING_DATE": "2026-09-30",
            "TIEOUT_PAYMENT_DATE": last.isoformat(),
            "TIEOUT_PREVIOUS_PAYMENT_DATE": "2026-09-30",
        },
    )
    compiled = sorted((settings.dbt_dir / "target/compiled/tieout/models").rglob("*.sql"))
    manifest = json.loads((settings.dbt_dir / "target/manifest.json").read_text(encoding="utf-8"))
    set_based = {
        node["name"]
        for node in manifest["nodes"].values()
        if "set_based" in str(node["config"].get("pre-hook"))
    }
    found: dict[str, tuple[int, str]] = {}
    with database.connect(settings) as connection:
        for path in compiled:
            switch = "off" if path.stem in set_based else "on"
            connection.execute(f"set local enable_nestloop = {switch}")
            text = "explain (analyze, timing off, format json) " + path.read_text(encoding="utf-8")
            (plans,) = connection.execute(text).fetchone() or ([],)  # type: ignore[call-overload]
            found[path.stem] = max(loops(plans[0]["Plan"]), default=(0, "no loop"))
    return found


def test_no_model_reads_a_date_again_for_each_row(funds_week: Settings) -> None:
    """The reference data and the list of files have statistics, and the planner uses them."""
    worst = worst_loops(funds_week)
    assert len(worst) > 60
    assert max(rows for rows, _ in worst.values()) > 0
    assert {name: loop for name, loop in worst.items() if loop[0] > LOOP_ROWS_MAX} == {}
    missing = query(
        funds_week,
        """
        select relations.oid::regclass::text
        from pg_class as relations
        where relations.relkind = 'r' and relations.reltuples < 0
            and (relations.relnamespace = 'reference'::regnamespace
                or relations.oid = 'control.channel_files'::regclass)
        """,
    )
    assert missing == []
