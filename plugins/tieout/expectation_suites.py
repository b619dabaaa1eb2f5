"""The expectation suites, for three boundaries: landing, close, gate. Plain data, to be reviewed.

Every rule is a query for one date that returns a row for each thing that is wrong, so a rule passes
by returning nothing. Missing data must fail: every suite has rules that return a row when nothing
is there to check. Amounts are compared inside SQL, as integers, and leave it as text, because what
leaves goes through JSON.

A rule's query returns, under these names, what a sentence for people is made of: ``subject`` (which
channel, account, file…), ``term`` (what of it), ``amount_minor`` (text or null), ``currency_code``
(text or null), ``detail`` (a sentence). ``{batch}`` is the table the rule stands on; ``<<date>>``
becomes the date as an SQL literal.
"""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tieout.errors import TieoutError
from tieout.settings import PROJECT_DIR


@dataclass(frozen=True)
class Rule:
    """One expectation: a name, what it demands in both languages, and the query of its breaks."""

    name: str
    english: str
    chinese: str
    query: str

    @property
    def description(self) -> str:
        """The text Data Docs show."""
        return f"{self.english} · {self.chinese}"

    def query_for(self, day: date) -> str:
        """Return the query for one date; the literal comes from a date object, never from text."""
        query = self.query.replace("<<date>>", f"date '{day:%Y-%m-%d}'").strip()
        if not re.search(r"\bjoin\b", query):
            # Great Expectations gives the table an alias of its own in a query without a join, and
            # none in one with a join: here it becomes the inner alias.
            query = query.replace("{batch} as", "(select * from {batch}) as")
        return query


@dataclass(frozen=True)
class Suite:
    """The rules on one table (asset) at one boundary."""

    name: str
    asset: str
    rules: tuple[Rule, ...]


EQUATION_TERMS: Final[tuple[tuple[str, int, str], ...]] = (
    ("bank_arrival", 1, "银行到账"),
    ("channel_suspense_opened", -1, "本期渠道单边挂账"),
    ("channel_suspense_resolved", 1, "前期渠道单边本期抹平"),
    ("system_suspense_opened", 1, "系统单边挂账"),
    ("system_suspense_resolved", -1, "前期系统单边本期抹平"),
    ("channel_cost", 1, "渠道成本"),
    ("brand_fee", 1, "品牌服务费"),
    ("adjustments_taken", 1, "差错交易"),
    ("fee_collections", 1, "收付费"),
    ("recovery_fee", 1, "追偿手续费"),
    ("merchant_fee", -1, "商户手续费"),
    ("clearing", -1, "清算金额"),
)
"""The terms of the balance equation with their sign in the residual (left side minus right)."""

# One source for Python and SQL: dbt loads the same file as reference.required_gate_checks.
_REQUIRED_GATE_CHECKS_FILE: Final = "dbt_project/seeds/reference/required_gate_checks.csv"


def _required_gate_checks() -> tuple[str, ...]:
    path = Path(os.environ.get("TIEOUT_PROJECT_DIR") or PROJECT_DIR) / _REQUIRED_GATE_CHECKS_FILE
    with path.open(encoding="utf-8", newline="") as stream:
        names = tuple(row["check_name"] for row in csv.DictReader(stream))
    if not names or len(set(names)) != len(names):
        raise TieoutError(
            what="the list of the gate's required checks is not usable",
            where=str(path),
            why="it is empty, or a check stands in it twice",
            next_step="correct the seed; each check stands in it once",
        )
    return names


REQUIRED_GATE_CHECKS: Final = _required_gate_checks()
"""Checks that need a row for the payment date. A check that is not there did not hold."""


def _each_term(template: str, separator: str) -> str:
    return separator.join(
        template.replace("<term>", name).replace("<sign>", "+" if sign > 0 else "-")
        for name, sign, _ in EQUATION_TERMS
    )


