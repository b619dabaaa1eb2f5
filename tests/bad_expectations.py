"""What is wrong, check by check, for the expectation suites: tests and `bin/mutate` read it.

Each check has bad fixtures of its own: it finds nothing in the good world, and says where in a bad
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import dict_row

import payment_world
from payment_world import ACCOUNTING_DATES, PAYMENT_DATE, World
from tieout import database, gate
from tieout.gate.expectation_suites import (
    ANY_TERM,
    CLOSE_SUITES,
    GATE_SUITES,
    LANDING_SUITES,
    Rule,
    Suite,
)


@dataclass(frozen=True)
class Bad:
    """One thing that is wrong: the statements that make it so, the rule, and words of its text."""

    boundary: str
    rule: str
    broken_by: str
    words: tuple[str, ...]
    excludes_others: bool = False


@dataclass(frozen=True)
class Good:
    """One thing that is other than usual and not wrong: the rule finds nothing."""

    boundary: str
    rule: str
    changed_by: str


EQUATION = "update gate.balance_equation set {change} where channel = 'unionpay'"
DAY = ACCOUNTING_DATES[1].isoformat()
FILE = (
    "update control.channel_files set {change}"
    f" where accounting_date = '{DAY}' and channel = 'unionpay'"
)
STATEMENT_PARTS = (
    ("settlement", 1),
    ("adjustment", 1),
    ("advance", -1),
    ("previous_unsettled", 1),
    ("transfer", 1),
)
ROLL = (
    "update reconciliation.suspense_rollforward set {change}"
    f" where accounting_date = '{DAY}' and channel = 'wechat' and side = 'system'"
)
NEWER = (
    "insert into control.channel_files (file_id, file_name, file_url, sha256, size_bytes, channel,"
    " file_kind, accounting_date, status, landed_at, row_count, totals_status)"
    " select repeat('c', 16), 'newer', 'file:///y', repeat('c', 64), 1, channel, {kind}, {day},"
    " '{status}', landed_at + interval '1 hour', 1, 'none_in_format' from control.channel_files"
    f" where accounting_date = '{DAY}' and channel = 'unionpay'"
)
MORE = (
    "insert into raw.platform_source_vouchers (file_id, line_number, accounting_date, voucher_id,"
    " transaction_at, transaction_type, transaction_status, merchant_id, account_id, channel,"
    " currency_code, amount_minor, card_kind, card_region, is_late_order, original_voucher_id)"
    " select file_id, 100 + (select count(*) from raw.platform_source_vouchers), accounting_date,"
    " '{name}', transaction_at, '{kind}', 'success', merchant_id, account_id, channel,"
    " currency_code, {amount}, card_kind, card_region, false, {original}"
    " from raw.platform_source_vouchers where voucher_id = 'V25';"
)
REGISTERED = (
    "delete from control.voucher_register;"
    " select control.register_vouchers(file_id, accounting_date)"
    " from (select distinct file_id, accounting_date"
    "       from raw.platform_source_vouchers) as files;"
)
BAD: tuple[Bad, ...] = (
    Bad(
        "gate",
        "residual_is_zero",
        EQUATION.format(change="bank_arrival_amount_minor = 35810, residual_minor = -1"),
        ("unionpay arrival 2026-09-28 CNY: residual -0.01 CNY", "bank_arrival 35810"),
    ),
    Bad(
        "gate",
        "residual_adds_up",
        EQUATION.format(change="bank_arrival_amount_minor = 35810"),
        ("unionpay arrival 2026-09-28 CNY: residual -0.01 CNY", "the table says 0"),
    ),
    Bad(
        "gate",
        "bank_arrival_is_there",
        EQUATION.format(
            change="bank_arrival_amount_minor = 0, actual_arrival_date = null,"
            " residual_minor = -35811"
        ),
        (
            "unionpay arrival 2026-09-28 CNY: bank_arrival 358.11 CNY",
            "no line on any bank statement",
        ),
    ),
    Bad(
        "gate",
        "bank_arrival_is_there",
        EQUATION.format(change="actual_arrival_date = date '2026-09-29'"),
        ("unionpay arrival 2026-09-28 CNY: bank_arrival", "2026-09-29, after the payment date"),
    ),
    Bad(
        "gate",
        "no_term_is_missing",
        EQUATION.format(change="brand_fee_amount_minor = null").replace("unionpay", "alipay"),
        ("alipay arrival 2026-09-28 CNY: brand_fee (the term has no value)",),
    ),
    Bad(
        "gate",
        "residual_is_zero",
        EQUATION.format(change="residual_minor = null"),
        ("unionpay arrival 2026-09-28 CNY: residual",),
    ),
    Bad(
        "gate",
        "no_unexpected_arrival",
        EQUATION.format(change="is_expected = false"),
        ("unionpay arrival 2026-09-28 CNY: bank_arrival 358.11 CNY",),
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        "delete from gate.balance_equation"
        " where channel = 'wechat' and arrival_date = '2026-09-26'",
        ("wechat arrival 2026-09-26 CNY: arrival_group", "2026-09-25 stands in 0 rows"),
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        EQUATION.format(change="accounting_dates = accounting_dates[1:3]"),
        ("unionpay arrival 2026-09-28 CNY: arrival_group", "2026-09-27 stands in 0 rows"),
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        "insert into gate.balance_equation select * from gate.balance_equation"
        " where channel = 'alipay'",
        ("alipay arrival 2026-09-28 CNY: arrival_group", "2026-09-24 stands in 2 rows"),
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        "delete from gate.balance_equation",
        ("unionpay arrival 2026-09-28 CNY: arrival_group", "wechat arrival 2026-09-25 CNY"),
        excludes_others=True,
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        "delete from reference.channels",
        ("payment date: arrival_group", "no accounting date is paid on it"),
        excludes_others=True,
    ),
    Bad(
        "gate",
        "every_arrival_group_is_there",
        "update control.channel_files set status = 'superseded'"
        " where file_kind = 'operating_window'",
        ("payment date: arrival_group", "no landed operating window"),
        excludes_others=True,
    ),
    Bad(
        "gate",
        "every_check_was_made",
        "delete from gate.gate_checks where check_name = 'trial_balance_zero'",
        ("all: trial_balance_zero (the check has no result",),
    ),
    Bad(
        "gate",
        "every_check_was_made",
        "delete from gate.gate_checks",
        ("all: adjustments_tie",),
        excludes_others=True,
    ),
    Bad(
        "gate",
        "every_check_holds",
        "update gate.gate_checks set holds = false, subject = 'wechat', detail = 'off by 5',"
        " measured = '5' where check_name = 'adjustments_tie'",
        ("wechat: adjustments_tie (off by 5; measured 5; expected 0)",),
    ),
    Bad(
        "gate",
        "every_check_holds",
        "update gate.gate_checks set holds = null where check_name = 'adjustments_tie'",
        ("all: adjustments_tie",),
    ),
    Bad(
        "gate",
        "statements_are_there",
        "delete from settlement.settlement_statements",
        ("settlement CNY: statements 4.00 CNY", "4 clearing records"),
        excludes_others=True,
    ),
    Bad(
        "gate",
        "statements_roll",
        "update settlement.settlement_statements set carried_forward_amount_minor = 1"
        f" where statement_id = '{payment_world.statement_id(1)}'",
        (f"{payment_world.statement_id(1)}: carried_forward -0.01 CNY",),
    ),
    Bad(
        "landing",
        "every_expected_file_is_landed",
        FILE.format(change="status = 'superseded'"),
        ("unionpay acomn: file (not landed; acomn_20260925 is superseded",),
    ),
    Bad(
        "landing",
        "every_expected_file_is_landed",
        "delete from reference.expected_files",
        ("all: file", "the list of expected files is empty"),
        excludes_others=True,
    ),
    Bad(
        "landing",
        "every_expected_file_is_landed",
        "insert into reference.expected_files values ('wechat', 'fund_bill', 'every_moon')",
        ("wechat fund_bill: file (not landed",),
    ),
    Bad(
        "landing",
        "every_expected_file_is_landed",
        "update reference.expected_files set name_part = 'merchant=2' where channel = 'unionpay'",
        ("unionpay acomn merchant=2: file (not landed",),
    ),
    # The date is Mid-Autumn, so the calendar has to say otherwise before the file is owed.
    Bad(
        "landing",
        "every_expected_file_is_landed",
        "with changed as (update reference.calendar_days set is_working_day = true"
        f" where calendar_date = '{DAY}') insert into reference.expected_files"
        " values ('bank', 'notice', 'working_day')",
        ("bank notice: file (not landed",),
    ),
    Bad(
        "landing",
        "control_totals_agree",
        FILE.format(change="declared_row_count = 2"),
        ("acomn_20260925: control_totals", "declared 2 rows, landed 1"),
    ),
    Bad(
        "landing",
        "control_totals_agree",
        FILE.format(change="declared_total_minor = 7, counted_total_minor = 5"),
        ("acomn_20260925: control_totals -2 minor units",),
    ),
    Bad(
        "landing",
        "no_file_is_waiting_for_a_person",
        "insert into control.channel_files (file_id, file_name, file_url, sha256, size_bytes,"
        " channel, file_kind, accounting_date, status, reason) values (repeat('a', 16), 'second',"
        f" 'file:///x', repeat('a', 64), 1, 'unionpay', 'acomn', '{DAY}', 'conflict',"
        " 'other bytes')",
        ("second: file (conflict: other bytes)",),
    ),
    Bad(
        "landing",
        "no_file_is_waiting_for_a_person",
        "insert into control.channel_files (file_id, file_name, file_url, sha256, size_bytes,"
        " channel, file_kind, accounting_date, status, reason, landed_at) values (repeat('b', 16),"
        " 'bad', 'file:///x', repeat('b', 64), 1, 'unionpay', 'acomn', "
        f"'{DAY}', 'quarantined', 'line 3', now() + interval '1 hour')",
        ("bad: file (quarantined: line 3)",),
    ),
    Bad(
        "close",
        "trial_balance_is_zero",
        f"update ledger.trial_balance set debit_amount_minor = 101 where accounting_date = '{DAY}'"
        " and ledger_account = 'channel_receivable'",
        ("ledger CNY: trial_balance 0.01 CNY", "debits 101, credits 100"),
    ),
    Bad(
        "close",
        "trial_balance_is_zero",
        f"delete from ledger.trial_balance where accounting_date = '{DAY}'"
        " and ledger_account = 'merchant_payable'",
        ("ledger: merchant_payable (the account has no row",),
    ),
    Bad(
        "close",
        "trial_balance_is_zero",
        f"delete from ledger.trial_balance where accounting_date = '{DAY}'",
        ("ledger: trial_balance (the accounting date has no trial balance)",),
        excludes_others=True,
    ),
    Bad(
        "close",
        "suspense_rolls_forward",
        "update reconciliation.suspense_rollforward set opening_count = 0, closing_count = 1"
        f" where accounting_date = '{DAY}' and channel = 'wechat' and side = 'system'",
        ("wechat system suspense CNY: suspense_opening", "opening 0 items"),
    ),
    Bad(
        "close",
        "suspense_rolls_forward",
        "delete from reconciliation.suspense_rollforward"
        f" where accounting_date = '{DAY}' and channel = 'alipay'",
        ("alipay channel suspense CNY: suspense_rollforward (the roll-forward has no row)",),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        f"delete from ledger.accounting_vouchers where accounting_date = '{DAY}'",
        ("unionpay CNY: source_vouchers 1.00 CNY", "1 source vouchers are not posted", "V25"),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        f"delete from ledger.postings where accounting_date = '{DAY}'",
        ("ledger: accounting_vouchers", "1 accounting vouchers have no posting"),
    ),
    # What the fixtures above do not tell apart: `make mutate` found them.
    Bad(
        "gate",
        "residual_is_zero",
        EQUATION.format(change="residual_minor = 2"),
        ("bank_arrival 35811, channel_suspense_opened 7000, system_suspense_opened 5000, ",),
    ),
    Bad(
        "gate",
        "bank_arrival_is_there",
        EQUATION.format(
            change="bank_arrival_amount_minor = 5, actual_arrival_date = null, residual_minor = -5"
        ),
        ("unionpay arrival 2026-09-28 CNY: bank_arrival 0.10 CNY",),
    ),
    *(
        Bad("gate", "every_arrival_group_is_there", EQUATION.format(change=change), words)
        for change in (
            "payment_date = payment_date + 1",
            "currency_code = 'USD'",
            "arrival_date = arrival_date + 1",
        )
        for words in [("unionpay arrival 2026-09-28 CNY: arrival_group", "stands in 0 rows")]
    ),
    Bad(
        "gate",
        "statements_are_there",
        "update clearing.clearing_records set currency_code = 'USD'"
        " where account_id = (select min(account_id) from clearing.clearing_records)",
        ("settlement USD: statements", "clearing records, and no statement"),
    ),
    *(
        Bad(
            "gate",
            "statements_roll",
            f"update settlement.settlement_statements set {column}_amount_minor = 5,"
            " carried_forward_amount_minor = carried_forward_amount_minor"
            f" - {column}_amount_minor + 5 * {sign} + 1"
            f" where statement_id = '{payment_world.statement_id(1)}'",
            (f"{payment_world.statement_id(1)}: carried_forward -0.01 CNY",),
        )
        for column, sign in STATEMENT_PARTS
    ),
    Bad(
        "landing",
        "every_expected_file_is_landed",
        "update control.channel_files set status = 'superseded'"
        f" where accounting_date = '{DAY}' and file_kind = 'operating_window'",
        ("platform operating_window: file (not landed",),
        excludes_others=True,
    ),
    Bad(
        "landing",
        "every_expected_file_is_landed",
        f"update raw.platform_operating_window set first_accounting_date = '{DAY}'"
        f" where accounting_date = '{DAY}'",
        ("platform opening_balances: file (not landed",),
        excludes_others=True,
    ),
    Bad(
        "landing",
        "every_expected_file_is_landed",
        "update reference.expected_files set name_part = 'merchant=2' where channel = 'unionpay';"
        " update control.channel_files set slot = 'acomn/merchant=1' where channel = 'unionpay'"
        f" and accounting_date = '{DAY}'",
        ("unionpay acomn merchant=2: file (not landed",),
        excludes_others=True,
    ),
    *(
        Bad(
            "landing",
            "no_file_is_waiting_for_a_person",
            FILE.format(change="status = 'quarantined', reason = 'line 3'") + "; " + other,
            ("acomn_20260925: file (quarantined: line 3)",),
            excludes_others=True,
        )
        for other in (
            NEWER.format(kind="'aerrn'", day=f"date '{DAY}'", status="landed"),
            NEWER.format(kind="file_kind", day=f"date '{DAY}' + 1", status="landed"),
            NEWER.format(kind="file_kind", day=f"date '{DAY}'", status="superseded"),
        )
    ),
    Bad(
        "close",
        "suspense_rolls_forward",
        ROLL.format(
            change="opening_amount_minor = opening_amount_minor + 5,"
            " closing_amount_minor = closing_amount_minor + 5"
        ),
        ("wechat system suspense CNY: suspense_opening 0.05 CNY",),
    ),
    Bad(
        "close",
        "suspense_rolls_forward",
        f"delete from reconciliation.suspense_rollforward where accounting_date = date '{DAY}' - 1"
        " and channel = 'wechat' and side = 'system'",
        ("wechat system suspense CNY: suspense_opening 0.10 CNY", "closed with no row"),
    ),
    Bad(
        "close",
        "suspense_rolls_forward",
        f"delete from reconciliation.suspense_rollforward where accounting_date = '{DAY}'"
        " and channel = 'wechat' and side = 'system'",
        ("wechat system suspense CNY: suspense_rollforward (the roll-forward has no row)",),
    ),
    Bad(
        "close",
        "suspense_rolls_forward",
        ROLL.format(change="currency_code = 'USD'"),
        ("wechat system suspense CNY: suspense_rollforward (the roll-forward has no row)",),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        f"update ledger.accounting_vouchers set accounting_date = date '{DAY}' - 1"
        f" where accounting_date = '{DAY}'",
        ("unionpay CNY: source_vouchers 1.00 CNY",),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        MORE.format(name="V-a", kind="purchase", amount=200, original="null")
        + MORE.format(name="V-b", kind="refund", amount=100, original="'V25-failed'"),
        ("unionpay CNY: source_vouchers 3.00 CNY", "2 source vouchers", "the first is V-a"),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        MORE.format(name="V-a", kind="purchase", amount=200, original="null")
        + f"insert into clearing.refused_vouchers values ('{DAY}', 'V-other', 'x')",
        ("1 source vouchers are not posted, the first is V-a",),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        # V-b waits for its rate; V-a waited on the date before, and is not posted now.
        MORE.format(name="V-a", kind="purchase", amount=200, original="null")
        + MORE.format(name="V-b", kind="purchase", amount=100, original="null")
        + f"insert into clearing.waiting_conversions values ('{DAY}', 'V-b'),"
        f" (date '{DAY}' - 1, 'V-a')",
        ("1 source vouchers are not posted, the first is V-a",),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        REGISTERED + MORE.format(name="V-a", kind="reversal", amount=-100, original="'V25'"),
        ("1 source vouchers are not posted, the first is V-a",),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        # Its original failed on the next date, not on this one.
        REGISTERED
        + "with gone as (delete from control.voucher_register where voucher_id = 'V25-failed'"
        " returning *) insert into control.voucher_register select (jsonb_populate_record("
        "null::control.voucher_register, to_jsonb(gone)"
        f" || jsonb_build_object('accounting_date', date '{DAY}' + 1))).* from gone;"
        + MORE.format(name="V-a", kind="reversal", amount=-100, original="'V25-failed'"),
        ("1 source vouchers are not posted, the first is V-a",),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        f"insert into ledger.accounting_vouchers values ('{DAY}', 'AV-b', 'V25', 100),"
        f" ('{DAY}', 'AV-a', 'V25', 100)",
        ("2 accounting vouchers have no posting, the first is AV-a",),
    ),
    Bad(
        "close",
        "every_source_voucher_is_posted",
        f"delete from ledger.trial_balance where accounting_date = '{DAY}'",
        ("ledger: source_vouchers (the accounting date was not posted)",),
        excludes_others=True,
    ),
)

GOOD: tuple[Good, ...] = (
    Good(
        "gate",
        "bank_arrival_is_there",
        EQUATION.format(
            change="bank_arrival_amount_minor = 0, residual_minor = 0, actual_arrival_date = null"
        ),
    ),
    # The latest window counts: it says that the platform ends before the last two dates.
    Good(
        "gate",
        "every_arrival_group_is_there",
        "update raw.platform_operating_window set last_accounting_date = '2026-09-25'"
        " where accounting_date ="
        " (select max(accounting_date) from raw.platform_operating_window);"
        " delete from gate.balance_equation where arrival_date in ('2026-09-27', '2026-09-28')"
        " and channel = 'wechat'",
    ),
    Good(
        "gate",
        "statements_are_there",
        "update gate.balance_equation set payment_date = payment_date + 1;"
        " delete from settlement.settlement_statements",
    ),
    *(
        Good(
            "gate",
            "statements_roll",
            f"update settlement.settlement_statements set {column}_amount_minor = 5,"
            " carried_forward_amount_minor = carried_forward_amount_minor"
            f" - {column}_amount_minor + 5 * {sign}"
            f" where statement_id = '{payment_world.statement_id(1)}'",
        )
        for column, sign in STATEMENT_PARTS
    ),
    Good(
        "landing",
        "control_totals_agree",
        FILE.format(change="status = 'superseded', declared_row_count = 2"),
    ),
    Good(
        "landing",
        "control_totals_agree",
        FILE.format(change="file_kind = 'pain002', declared_row_count = 2"),
    ),
    Good(
        "landing",
        "no_file_is_waiting_for_a_person",
        FILE.format(change="status = 'quarantined', reason = 'line 3'")
        + "; "
        + NEWER.format(kind="file_kind", day=f"date '{DAY}'", status="landed"),
    ),
    *(
        Good(
            "close",
            "trial_balance_is_zero",
            f"update ledger.trial_balance set {other}_amount_minor = 140,"
            f" closing_amount_minor = closing_amount_minor {sign} 40"
            f" where accounting_date = '{DAY}' and ledger_account = '{account}';"
            " insert into ledger.trial_balance (accounting_date, ledger_account, currency_code,"
            f" opening_amount_minor, debit_amount_minor, credit_amount_minor, closing_amount_minor)"
            f" values ('{DAY}', 'x', 'CNY', 0, {debit}, {credit}, {debit} - {credit})",
        )
        for other, account, sign, debit, credit in (
            ("credit", "merchant_payable", "-", 40, 0),
            ("debit", "channel_receivable", "+", 0, 40),
        )
    ),
    # One channel and one side have other amounts than all others, on both dates.
    Good(
        "close",
        "suspense_rolls_forward",
        "update reconciliation.suspense_rollforward"
        " set closing_amount_minor = closing_amount_minor + 7,"
        f" opening_amount_minor = opening_amount_minor + 7"
        f" where accounting_date = '{DAY}' and channel = 'wechat' and side = 'system';"
        " update reconciliation.suspense_rollforward"
        " set closing_amount_minor = closing_amount_minor + 7"
        f" where accounting_date = date '{DAY}' - 1 and channel = 'wechat' and side = 'system'",
    ),
    Good(
        "close",
        "suspense_rolls_forward",
        "insert into reconciliation.suspense_rollforward"
        f" values (date '{DAY}' - 1, 'wechat', 'system', 'USD',"
        " 0, 0, 2, 9, 0, 0, 0, 0, 0, 0, 2, 9),"
        f" ('{DAY}', 'wechat', 'system', 'USD', 2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 2, 9)",
    ),
    # The first date opens with what go-live brought.
    Good(
        "close",
        "suspense_rolls_forward",
        f"delete from ledger.trial_balance where accounting_date < '{DAY}';"
        f" delete from reconciliation.suspense_rollforward where accounting_date < '{DAY}'",
    ),
    Good(
        "close",
        "every_source_voucher_is_posted",
        f"delete from ledger.accounting_vouchers where accounting_date = '{DAY}';"
        " update control.channel_files set status = 'superseded'"
        f" where accounting_date = '{DAY}' and file_kind = 'source_vouchers'",
    ),
    Good(
        "close",
        "every_source_voucher_is_posted",
        MORE.format(name="V-a", kind="balance_inquiry", amount=0, original="null"),
    ),
    *(
        Good(
            "close",
            "every_source_voucher_is_posted",
            REGISTERED + MORE.format(name="V-a", kind="reversal", amount=-100, original=original),
        )
        for original in ("'V24-failed'", "'V25-failed'")
    ),
    Good(
        "close",
        "every_source_voucher_is_posted",
        f"insert into ledger.accounting_vouchers values ('{DAY}', 'AV-a', 'V25', 0)",
    ),
)


SUITES = {"landing": LANDING_SUITES, "close": CLOSE_SUITES, "gate": GATE_SUITES}


def rule_of(bad: Bad | Good) -> tuple[Suite, Rule]:
    """Return the check that a fixture is of, with its suite."""
    ((suite, rule),) = (
        (suite, rule)
        for suite in SUITES[bad.boundary]
        for rule in suite.rules
        if rule.name == bad.rule
    )
    return suite, rule


def not_noticed(world: World, fixture: Bad | Good, rule: Rule) -> str | None:
    """Change the world in a transaction, run the check alone, roll back; say what it missed."""
    day = PAYMENT_DATE if fixture.boundary == "gate" else ACCOUNTING_DATES[1]
    query = rule.query_for(day)
    with database.connect(world.settings, row_factory=dict_row) as connection:
        good = connection.execute(query).fetchall()
        if not good:
            changed = fixture.broken_by if isinstance(fixture, Bad) else fixture.changed_by
            connection.execute(changed)
            rows = connection.execute(query).fetchall()
        connection.rollback()
    if good:
        return f"it finds something where nothing is wrong: {good}"
    if isinstance(fixture, Good):
        return f"it finds something that is not wrong: {rows}" if rows else None
    return _missed(fixture, rule, rows)


def _missed(bad: Bad, rule: Rule, rows: Sequence[dict[str, str]]) -> str | None:
    said = "\n".join(str(gate.Failure("", rule.name, **row)) for row in rows)
    words = [word for word in bad.words if word not in said]
    if words:
        return f"it does not say {words}, but: {said}"
    terms = {row["term"] for row in rows} - set(rule.terms)
    if terms and rule.terms != (ANY_TERM,):
        return f"its header does not name the terms {terms}"
    return None
