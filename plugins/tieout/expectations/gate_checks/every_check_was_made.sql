-- id: every_check_was_made
-- kind: presence
-- severity: critical
-- subject: gate.gate_checks
-- terms: *
-- english: Every required check has a result for the payment date
-- chinese: 付款日的每项必做检查都有结果

-- A list of its own, beside the database's: the seed's table is among what somebody could change
-- to let a date pass. A test keeps it equal to the seed.
with required as (
    select names.check_name
    from (
        values
        ('accounting_dates_closed'),
        ('adjustments_tie'),
        ('advances_debited'),
        ('balance_equation_zero'),
        ('bank_lines_explained'),
        ('bank_statement_continuity'),
        ('channel_cost_as_listed'),
        ('channel_receivable_zero'),
        ('clearing_records_sum_to_entries'),
        ('equation_covers_clearing'),
        ('fees_posted_as_cleared'),
        ('fees_recomputed'),
        ('files_complete_and_totals_agree'),
        ('fund_bills_agree'),
        ('holds_rollforward_exact'),
        ('late_arrivals_explained'),
        ('merchant_payable_ties'),
        ('no_account_paid_twice'),
        ('no_offset_between_channels'),
        ('no_unclassified_bank_line'),
        ('no_unposted_source_voucher'),
        ('nothing_paid_before_due'),
        ('paid_early_within_limit'),
        ('payable_statement_has_payee'),
        ('payout_backed_by_arrival'),
        ('recent_payees_within_limit'),
        ('refunds_within_sales'),
        ('reserve_covers_payouts'),
        ('reserve_proven'),
        ('sequences_without_gap'),
        ('stated_fees_agree'),
        ('statement_rollforward_exact'),
        ('statements_near_their_past'),
        ('statements_sum_to_clearing_records'),
        ('suspense_rollforward_exact'),
        ('terms_approved'),
        ('trial_balance_zero')
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
    from gate.gate_checks as batch
    where
        batch.payment_date = :day
        and batch.check_name = required.check_name
)