_SUM_OF_TERMS: Final = _each_term("<sign> equation.<term>_amount_minor", " ")
_TERM_TEXTS: Final = _each_term(
    "case when equation.<term>_amount_minor <> 0"
    " then '<term> ' || equation.<term>_amount_minor end",
    ",\n        ",
)
_TERM_ROWS: Final = _each_term("('<term>', equation.<term>_amount_minor)", ",\n        ")

# Which accounting dates a payment date pays, per channel, read from the calendar and the operating
# window: not from the table under test, which would then agree with itself.
_PAID_DATES: Final = """
    operating_window as (
        select
            windows.first_accounting_date,
            coalesce(windows.last_accounting_date, date '9999-12-31') as last_accounting_date
        from raw.platform_operating_window as windows
        inner join control.channel_files as files
            on windows.file_id = files.file_id
        where files.status = 'landed'
        order by windows.accounting_date desc, windows.file_id asc, windows.line_number asc
        limit 1
    ),

    arrivals as (
        select
            channels.channel,
            channels.currency_code,
            days.calendar_date as accounting_date,
            case channels.arrival_calendar
                when 'working_day' then earliest.working_day_on_or_after
                when 'calendar_day' then earliest.calendar_date
            end as arrival_date
        from reference.channels as channels
        cross join operating_window
        inner join reference.calendar_days as days
            on
                days.calendar_date between operating_window.first_accounting_date
                and operating_window.last_accounting_date
                and days.calendar_date between <<date>> - 40 and <<date>>
        inner join reference.calendar_days as earliest
            on earliest.calendar_date = days.calendar_date + channels.arrival_lag_days
    ),

    paid_dates as (
        select
            arrivals.channel,
            arrivals.currency_code,
            arrivals.accounting_date,
            arrivals.arrival_date
        from arrivals
        inner join reference.calendar_days as payments
            on
                payments.calendar_date
                = greatest(arrivals.arrival_date, arrivals.accounting_date + 1)
        where payments.working_day_on_or_after = <<date>>
    )"""

_EQUATION_OF_DATE: Final = """
    equation as (
        select batch.*
        from {batch} as batch
        where batch.payment_date = <<date>>
    )"""

_EQUATION_SUBJECT: Final = (
    "equation.channel || ' arrival ' || equation.arrival_date || ' ' || equation.currency_code"
)

