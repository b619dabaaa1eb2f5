"""Contracts that no fee rule prices: known when both files of a date have landed.

Asked before anything is computed, and of contracts and rules, not of sales: the first sale of such
a contract would stop the close, long after, with the sale's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import psycopg
from psycopg.rows import class_row

from tieout import database
from tieout.core.settings import Settings
from tieout.dates import days

__all__ = ["UnpricedContract", "unpriced_contracts"]


@dataclass(frozen=True, slots=True)
class UnpricedContract:
    """A contract in force on a day without a rule: where each of them stands.

    `nearest_rule_id` is the rule of the contract that is in force nearest to the day, where there
    is one; rules of higher tiers price nothing.
    """

    contract_id: str
    contract_line_number: int
    contract_file_name: str
    day: date
    nearest_rule_id: str | None
    nearest_rule_line_number: int | None

    def __str__(self) -> str:
        """Return both rows and the day."""
        rule = (
            f"the nearest rule is {self.nearest_rule_id} (line {self.nearest_rule_line_number})"
            if self.nearest_rule_id
            else "no rule names it"
        )
        return (
            f"contract {self.contract_id} ({self.contract_file_name} line "
            f"{self.contract_line_number}) is in force on {self.day}; {rule}"
        )


# Sales of T are of T and of the last hour of T−1. Rules that are delivered no more stay in force
# until two people take them out, and still price (docs/decisions/0040-terms-change-by-approval.md).
_UNPRICED = """
    with contracts as (
        select rows.*, files.file_name
        from raw.platform_contracts as rows
        inner join control.channel_files as files
            on rows.file_id = files.file_id and files.status = 'landed'
        where rows.accounting_date = %(day)s
    ),

    rules as (
        select
            rows.contract_id, rows.fee_rule_id, rows.line_number, rows.tier_from_minor,
            rows.effective_from, rows.effective_to, rows.merchant_category_code
        from raw.platform_fee_rates as rows
        inner join control.channel_files as files
            on rows.file_id = files.file_id and files.status = 'landed'
        where rows.accounting_date = %(day)s
    ),

    pricing as (
        select contract_id, effective_from, effective_to, merchant_category_code
        from rules
        where tier_from_minor = 0
        {terms_before}
    )

    select
        contracts.contract_id,
        contracts.line_number as contract_line_number,
        contracts.file_name as contract_file_name,
        min(sold.day)::date as day,
        nearest.fee_rule_id as nearest_rule_id,
        nearest.line_number as nearest_rule_line_number
    from contracts
    cross join generate_series(%(first)s::date, %(day)s::date, interval '1 day') as sold (day)
    left join lateral (
        select rules.fee_rule_id, rules.line_number
        from rules
        where rules.contract_id = contracts.contract_id
        order by
            rules.tier_from_minor,
            abs(rules.effective_from - %(day)s),
            rules.fee_rule_id
        limit 1
    ) as nearest on true
    where
        contracts.effective_from <= sold.day
        and (contracts.effective_to is null or contracts.effective_to > sold.day)
        and exists (select 1 from rules)
        and not exists (
            select 1
            from pricing
            where
                pricing.contract_id = contracts.contract_id
                and pricing.effective_from <= sold.day
                and (
                    pricing.merchant_category_code is null
                    or pricing.merchant_category_code = contracts.merchant_category_code
                )
                and (pricing.effective_to is null or pricing.effective_to > sold.day)
        )
    group by 1, 2, 3, 5, 6
    order by contracts.line_number
"""

_TERMS_BEFORE = """
        union all
        select
            contract_id, effective_from, case when not goes_on then effective_to end,
            merchant_category_code
        from clearing.fee_rate_terms
        where accounting_date = %(day)s::date - 1 and is_in_force and tier_from_minor = 0
"""


def unpriced_contracts(settings: Settings, accounting_date: date) -> list[UnpricedContract]:
    """Return the contracts of a date's snapshot that nothing prices on a day of its sales.

    A file without any rule at all says nothing of a single contract and is not asked.
    """
    window = days.operating_window(settings)
    before = accounting_date - timedelta(days=1)
    is_first = window is not None and not window.holds(before)
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(UnpricedContract)) as cursor,
    ):
        return cursor.execute(
            _UNPRICED.format(terms_before=_terms_before(connection)),
            {"day": accounting_date, "first": accounting_date if is_first else before},
        ).fetchall()


def _terms_before(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    return _TERMS_BEFORE if database.has_table(connection, "clearing.fee_rate_terms") else ""
