"""Fee bills in a real database: made once, debited once, collected by the bank's lines alone."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import psycopg
import pytest

import payment_world
from day_states import set_state
from payment_world import ACCOUNT_NUMBERS, World
from tieout import billing, database
from tieout.billing import pain008
from tieout.billing.issued import BillingError
from tieout.core.errors import TieoutError
from tieout.core.settings import PROJECT_DIR
from tieout.decisions import bills as decided
from tieout.decisions.bills import BillDecisionError
from tieout.files import store
from tieout.simulator import bank, collection_answers

ISSUED = date(2026, 10, 8)
DUE = date(2026, 10, 10)
FEE_ACCOUNT = "6600100200300418"
SEEDS = PROJECT_DIR / "dbt_project" / "seeds" / "reference"
# By account: the fees of September's entries, and how the contract has them collected.
FEES = {"A000001": (700, -50), "A000002": (-30,), "A000003": (400,)}
METHODS = {"A000001": "direct_debit", "A000002": "direct_debit", "A000003": "invoice"}
TABLES = """
    create table clearing.clearing_entries (
        accounting_date date, entry_id text, account_id text, merchant_id text, channel text,
        currency_code text, transaction_type text, source_id text,
        transaction_amount_minor bigint, settlement_mode text, fee_amount_minor bigint,
        fee_rule_id text
    );
    create table clearing.contract_terms (
        accounting_date date, contract_id text, account_id text, fee_collection_method text,
        effective_from date, is_in_force boolean
    );
    alter table clearing.payee_terms add column account_number_token text;
    create table reference.fee_collection_limits (
        currency_code text, attempts_max integer, attempt_gap_days integer,
        mandate_notice_days integer, answer_due_days integer
    );
    create table reference.fee_reminders (
        currency_code text, reminder_level integer, days_overdue integer
    );