GATE_EQUATION: Final = Suite(
    name="gate_equation",
    asset="balance_equation",
    rules=(
        Rule(
            name="every_arrival_group_is_there",
            english="Every accounting date this payment date pays stands in one arrival group of"
            " each channel and currency, and there is at least one such date",
            chinese="本付款日支付的每个会计日期，在每个渠道和币种下都恰有一个到账组，且至少有一个会计日期",
            query=f"""
with {_PAID_DATES.lstrip()},
{_EQUATION_OF_DATE},

    group_counts as (
        select
            paid_dates.channel,
            paid_dates.currency_code,
            paid_dates.accounting_date,
            paid_dates.arrival_date,
            count(equation.channel) as group_count
        from paid_dates
        left join equation
            on
                paid_dates.channel = equation.channel
                and paid_dates.currency_code = equation.currency_code
                and paid_dates.arrival_date = equation.arrival_date
                and paid_dates.accounting_date = any(equation.accounting_dates)
        group by
            paid_dates.channel,
            paid_dates.currency_code,
            paid_dates.accounting_date,
            paid_dates.arrival_date
    )

select
    group_counts.channel || ' arrival ' || group_counts.arrival_date || ' '
    || group_counts.currency_code as subject,
    'arrival_group' as term,
    null::text as amount_minor,
    group_counts.currency_code,
    'accounting date ' || group_counts.accounting_date || ' stands in ' || group_counts.group_count
    || ' rows of the balance equation instead of one' as detail
from group_counts
where group_counts.group_count <> 1
union all
select
    'payment date' as subject,
    'arrival_group' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'no accounting date is paid on it: no landed operating window, no channel or no calendar'
    as detail
where not exists (select 1 from paid_dates)
""",
        ),
        Rule(
            name="no_term_is_missing",
            english="No term of the balance equation is NULL",
            chinese="平衡等式没有空值项",
            query=f"""
with {_EQUATION_OF_DATE.lstrip()}

select
    {_EQUATION_SUBJECT} as subject,
    terms.term,
    null::text as amount_minor,
    equation.currency_code,
    'the term has no value' as detail
from equation
cross join lateral (
    values
        {_TERM_ROWS},
        ('residual', equation.residual_minor)
) as terms (term, amount_minor)
where terms.amount_minor is null
""",
        ),
        Rule(
            name="residual_is_zero",
            english="The residual of every arrival group is zero to the minor unit",
            chinese="每个到账组的平衡差额为零，精确到分",
            query=f"""
with {_EQUATION_OF_DATE.lstrip()}

select
    {_EQUATION_SUBJECT} as subject,
    'residual' as term,
    equation.residual_minor::text as amount_minor,
    equation.currency_code,
    concat_ws(
        ', ',
        {_TERM_TEXTS}
    ) || ' (minor units)' as detail
from equation
where equation.residual_minor is distinct from 0
""",
        ),
        Rule(
            name="residual_adds_up",
            english="The residual equals its terms added again, so it is not zero by construction",
            chinese="差额等于各项重新相加的结果，不是人为置零",
            query=f"""
with {_EQUATION_OF_DATE.lstrip()}

select
    {_EQUATION_SUBJECT} as subject,
    'residual' as term,
    ({_SUM_OF_TERMS})::text as amount_minor,
    equation.currency_code,
    'the table says ' || coalesce(equation.residual_minor::text, 'nothing')
    || ' minor units, its terms add up to another amount' as detail
from equation
where equation.residual_minor is distinct from ({_SUM_OF_TERMS})
""",
        ),
        Rule(
            name="bank_arrival_is_there",
            english="Money that is expected has a line on the bank's statement, not after the"
            " payment date",
            chinese="应到账的资金在银行对账单上有流水，且不晚于付款日",
            query=f"""
with {_EQUATION_OF_DATE.lstrip()}

select
    {_EQUATION_SUBJECT} as subject,
    'bank_arrival' as term,
    (equation.bank_arrival_amount_minor - equation.residual_minor)::text as amount_minor,
    equation.currency_code,
    case
        when equation.actual_arrival_date is null then 'expected, and no line on any bank statement'
        else 'the bank books it on ' || equation.actual_arrival_date || ', after the payment date'
    end as detail
from equation
where
    (
        equation.actual_arrival_date is null
        and (equation.bank_arrival_amount_minor - equation.residual_minor) is distinct from 0
    )
    or equation.actual_arrival_date > <<date>>
""",
        ),
        Rule(
            name="no_unexpected_arrival",
            english="No arrival group stands in the equation that no channel owes",
            chinese="等式中没有渠道并不应付的到账组",
            query=f"""
with {_EQUATION_OF_DATE.lstrip()}

select
    {_EQUATION_SUBJECT} as subject,
    'bank_arrival' as term,
    equation.bank_arrival_amount_minor::text as amount_minor,
    equation.currency_code,
    'no channel owes an arrival on this date' as detail
from equation
where equation.is_expected is distinct from true
""",
        ),
    ),
)

_REQUIRED_CHECK_ROWS: Final = ",\n        ".join(f"('{name}')" for name in REQUIRED_GATE_CHECKS)

