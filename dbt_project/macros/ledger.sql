{#
    What a sub-ledger id of an event is: the dimension that the chart of accounts names for the
    account. NULL where the event does not know it, which the contract of postings refuses.
#}
{% macro subledger_id(dimension, event) -%}
    case {{ dimension }}
            when 'account' then {{ event }}.account_id
            when 'channel' then {{ event }}.channel
            when 'arrival_group' then {{ event }}.arrival_group_id
            when 'bank_account' then {{ event }}.bank_account_id
            when 'currency' then {{ event }}.currency_code
            when 'opening' then 'opening'
        end
{%- endmacro %}

{#
    Which kind of voucher books an event (凭证类别). NULL for an event nobody put into a kind, which
    the contract of vouchers refuses. Numbers of vouchers follow the kinds in this order.
#}
{% macro voucher_kind(event_type) -%}
    case
            when {{ event_type }} = 'opening_balance' then 'opening'
            when {{ event_type }} in (
                'transaction', 'merchant_fee', 'currency_conversion', 'exchange_difference'
            ) then 'transaction'
            when {{ event_type }} in (
                'channel_cost', 'brand_fee', 'fee_collection', 'recovery_fee',
                'accrued_channel_cost'
            ) then 'channel'
            when {{ event_type }} in ('suspense_posting', 'suspense_release') then 'suspense'
            when {{ event_type }} in (
                'adjustment_taken', 'adjustment_charged', 'adjustment_absorbed', 'adjustment_cost',
                'adjustment_applied', 'charge_deferred', 'charge_released', 'charge_written_off',
                'session_transfer'
            ) then 'adjustment'
            when {{ event_type }} in (
                'adjustment_fee', 'term_adjustment', 'fee_bill_issued', 'fee_bill_credited',
                'fee_collection'
            ) then 'fee'
            when {{ event_type }} in ('manual_adjustment', 'write_off') then 'decision'
            when {{ event_type }} in (
                'bank_channel_arrival', 'bank_payout_debit', 'bank_payout_return',
                'bank_period_fee', 'bank_fee_collection', 'bank_fee_collection_return',
                'bank_bank_charge', 'bank_bank_interest',
                'bank_unclassified', 'bank_line_taken', 'bank_advance', 'bank_fee_sweep',
                'bank_own_funds_top_up', 'bank_manual_entry', 'bank_entry'
            ) then 'bank'
            when {{ event_type }} in (
                'payout_submitted', 'payout_paid', 'payout_failed', 'payout_returned'
            ) then 'payout'
            when {{ event_type }} in (
                'advance_paid', 'advance_failed', 'advance_settled', 'advance_fee'
            ) then 'advance'
        end
{%- endmacro %}

{# The accounts of what clients are owed, and what covers it; all others are our own money. #}
{% macro client_accounts() -%}
    'client_reserve_bank', 'merchant_payable', 'merchant_receivable', 'payouts_in_transit',
    'channel_receivable', 'channel_suspense', 'system_suspense', 'adjustments_receivable',
    'adjustments_payable', 'bank_suspense', 'claims_on_banks'
{%- endmacro %}