"""


@pytest.fixture
def september(world: World) -> World:
    """September's last days are sealed; three gross merchants have fees of it."""
    with database.connect(world.settings) as connection:
        connection.execute("set role tieout_owner")
        connection.execute(TABLES)
        for name in ("fee_bills", "fee_bill_lines"):
            connection.execute(view_of(name))
        connection.execute("reset role")
        for seed in ("fee_collection_limits", "fee_reminders"):
            with (SEEDS / f"{seed}.csv").open(encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    marks = ", ".join(["%s"] * len(row))
                    connection.execute(
                        f"insert into reference.{seed} ({', '.join(row)}) values ({marks})",
                        list(row.values()),
                    )
        # The banks' own calendar: the 10th is a Saturday that was made a working day.
        connection.execute("truncate reference.calendar_days")
        with (SEEDS / "calendar_days.csv").open(encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                if "2026-09-01" <= row["calendar_date"] <= "2026-12-31":
                    connection.execute(
                        f"insert into reference.calendar_days ({', '.join(row)})"
                        " values (%s, %s, %s, %s, %s)",
                        [value or None for value in row.values()],
                    )
        connection.execute(
            "insert into reference.bank_accounts values"
            " (%s, 'fee', '示例支付有限公司手续费户', '999100000018', '示例银行', 'CNY', null)",
            [FEE_ACCOUNT],
        )
        for day in range(24, 31):
            set_state(connection, date(2026, 9, day), "sealed")
        for account_id, fees in FEES.items():
            connection.execute(
                "insert into clearing.contract_terms values"
                " ('2026-09-30', %s, %s, %s, '2026-01-01', true)",
                [f"C-{account_id}", account_id, METHODS[account_id]],
            )
            for number, fee in enumerate(fees):
                enter(connection, account_id, fee, f"{account_id}-{number}", date(2026, 9, 29))
    return world


def view_of(name: str) -> str:
    """Return a view of the dbt project as SQL: its only Jinja is names."""
    text = (PROJECT_DIR / f"dbt_project/models/settlement/{name}.sql").read_text(encoding="utf-8")
    body = text[text.index("-#}\n") + len("-#}\n") :]
    for table in ("issued_bills", "bill_amounts", "bill_reminders", "billed_fees"):
        body = body.replace(f"{{{{ source('fee_bills', '{table}') }}}}", f"settlement.{table}")
    body = body.replace("{{ ref('clearing_entries') }}", "clearing.clearing_entries")
    return f"create view settlement.{name} as {body}"


def enter(
    connection: psycopg.Connection[object], account: str, fee: int, entry: str, day: date
) -> None:
    """Clear an entry of a gross account."""
    connection.execute(
        "insert into clearing.clearing_entries values"
        " (%s, %s, %s, 'M1', 'wechat', 'CNY', 'purchase', %s, 10000, 'gross', %s, 'F1')",
        [day, entry, account, f"V-{entry}", fee],
    )


def mandate(world: World, account: str = "A000001", *, number: int = 1) -> int:
    """Let two people enter a mandate for the payee of an account, which is in force."""
    payee_id, version = world.rows(
        "select payee_id, payee_version from control.payee_versions where account_id = %s"
        " order by payee_version desc limit 1",
        [account],
    )[0]
    mandate_id = decided.request_mandate(
        world.settings,
        account,
        currency_code="CNY",
        reference=f"MND-{account}-{number}",
        payee_id=payee_id,
        payee_version=version,
        signed_on=date(2026, 9, 1),
        effective_from=date(2026, 9, 1),
        by="Zhang San",
    )
    decided.approve_mandate(world.settings, mandate_id, by="Li Si")
    world.execute(
        "insert into clearing.payee_terms select '2026-09-30', payee_id, payee_version,"
        " account_id, currency_code, 'active', effective_from, null, true, 'two_people', null,"
        " account_number_token from control.payee_versions where account_id = %s",
        [account],
    )
    return mandate_id


@pytest.fixture
def billed(september: World) -> World:
    assert billing.issue(september.settings, ISSUED) == 3
    return september


@pytest.fixture
def debited(billed: World) -> World:
    """One bill is debited: A000001's; the bank has not answered."""
    mandate(billed)
    assert billing.start(billed.settings, DUE) == 1
    assert billing.put_out(billed.settings, DUE).new_file_count == 1
    return billed


def arrive(
    world: World,
    amount: int,
    *,
    day: date = DUE,
    line: int = 1,
    text: str = "FEEBILL FB00000001C01",
    account: str = FEE_ACCOUNT,
) -> None:
    """Land a line of a bank's statement."""
    file_id = f"{day:%Y%m%d}{line:08d}"
    world.execute(
        "insert into control.channel_files (slot, file_id, file_name, file_url, sha256, size_bytes,"
        " channel, file_kind, accounting_date, booked_on, row_count, totals_status, status)"
        " values (%(id)s, %(id)s, %(id)s, %(id)s, rpad(%(id)s, 64, '0'), 1, 'bank', 'mt940',"
        " %(day)s, %(day)s, 1, 'agree', 'landed')",
        {"id": file_id, "day": day},
    )
    with database.connect(world.settings) as connection:
        connection.execute(
            f"create table if not exists raw.bank_statement_lines_p{day:%Y%m%d} partition of"
            f" raw.bank_statement_lines for values in ('{day}')"
        )
        connection.execute(
            "insert into raw.bank_statement_lines (accounting_date, file_id, line_number,"
            " statement_id, bank_account_id, statement_date, booking_date, currency_code,"
            " amount_minor, is_reversal, is_return, remittance_text, detail_count)"
            " values (%s, %s, 1, 's', %s, %s, %s, 'CNY', %s, false, false, %s, 0)",
            [day, file_id, account, day, day, amount, text],
        )


def states(world: World) -> list[str]:
    """Return the states of the first debit in order."""
    rows = world.rows("select status from settlement.collection_events order by event_no")
    return [row[0] for row in rows]


def bill_of(world: World, number: int = 1) -> billing.Bill:
    return billing.bills(world.settings, bill_no=number)[0]


# --- bills --------------------------------------------------------------------------------------


def test_bills_are_numbered_and_sum_their_lines_once(billed: World) -> None:
    made = billing.bills(billed.settings)
    assert [(each.number, each.account_id) for each in made] == [
        ("FB00000001", "A000001"),
        ("FB00000002", "A000002"),
        ("FB00000003", "A000003"),
    ]
    assert [each.due_amount_minor for each in made] == [650, 0, 400]
    assert [each.credit_carried_minor for each in made] == [0, -30, 0]
    assert {each.due_on for each in made} == {DUE}
    assert [each.status for each in made] == ["open", "credit", "open"]
    assert billing.issue(billed.settings, ISSUED) == 0
    assert billed.value("select count(*) from settlement.billed_fees") == 4


def test_a_credit_lowers_the_next_bill_of_the_account(billed: World) -> None:
    with database.connect(billed.settings) as connection:
        connection.execute(
            "insert into clearing.contract_terms select '2026-10-31', contract_id, account_id,"
            " fee_collection_method, effective_from, true from clearing.contract_terms"
        )
        for day in range(1, 32):
            set_state(connection, date(2026, 10, day), "sealed")
        enter(connection, "A000002", 100, "next", date(2026, 10, 5))
    assert billing.issue(billed.settings, date(2026, 11, 2)) == 1
    bill = bill_of(billed, 4)
    assert (bill.fee_amount_minor, bill.credit_brought_minor, bill.due_amount_minor) == (
        100, -30, 70,
    )  # fmt: skip


def test_no_bill_is_made_before_each_date_of_the_month_is_sealed(september: World) -> None:
    assert billing.issue(september.settings, date(2026, 9, 23)) == 0
    with database.connect(september.settings) as connection:
        enter(connection, "A000003", 1, "x", date(2026, 10, 1))
        for day in range(1, 31):
            set_state(connection, date(2026, 10, day), "sealed")
    assert billing.issue(september.settings, date(2026, 11, 2)) == 3
    assert september.rows("select fee_period from settlement.fee_periods") == [("2026-09",)]


def test_a_fee_stands_in_one_bill_for_ever(billed: World) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation, match="billed_fees_pkey"):
        billed.execute(
            "insert into settlement.billed_fees select accounting_date, entry_id, 3,"
            " fee_amount_minor from settlement.billed_fees where bill_no = 1"
        )
    for statement in (
        "delete from settlement.billed_fees",
        "update settlement.issued_bills set account_id = 'A000003'",
        "truncate settlement.issued_bills cascade",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            billed.execute(statement)


def test_nothing_is_made_or_debited_on_a_closed_date(billed: World) -> None:
    with database.connect(billed.settings) as connection:
        set_state(connection, DUE, "closed")
    for function in (billing.issue, billing.start, billing.read_answers):
        with pytest.raises(BillingError, match="is closed"):
            function(billed.settings, DUE)


# --- notices ------------------------------------------------------------------------------------


def test_a_notice_sums_to_what_is_due_in_both_forms(billed: World) -> None:
    assert billing.write_notices(billed.settings, ISSUED) == 6
    files = billed.files("notices/202609")
    assert len(files) == 6
    rows = list(
        csv.reader(files["fee_bill_FB00000001_202609.csv"].decode("utf-8-sig").splitlines())
    )
    assert [row[8] for row in rows[1:]] == ["7.00", "-0.50", "6.50"]
    assert rows[-1][1].startswith("due")
    assert rows[-1][9] == "6.50"
    carried = files["fee_bill_FB00000002_202609.csv"].decode("utf-8-sig")
    assert "credit_carried 结转下期" in carried
    assert billing.write_notices(billed.settings, ISSUED) == 6
    assert billed.files("notices/202609") == files


def test_a_notice_that_does_not_sum_has_no_name(billed: World, tmp_path: Path) -> None:
    bill = replace(bill_of(billed), fee_amount_minor=651, due_amount_minor=651)
    for file_format in ("csv", "xlsx"):
        with pytest.raises(BillingError, match=r"2 lines sum to 6\.50"):
            billing.write_notice(billed.settings, bill, tmp_path / "notices", file_format)
    assert list((tmp_path / "notices").iterdir()) == []


# --- debits -------------------------------------------------------------------------------------


def test_a_debit_is_ordered_once_and_its_file_is_one(debited: World) -> None:
    files = debited.files("collections")
    (name,) = files
    assert name == "pain008_FB-20261010-CNY-1.xml"
    (debit,) = pain008.read(files[name], name)
    assert (debit.end_to_end_id, debit.amount_minor) == ("FB00000001C01", 650)
    assert debit.account_number == ACCOUNT_NUMBERS[0]
    assert debit.mandate_reference == "MND-A000001-1"
    # Again, and on the next day: nothing new is ordered, and the file is the same.
    for day in (DUE, date(2026, 10, 11)):
        assert billing.start(debited.settings, day) == 0
        assert billing.put_out(debited.settings, day).new_file_count == 0
    assert debited.files("collections") == files
    assert states(debited) == ["created", "submitted"]


def test_a_file_that_the_bank_has_fetched_is_not_written_again(
    debited: World, capsys: pytest.CaptureFixture[str]
) -> None:
    (name,) = debited.files("collections")
    (debited.outbox / "collections/20261010" / name).unlink()
    assert billing.put_out(debited.settings, DUE).new_file_count == 0
    assert debited.files("collections") == {}
    assert "the bank may have fetched it, so it is not written again" in capsys.readouterr().err


def test_a_file_on_record_that_has_no_name_yet_gets_it(debited: World) -> None:
    files = debited.files("collections")
    (name,) = files
    path = debited.outbox / "collections/20261010" / name
    path.rename(path.parent / store.hidden(name))
    assert billing.put_out(debited.settings, DUE).new_file_count == 1
    assert debited.files("collections") == files


def test_another_file_in_its_place_is_never_replaced(debited: World) -> None:
    path = debited.outbox / "collections/20261010/pain008_FB-20261010-CNY-1.xml"
    path.write_bytes(path.read_bytes().replace(b"6.50", b"9.50"))
    with pytest.raises(TieoutError, match="other content"):
        billing.put_out(debited.settings, DUE)


NOT_DEBITED = (
    ("select 1", None),
    ("insert into settlement.mandate_ends values (1, 'x', 'Zhang San')", "no_mandate"),
    ("update clearing.payee_terms set confirmation = 'waiting'", "payee_changed"),
    ("update clearing.payee_terms set payee_status = 'blocked'", "payee_changed"),
    ("update clearing.payee_terms set account_number_token = 'x'", "payee_changed"),
    ("update clearing.payee_terms set account_id = 'A000003'", "payee_changed"),
    (
        "insert into control.payee_versions select payee_id, payee_version + 1, account_id,"
        " currency_code, bank_code, 'another', account_name_token, effective_from, file_id,"
        " line_number + 1, accounting_date, address_token from control.payee_versions"
        " where account_id = 'A000001'",
        "payee_changed",
    ),
    ("update reference.fee_collection_limits set mandate_notice_days = 30", "mandate_too_new"),
    ("delete from reference.fee_collection_limits", "no_limits"),
)


def test_who_is_not_debited(billed: World) -> None:
    mandate(billed)
    for change, reason in NOT_DEBITED:
        with database.connect(billed.settings) as connection:
            connection.execute(change)  # type: ignore[arg-type]
            found = connection.execute(
                "select settlement.why_not_debited(1, %s), settlement.start_collections(%s)",
                [DUE, DUE],
            ).fetchone()
            assert found == (reason, 1 if reason is None else 0), change
            connection.rollback()


def test_others_are_not_debited_either(billed: World) -> None:
    reasons = {
        number: billing.why_not_debited(billed.settings, number, DUE) for number in (1, 2, 3, 9)
    }
    assert reasons == {1: "no_mandate", 2: "nothing_open", 3: "invoice", 9: "no_bill"}
    mandate(billed)
    assert billing.why_not_debited(billed.settings, 1, date(2026, 10, 9)) == "not_due"


def test_a_new_mandate_replaces_the_old_one_at_once_and_waits(billed: World) -> None:
    mandate(billed)
    with database.connect(billed.settings) as connection:
        for day in range(1, 10):
            set_state(connection, date(2026, 10, day), "closed")
    # Dated back, and not known before: the day before the collection.
    mandate(billed, number=2)
    assert billing.why_not_debited(billed.settings, 1, DUE) == "mandate_too_new"


# --- what the bank says -------------------------------------------------------------------------


def answer(world: World, **kinds: str) -> None:
    """Have the simulated bank answer the files of the day."""
    path = world.settings.truth_dir / "bank" / "collections.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kinds))
    collection_answers.report(world.settings, DUE)


def test_a_report_never_says_paid(debited: World) -> None:
    answer(debited, FB00000001C01="paid")
    report = billing.read_answers(debited.settings, DUE)
    assert (report.answered_count, report.collected_count) == (1, 0)
    assert states(debited) == ["created", "submitted", "accepted"]
    assert bill_of(debited).open_amount_minor == 650
    arrive(debited, 650)
    assert billing.read_answers(debited.settings, DUE).collected_count == 1
    bill = bill_of(debited)
    assert (bill.status, bill.collected_amount_minor, bill.open_amount_minor) == ("paid", 650, 0)
    # The report and the line again change nothing.
    again = billing.read_answers(debited.settings, DUE)
    assert (again.report_count, again.answered_count, again.collected_count) == (0, 0, 0)


def test_part_of_it_is_collected_and_the_rest_is_debited_again(debited: World) -> None:
    arrive(debited, 250)
    billing.read_answers(debited.settings, DUE)
    bill = bill_of(debited)
    assert (bill.status, bill.open_amount_minor) == ("part_paid", 400)
    assert billing.why_not_debited(debited.settings, 1, date(2026, 10, 11)) == "too_soon"
    later = date(2026, 10, 13)
    assert billing.start(debited.settings, later) == 1
    assert (
        debited.value("select amount_minor from settlement.collections where attempt_no = 2") == 400
    )


def test_refused_is_debited_again_up_to_the_limit(debited: World) -> None:
    answer(debited, FB00000001C01="AM04")
    billing.read_answers(debited.settings, DUE)
    assert bill_of(debited).status == "failed"
    assert (
        debited.value("select reason_code from settlement.collection_events where event_no = 3")
        == "AM04"
    )
    debited.execute("update reference.fee_collection_limits set attempts_max = 1")
    assert billing.why_not_debited(debited.settings, 1, date(2026, 10, 20)) == "attempts_spent"


def test_silence_is_unknown_asked_about_and_not_debited_again(debited: World) -> None:
    later = date(2026, 10, 12)
    report = billing.read_answers(debited.settings, later)
    assert (report.silent_count, report.unknown_count) == (1, 1)
    assert report.inquiry_url is not None
    (inquiry,) = debited.files("inquiries/20261012").values()
    assert b"FB00000001C01" in inquiry
    assert bill_of(debited).status == "unknown"
    for day in (later, date(2026, 10, 31)):
        assert billing.why_not_debited(debited.settings, 1, day) == "under_way"
        assert billing.start(debited.settings, day) == 0
    arrive(debited, 650, day=date(2026, 10, 13))
    assert billing.read_answers(debited.settings, date(2026, 10, 13)).collected_count == 1


def test_no_other_line_collects(debited: World) -> None:
    words = "FEEBILL FB00000001C01"
    others = (
        (651, words, FEE_ACCOUNT),
        (-650, words, FEE_ACCOUNT),
        (650, "FEEBILL FB00000001C02", FEE_ACCOUNT),
        (650, words, "6600100200300400"),
    )
    for line, (amount, text, account) in enumerate(others, start=1):
        arrive(debited, amount, line=line, text=text, account=account)
        assert billing.read_answers(debited.settings, DUE).collected_count == 0
        assert bill_of(debited).open_amount_minor == 650
    # Two lines of one debit: the first collects, the second is nobody's.
    arrive(debited, 400, line=8)
    arrive(debited, 250, line=9)
    assert billing.read_answers(debited.settings, DUE).collected_count == 1
    assert billing.read_answers(debited.settings, DUE).collected_count == 0
    assert bill_of(debited).collected_amount_minor == 400


def test_nothing_is_collected_without_a_line(debited: World) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        debited.execute(
            "insert into settlement.collection_events"
            " (collection_id, event_no, status, business_date, collected_minor)"
            " values ('FB00000001C01', 3, 'paid', '2026-10-10', 650)"
        )
    with pytest.raises(psycopg.errors.RestrictViolation, match="does not have like that"):
        debited.rows(
            "select settlement.apply_collection_report('FB-20261010-CNY-1', repeat('a', 64), 'x',"
            ' \'[{"collection_id": "FB00000001C01", "status": "paid"}]\', \'2026-10-10\')'
        )


def test_a_report_that_is_not_understood_changes_nothing(debited: World) -> None:
    answer(debited, FB00000001C01="paid")
    (path,) = (debited.inbox / "collections/20261010").iterdir()
    said = path.read_text(encoding="utf-8")
    for old, new in (
        ("FB-20261010-CNY-1", "FB-20261010-CNY-9"),
        ("FB00000001C01", "FB00000001C07"),
        ("6.50", "6.51"),
        ("ACSC", "XXXX"),
    ):
        assert old in said
        path.write_text(said.replace(old, new), encoding="utf-8")
        assert len(billing.read_answers(debited.settings, DUE).problems) == 1, new
        assert states(debited) == ["created", "submitted"]


# --- a debit is taken back ----------------------------------------------------------------------

RETURN = "FEEBILL RETURN FB00000001C01"
LATER = date(2026, 10, 14)


@pytest.fixture
def paid(debited: World) -> World:
    """The debit of A000001's bill has come."""
    arrive(debited, 650)
    assert billing.read_answers(debited.settings, DUE).collected_count == 1
    return debited


def test_a_debit_that_is_taken_back_opens_its_bill_with_the_reason(paid: World) -> None:
    arrive(paid, -650, day=LATER, text=f"{RETURN} AM04")
    assert billing.read_answers(paid.settings, LATER).returned_count == 1
    bill = bill_of(paid)
    assert (bill.status, bill.collected_amount_minor, bill.open_amount_minor) == (
        "returned", 0, 650,
    )  # fmt: skip
    assert billing.events(paid.settings, 1)[-1].startswith(
        "2026-10-14  FB00000001C01 of 6.50 CNY: returned (AM04), line 1 of file"
    )
    # Whoever lacked the money is debited again after the gap, as often as the limit says.
    assert billing.why_not_debited(paid.settings, 1, LATER) == "too_soon"
    again = date(2026, 10, 17)
    assert billing.why_not_debited(paid.settings, 1, again) is None
    assert billing.start(paid.settings, again) == 1
    assert billing.read_answers(paid.settings, again).returned_count == 0


def test_what_is_taken_back_is_reminded_of(paid: World) -> None:
    arrive(paid, -650, day=LATER, text=RETURN)
    billing.read_answers(paid.settings, LATER)
    assert billing.remind(paid.settings, date(2026, 10, 20)) == 2
    assert {row[0] for row in paid.rows("select bill_no from settlement.bill_reminders")} == {1, 3}


@pytest.mark.parametrize("reason", ["", " MD06", " AC04"])
def test_a_mandate_that_was_refused_debits_nobody_until_people_renew_it(
    paid: World, reason: str
) -> None:
    arrive(paid, -650, day=LATER, text=RETURN + reason)
    billing.read_answers(paid.settings, LATER)
    later = date(2026, 10, 30)
    assert billing.why_not_debited(paid.settings, 1, later) == "mandate_refused"
    assert billing.start(paid.settings, later) == 0
    mandate(paid, number=2)
    assert billing.why_not_debited(paid.settings, 1, later) is None


def test_a_refusal_because_of_the_mandate_holds_it_too(debited: World) -> None:
    answer(debited, FB00000001C01="MD01")
    billing.read_answers(debited.settings, DUE)
    assert billing.why_not_debited(debited.settings, 1, date(2026, 10, 30)) == "mandate_refused"


def test_no_other_line_takes_back(paid: World) -> None:
    others = (
        (-649, RETURN, FEE_ACCOUNT, LATER),
        (-651, RETURN, FEE_ACCOUNT, LATER),
        (650, RETURN, FEE_ACCOUNT, LATER),
        (-650, "FEEBILL RETURN FB00000001C02", FEE_ACCOUNT, LATER),
        (-650, f"{RETURN} whatever", FEE_ACCOUNT, LATER),
        (-650, "FEEBILL FB00000001C01", FEE_ACCOUNT, LATER),
        (-650, RETURN, "6600100200300400", LATER),
        (-650, RETURN, FEE_ACCOUNT, date(2026, 10, 9)),
    )
    for line, (amount, text, account, day) in enumerate(others, start=2):
        arrive(paid, amount, line=line, text=text, account=account, day=day)
        assert billing.read_answers(paid.settings, LATER).returned_count == 0, text
        assert bill_of(paid).status == "paid"


def test_it_is_taken_back_once_and_never_before_it_came(debited: World) -> None:
    arrive(debited, -650, day=LATER, text=RETURN)
    assert billing.read_answers(debited.settings, LATER).returned_count == 0
    arrive(debited, 650, day=LATER, line=2)
    # Both in one run: it came, and was taken back.
    report = billing.read_answers(debited.settings, LATER)
    assert (report.collected_count, report.returned_count) == (1, 1)
    arrive(debited, -650, day=LATER, line=3, text=RETURN)
    arrive(debited, 650, day=LATER, line=4)
    report = billing.read_answers(debited.settings, LATER)
    assert (report.collected_count, report.returned_count) == (0, 0)
    assert bill_of(debited).open_amount_minor == 650
    assert states(debited)[-2:] == ["paid", "returned"]


def test_nothing_is_taken_back_without_a_line_or_on_a_closed_date(paid: World) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        paid.execute(
            "insert into settlement.collection_events"
            " (collection_id, event_no, status, business_date)"
            " values ('FB00000001C01', 9, 'returned', '2026-10-14')"
        )
    arrive(paid, -650, day=LATER, text=RETURN)
    with database.connect(paid.settings) as connection:
        set_state(connection, LATER, "closed")
    with pytest.raises(BillingError, match="is closed"):
        billing.read_answers(paid.settings, LATER)
    assert bill_of(paid).status == "paid"


def test_what_was_taken_back_may_be_credited_and_then_no_more(paid: World) -> None:
    ask = decided.request_credit_note
    note = ask(paid.settings, 1, amount_minor=650, reason="x", by="Zhang San")
    with pytest.raises(BillDecisionError, match="only 0"):
        decided.approve_credit_note(paid.settings, note, on_date=LATER, by="Li Si")
    arrive(paid, -650, day=LATER, text=RETURN)
    billing.read_answers(paid.settings, LATER)
    decided.approve_credit_note(paid.settings, note, on_date=LATER, by="Li Si")
    assert (bill_of(paid).status, bill_of(paid).open_amount_minor) == ("credited", 0)


def test_the_simulated_bank_takes_back_on_a_later_day_once(debited: World) -> None:
    settings = debited.settings
    bank.open_books(settings.truth_dir, "x", 0, [])
    path = settings.truth_dir / "bank" / "collections.json"
    path.write_text(json.dumps({"FB00000001C01": "returned MD06"}))
    said = []
    for day in (DUE, LATER, date(2026, 10, 15)):
        collection_answers.answer(settings, day)
        sent = json.loads((settings.truth_dir / "bank" / "state.json").read_text())
        said.append(len(sent["fee_account"]["sent"]))
    assert said == [1, 2, 2]
    statements = b"".join(
        each.read_bytes() for each in sorted(debited.inbox.rglob("*")) if each.is_file()
    )
    # The text of an MT940 goes on in its next subfield.
    told = re.sub(rb"\r\n|\?2[0-9]", b"", statements)
    assert b"FEEBILL RETURN FB00000001C01 MD06" in told


# --- people, reminders --------------------------------------------------------------------------


def test_a_credit_note_takes_two_people_and_no_more_than_is_open(billed: World) -> None:
    ask = decided.request_credit_note
    note = ask(billed.settings, 1, amount_minor=150, reason="price agreed", by="Zhang San")
    with pytest.raises(BillDecisionError, match="another person"):
        decided.approve_credit_note(billed.settings, note, on_date=ISSUED, by="zhang san")
    assert bill_of(billed).open_amount_minor == 650
    assert decided.approve_credit_note(billed.settings, note, on_date=ISSUED, by="Li Si") == 1
    assert (bill_of(billed).credited_amount_minor, bill_of(billed).open_amount_minor) == (150, 500)
    more = ask(billed.settings, 1, amount_minor=501, reason="x", by="Zhang San")
    with pytest.raises(BillDecisionError, match="only 500"):
        decided.approve_credit_note(billed.settings, more, on_date=ISSUED, by="Li Si")
    whole = ask(billed.settings, 1, amount_minor=500, reason="x", by="Zhang San")
    assert decided.approve_credit_note(billed.settings, whole, on_date=ISSUED, by="Li Si") == 2
    assert bill_of(billed).status == "credited"


def test_what_is_under_way_is_not_credited(debited: World) -> None:
    note = decided.request_credit_note(
        debited.settings, 1, amount_minor=1, reason="x", by="Zhang San"
    )
    with pytest.raises(BillDecisionError, match="only 0"):
        decided.approve_credit_note(debited.settings, note, on_date=DUE, by="Li Si")


def test_a_mandate_takes_two_people_and_the_accounts_own_payee(billed: World) -> None:
    payee_id = billed.value(
        "select payee_id from control.payee_versions where account_id = 'A000002'"
    )
    entry = {
        "currency_code": "CNY",
        "reference": "M1",
        "payee_version": 1,
        "signed_on": date(2026, 9, 1),
        "effective_from": date(2026, 9, 1),
        "by": "Zhang San",
    }
    with pytest.raises(BillDecisionError, match="no payee of account A000001"):
        decided.request_mandate(billed.settings, "A000001", payee_id=payee_id, **entry)  # type: ignore[arg-type]
    number = decided.request_mandate(billed.settings, "A000002", payee_id=payee_id, **entry)  # type: ignore[arg-type]
    with pytest.raises(BillDecisionError, match="another person"):
        decided.approve_mandate(billed.settings, number, by="ZHANG SAN")
    assert decided.approve_mandate(billed.settings, number, by="Li Si") == date(2026, 10, 1)
    decided.end_mandate(billed.settings, number, reason="withdrawn", by="Zhang San")
    assert decided.mandates(billed.settings)[0].ended_by == "Zhang San"


def test_overdue_bills_are_reminded_of_once_a_level_and_paid_ones_never(debited: World) -> None:
    late = date(2026, 10, 20)
    # What is under way is not reminded of: the merchant may have paid.
    assert billing.remind(debited.settings, date(2026, 10, 12)) == 0
    assert billing.remind(debited.settings, late) == 1
    assert debited.rows("select bill_no, reminder_level from settlement.bill_reminders") == [(3, 2)]
    assert billing.remind(debited.settings, late) == 0
    arrive(debited, 650)
    billing.read_answers(debited.settings, DUE)
    assert billing.remind(debited.settings, date(2026, 12, 1)) == 1
    assert {row[0] for row in debited.rows("select bill_no from settlement.bill_reminders")} == {3}


# --- the file -----------------------------------------------------------------------------------


BATCH = pain008.DebitBatch(
    "M1",
    DUE,
    "CNY",
    pain008.Creditor("示例支付", FEE_ACCOUNT, "999100000018", "示例银行"),
    (
        pain008.Debit(
            "FB00000001C01", 650, "102100000018", "银行", "6230", "商户", "MND1", date(2026, 9, 1)
        ),
    ),
)


@pytest.mark.parametrize(
    "change",
    [
        {"debits": ()},
        {"debits": BATCH.debits * 2},
        {"debits": (replace(BATCH.debits[0], amount_minor=0),)},
        {"debits": (replace(BATCH.debits[0], account_name="x" * 141),)},
        {"debits": (replace(BATCH.debits[0], mandate_reference="x" * 36),)},
        {"message_id": ""},
    ],
)
def test_a_file_that_cannot_be_written_is_refused(change: dict[str, object]) -> None:
    assert pain008.read(pain008.write(BATCH), "x")[0].amount_minor == 650
    with pytest.raises(TieoutError, match="cannot be written"):
        pain008.write(replace(BATCH, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new"), [(b">6.50<", b">6.51<"), (b">1<", b">2<"), (b"008", b"001")]
)
def test_a_file_that_does_not_add_up_is_not_read(old: bytes, new: bytes) -> None:
    content = pain008.write(BATCH)
    assert content.count(old) >= 1
    with pytest.raises(TieoutError, match="cannot be used"):
        pain008.read(content.replace(old, new, 1), "x")


def test_what_is_shown_of_a_debit_names_nobody() -> None:
    assert "6230" not in repr(BATCH)
    assert "商户" not in repr(BATCH.debits)
    assert payment_world.ACCOUNT_NAMES