GATE_CHECKS: Final = Suite(
    name="gate_checks",
    asset="gate_checks",
    rules=(
        Rule(
            name="every_check_was_made",
            english="Every required check has a result for the payment date",
            chinese="付款日的每项必做检查都有结果",
            query=f"""
with required as (
    select names.check_name
    from (
        values
        {_REQUIRED_CHECK_ROWS}
    ) as names (check_name)
)

select
    'all' as subject,
    required.check_name as term,
    null::text as amount_minor,
    null::text as currency_code,
    'the check has no result for the payment date' as detail
from required
where not exists (
    select 1
    from {{batch}} as batch
    where
        batch.payment_date = <<date>>
        and batch.check_name = required.check_name
)
""",
        ),
        Rule(
            name="every_check_holds",
            english="Every check of the payment date holds",
            chinese="付款日的每项检查都成立",
            query="""
select
    batch.subject,
    batch.check_name as term,
    null::text as amount_minor,
    null::text as currency_code,
    concat_ws(
        '; ',
        nullif(batch.detail, ''),
        'measured ' || coalesce(batch.measured, 'nothing'),
        'expected ' || coalesce(batch.expected, 'nothing')
    ) as detail
from {batch} as batch
where
    batch.payment_date = <<date>>
    and batch.holds is distinct from true
""",
        ),
    ),
)

GATE_STATEMENTS: Final = Suite(
    name="gate_statements",
    asset="settlement_statements",
    rules=(
        Rule(
            name="statements_are_there",
            english="The payment date has settlement statements, or nothing was cleared on its"
            " dates",
            chinese="付款日有结算单，否则其会计日期没有任何清算记录",
            query=f"""
with {_PAID_DATES.lstrip()},

    cleared as (
        select
            records.currency_code,
            count(*) as record_count,
            sum(records.transaction_amount_minor) as amount_minor
        from clearing.clearing_records as records
        where records.accounting_date in (select paid_dates.accounting_date from paid_dates)
        group by records.currency_code
    )

select
    'settlement ' || cleared.currency_code as subject,
    'statements' as term,
    cleared.amount_minor::text as amount_minor,
    cleared.currency_code,
    cleared.record_count || ' clearing records, and no statement of the currency' as detail
from cleared
where not exists (
    select 1
    from {{batch}} as statements
    where
        statements.payment_date = <<date>>
        and statements.currency_code = cleared.currency_code
)
""",
        ),
        Rule(
            name="statements_roll",
            english="Every statement carries forward exactly what it does not pay, and pays"
            " nothing below zero",
            chinese="每份结算单未付部分恰好结转，且出款金额不为负",
            query="""
select
    statements.statement_id as subject,
    'carried_forward' as term,
    (
        statements.settlement_amount_minor + statements.adjustment_amount_minor
        - statements.advance_amount_minor + statements.previous_unsettled_amount_minor
        + statements.transfer_amount_minor
        - statements.payout_amount_minor - statements.carried_forward_amount_minor
    )::text as amount_minor,
    statements.currency_code,
    'payout ' || statements.payout_amount_minor || ', ' || statements.payable_status as detail
from {batch} as statements
where
    statements.payment_date = <<date>>
    and (
        (
            statements.settlement_amount_minor + statements.adjustment_amount_minor
            - statements.advance_amount_minor + statements.previous_unsettled_amount_minor
            + statements.transfer_amount_minor - statements.payout_amount_minor
        ) is distinct from statements.carried_forward_amount_minor
        or statements.payout_amount_minor < 0
        or (statements.payable_status = 'payable')
        is distinct from (statements.payout_amount_minor > 0)
        or (statements.payable_status = 'payable' and statements.payee_id is null)
    )
""",
        ),
    ),
)

