{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    Everything the gate looks at, one row a check and subject; a check is a file in checks/. One
    that finds nothing to look at still writes a row: a missing row fails, and never passes.
-#}
{%- set checks = [
    'accounting_dates_closed',
    'adjustments_tie',
    'advances_debited',
    'balance_equation_zero',
    'bank_lines_explained',
    'bank_statement_continuity',
    'channel_cost_as_listed',
    'channel_receivable_zero',
    'clearing_records_sum_to_entries',
    'equation_covers_clearing',
    'fees_posted_as_cleared',
    'fees_recomputed',
    'files_complete_and_totals_agree',
    'fund_bills_agree',
    'holds_rollforward_exact',
    'late_arrivals_explained',
    'merchant_payable_ties',
    'no_account_paid_twice',
    'no_offset_between_channels',
    'no_unclassified_bank_line',
    'no_unposted_source_voucher',
    'nothing_paid_before_due',
    'paid_early_within_limit',
    'payable_statement_has_payee',
    'payout_backed_by_arrival',
    'recent_payees_within_limit',
    'refunds_within_sales',
    'reserve_covers_payouts',
    'reserve_proven',
    'sequences_without_gap',
    'stated_fees_agree',
    'statement_rollforward_exact',
    'statements_near_their_past',
    'statements_sum_to_clearing_records',
    'suspense_rollforward_exact',
    'terms_approved',
    'trial_balance_zero'
] %}

with
{%- for check in checks %}

{{ check }} as (
    select check_name, subject, holds, detail, measured, expected
    from {{ ref('int_gate__' ~ check) }}
),
{%- endfor %}

final as (
    {%- for check in checks %}
    select {{ payment_date() }} as payment_date, {{ check }}.* from {{ check }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select * from final