LANDING: Final = Suite(
    name="landing",
    asset="channel_files",
    rules=(
        Rule(
            name="every_expected_file_is_landed",
            english="Every file the platform and the channels owe for the accounting date is"
            " landed, and at least one is owed",
            chinese="平台和各渠道本会计日期应到的文件均已落地，且至少应有一个文件",
            query="""
with first_date as (
    select min(windows.first_accounting_date) as accounting_date
    from raw.platform_operating_window as windows
    inner join control.channel_files as files
        on windows.file_id = files.file_id
    where
        files.status = 'landed'
        and windows.accounting_date = <<date>>
),

expected as (
    select
        expected_files.channel,
        expected_files.file_kind,
        coalesce(expected_files.name_part, '') as name_part
    from reference.expected_files as expected_files
    cross join first_date
    where
        case expected_files.calendar
            when 'first_accounting_date' then first_date.accounting_date = <<date>>
            -- A date the calendar does not hold counts as a working day.
            when 'working_day' then coalesce(
                (
                    select calendar_days.is_working_day
                    from reference.calendar_days as calendar_days
                    where calendar_days.calendar_date = <<date>>
                ),
                true
            )
            -- A calendar nobody knows is not "never": expected until the list is mended.
            else true
        end
)

select
    rtrim(expected.channel || ' ' || expected.file_kind || ' ' || expected.name_part) as subject,
    'file' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'not landed' || coalesce('; ' || (
        select min(
            others.file_name || ' is ' || others.status || ': ' || coalesce(others.reason, '')
        )
        from control.channel_files as others
        where
            others.channel = expected.channel
            and others.file_kind = expected.file_kind
            and others.accounting_date = <<date>>
            and (
                expected.name_part = ''
                or position('/' || expected.name_part || '/' in '/' || others.slot || '/') > 0
            )
    ), '') as detail
from expected
where not exists (
    select 1
    from {batch} as batch
    where
        batch.channel = expected.channel
        and batch.file_kind = expected.file_kind
        and batch.accounting_date = <<date>>
        and batch.status = 'landed'
        and (
            expected.name_part = ''
            or position('/' || expected.name_part || '/' in '/' || batch.slot || '/') > 0
        )
)
union all
select
    'all' as subject,
    'file' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'no file is expected on any date: the list of expected files is empty' as detail
where not exists (select 1 from expected)
""",
        ),
        Rule(
            name="control_totals_agree",
            english="A landed file's own control totals agree with its rows",
            chinese="落地文件自带的控制总数与其明细一致",
            query="""
select
    batch.file_name as subject,
    'control_totals' as term,
    (batch.counted_total_minor - batch.declared_total_minor)::text as amount_minor,
    null::text as currency_code,
    'declared ' || coalesce(batch.declared_row_count::text, 'no') || ' rows, landed '
    || coalesce(batch.row_count::text, 'none') || '; totals '
    || coalesce(batch.totals_status, 'unknown') as detail
from {batch} as batch
where
    batch.accounting_date = <<date>>
    and batch.status = 'landed'
    and (
        coalesce(batch.totals_status, 'unknown') not in ('agree', 'none_in_format')
        or batch.row_count is null
        or batch.declared_row_count <> batch.row_count
        or batch.declared_total_minor <> batch.counted_total_minor
    )
    -- A status report states how many payments the order had, not how many lines it has itself.
    and batch.file_kind <> 'pain002'
""",
        ),
        Rule(
            name="no_file_is_waiting_for_a_person",
            english="No file of the date is quarantined or in conflict without a good one in its"
            " place",
            chinese="本日期没有被隔离或冲突而尚无正确文件替代的文件",
            query="""
select
    batch.file_name as subject,
    'file' as term,
    null::text as amount_minor,
    null::text as currency_code,
    batch.status || ': ' || coalesce(batch.reason, 'no reason given') as detail
from {batch} as batch
where
    batch.accounting_date = <<date>>
    and (
        batch.status = 'conflict'
        or (
            batch.status = 'quarantined'
            and not exists (
                select 1
                from control.channel_files as good
                where
                    good.channel = batch.channel
                    and good.file_kind = batch.file_kind
                    and good.accounting_date = batch.accounting_date
                    and good.status = 'landed'
                    and good.landed_at > batch.landed_at
            )
        )
    )
""",
        ),
    ),
)

CLOSE: Final = Suite(
    name="close",
    asset="trial_balance",
    rules=(
        Rule(
            name="trial_balance_is_zero",
            english="Debits equal credits, and closing balances add up to zero, per currency;"
            " every account of the chart is there",
            chinese="按币种借贷相等，期末余额合计为零；每个会计科目都在",
            query="""
with balances as (
    select
        batch.currency_code,
        sum(batch.debit_amount_minor) as debit_minor,
        sum(batch.credit_amount_minor) as credit_minor,
        sum(batch.closing_amount_minor) as closing_minor
    from {batch} as batch
    where batch.accounting_date = <<date>>
    group by batch.currency_code
)

select
    'ledger ' || balances.currency_code as subject,
    'trial_balance' as term,
    (balances.debit_minor - balances.credit_minor)::text as amount_minor,
    balances.currency_code,
    'debits ' || balances.debit_minor || ', credits ' || balances.credit_minor
    || ', closing balances add up to ' || balances.closing_minor || ' (minor units)' as detail
from balances
where
    balances.debit_minor is distinct from balances.credit_minor
    or balances.closing_minor is distinct from 0
union all
select
    'ledger' as subject,
    chart.ledger_account as term,
    null::text as amount_minor,
    null::text as currency_code,
    'the account has no row in the trial balance' as detail
from reference.chart_of_accounts as chart
where not exists (
    select 1
    from {batch} as batch
    where
        batch.accounting_date = <<date>>
        and batch.ledger_account = chart.ledger_account
)
union all
select
    'ledger' as subject,
    'trial_balance' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'the accounting date has no trial balance' as detail
where not exists (select 1 from balances)
""",
        ),
        Rule(
            name="suspense_rolls_forward",
            english="Opening + opened − resolved − adjusted − written off = closing, by count and"
            " amount, for both sides of every channel; opening is the closing of the date before",
            chinese="每个渠道双方：期初 + 新增 − 抹平 − 差错处理 − 核销 = 期末（笔数与金额）；"
            "期初等于前一日期末",
            query="""
with rolls as (
    select rollforward.*
    from reconciliation.suspense_rollforward as rollforward
    where rollforward.accounting_date = <<date>>
),

expected as (
    select
        channels.channel,
        channels.currency_code,
        sides.side
    from reference.channels as channels
    cross join (values ('system'), ('channel')) as sides (side)
),

first_date as (
    select min(trial_balance.accounting_date) as accounting_date
    from {batch} as trial_balance
)

select
    rolls.channel || ' ' || rolls.side || ' suspense ' || rolls.currency_code as subject,
    'suspense_rollforward' as term,
    (
        rolls.opening_amount_minor + rolls.opened_amount_minor - rolls.resolved_amount_minor
        - rolls.adjusted_amount_minor - rolls.written_off_amount_minor - rolls.closing_amount_minor
    )::text as amount_minor,
    rolls.currency_code,
    'count or amount does not roll: closing ' || rolls.closing_count || ' items' as detail
from rolls
where
    rolls.opening_count + rolls.opened_count - rolls.resolved_count - rolls.adjusted_count
    - rolls.written_off_count is distinct from rolls.closing_count
    or rolls.opening_amount_minor + rolls.opened_amount_minor - rolls.resolved_amount_minor
    - rolls.adjusted_amount_minor - rolls.written_off_amount_minor
    is distinct from rolls.closing_amount_minor
union all
select
    rolls.channel || ' ' || rolls.side || ' suspense ' || rolls.currency_code as subject,
    'suspense_opening' as term,
    (rolls.opening_amount_minor - coalesce(before.closing_amount_minor, 0))::text as amount_minor,
    rolls.currency_code,
    'opening ' || rolls.opening_count || ' items, the date before closed with '
    || coalesce(before.closing_count::text, 'no row') as detail
from rolls
cross join first_date
left join reconciliation.suspense_rollforward as before
    on
        before.accounting_date = <<date>> - 1
        and rolls.channel = before.channel
        and rolls.side = before.side
        and rolls.currency_code = before.currency_code
where
    first_date.accounting_date < <<date>>
    and (rolls.opening_count, rolls.opening_amount_minor)
    is distinct from (before.closing_count, before.closing_amount_minor)
union all
select
    expected.channel || ' ' || expected.side || ' suspense ' || expected.currency_code as subject,
    'suspense_rollforward' as term,
    null::text as amount_minor,
    expected.currency_code,
    'the roll-forward has no row' as detail
from expected
where not exists (
    select 1
    from rolls
    where
        rolls.channel = expected.channel
        and rolls.side = expected.side
        and rolls.currency_code = expected.currency_code
)
""",
        ),
        Rule(
            name="every_source_voucher_is_posted",
            english="Every successful source voucher that clears has an accounting voucher, and"
            " every accounting voucher a journal entry",
            chinese="每笔参与清算的成功原始凭证都有记账凭证，每张记账凭证都有分录",
            query="""
with cleared_types as (
    select types.transaction_type
    from reference.transaction_types as types
    where types.is_cleared
),

posted as (
    select vouchers.source_voucher_id
    from ledger.accounting_vouchers as vouchers
    where vouchers.accounting_date = <<date>>
),

unposted as (
    select
        sources.channel,
        sources.voucher_id,
        sources.amount_minor,
        sources.currency_code
    from raw.platform_source_vouchers as sources
    inner join control.channel_files as files
        on sources.file_id = files.file_id
    inner join cleared_types
        on sources.transaction_type = cleared_types.transaction_type
    where
        sources.accounting_date = <<date>>
        and files.status = 'landed'
        and sources.transaction_status = 'success'
        and not exists (
            select 1
            from posted
            where posted.source_voucher_id = sources.voucher_id
        )
        -- What contradicts our history is refused, and listed.
        and not exists (
            select 1
            from clearing.refused_vouchers as refused
            where
                refused.accounting_date = <<date>>
                and refused.voucher_id = sources.voucher_id
        )
        -- The reversal of a transaction that failed reverses nothing, and clears nothing, on
        -- whatever date that failed.
        and not (
            sources.transaction_type = 'reversal'
            and exists (
                select 1
                from control.voucher_register as originals
                where
                    originals.source = 'platform'
                    and originals.voucher_id = sources.original_voucher_id
                    and originals.accounting_date <= <<date>>
                    and originals.transaction_status <> 'success'
            )
        )
)

select
    unposted.channel || ' ' || unposted.currency_code as subject,
    'source_vouchers' as term,
    sum(unposted.amount_minor)::text as amount_minor,
    unposted.currency_code,
    count(*) || ' source vouchers are not posted, the first is ' || min(unposted.voucher_id)
    as detail
from unposted
group by unposted.channel, unposted.currency_code
union all
select
    'ledger' as subject,
    'accounting_vouchers' as term,
    null::text as amount_minor,
    null::text as currency_code,
    count(*) || ' accounting vouchers have no posting, the first is '
    || min(vouchers.accounting_voucher_id) as detail
from ledger.accounting_vouchers as vouchers
where
    vouchers.accounting_date = <<date>>
    and vouchers.amount_minor <> 0
    and not exists (
        select 1
        from ledger.postings as postings
        where
            postings.accounting_date = <<date>>
            and postings.voucher_id = vouchers.accounting_voucher_id
    )
having count(*) > 0
union all
-- The rule's own table: a date without any trial balance was not closed, whatever the rest says.
select
    'ledger' as subject,
    'source_vouchers' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'the accounting date was not posted' as detail
where not exists (
    select 1
    from {batch} as batch
    where batch.accounting_date = <<date>>
)
""",
        ),
    ),
)

GATE_SUITES: Final = (GATE_EQUATION, GATE_CHECKS, GATE_STATEMENTS)
LANDING_SUITES: Final = (LANDING,)
CLOSE_SUITES: Final = (LANDING, CLOSE)
ALL_SUITES: Final = (LANDING, CLOSE, *GATE_SUITES)
