{{ config(
    materialized='dated_partition', partition_by='payment_date', tags=['payment', 'outcomes']
) }}

{#-
    What two people may sweep from the client reserve to own funds (可划出自有资金): the smaller
    of two measures, the cash that is left when everybody whose money arrived is paid, and the own
    part of the reserve proof without what others still have to pay us. So what was netted counts
    when it was netted from backed money, not before (docs/domain.md#own-money-and-client-money).
    While a group came short, nothing is: its cash is somebody's, and nobody knows whose.
-#}
with proofs as (
    select
        currency_code,
        as_of_date,
        own_part_amount_minor,
        own_part_amount_minor - merchant_receivable_amount_minor
        - greatest(bank_claims_amount_minor, 0) - greatest(adjustments_receivable_amount_minor, 0)
            as firm_own_part_minor
    from {{ ref('reserve_proof') }}
    where payment_date = {{ payment_date() }}
),

reserve_accounts as (
    select bank_account_id
    from {{ ref('bank_accounts') }}
    where account_kind = 'client_reserve'
),

statements as (
    select
        file_id,
        bank_account_id,
        statement_date,
        sequence_number,
        currency_code,
        closing_balance_minor
    from {{ ref('stg_bank__statements') }}
    where statement_date <= {{ payment_date() }}
),

bank_lines as (
    select
        bank_account_id,
        statement_date,
        booked_on,
        currency_code,
        amount_minor,
        line_kind
    from {{ ref('int_bank__classified_lines') }}
    where booked_on > {{ days_back(payment_date()) }} and statement_date <= {{ payment_date() }}
),

settlement_statements as (
    select
        currency_code,
        payout_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

attempt_states as (
    select
        instruction_id,
        attempt_no,
        event_no,
        currency_code,
        amount_minor,
        is_awaited,
        status
    from {{ ref('int_payout__attempt_states') }}
    where payment_date >= {{ payment_date() }} - 62
        and payment_date < {{ payment_date() }}
        and business_date < {{ payment_date() }}
),

backed_balances as (
    select
        currency_code,
        closing_amount_minor
    from {{ ref('backed_rollforward') }}
    where payment_date = {{ payment_date() }}
),

suspense_items as (
    select
        accounting_date,
        suspense_item_id,
        linked_item_id,
        side,
        currency_code,
        amount_minor,
        break_reason
    from {{ ref('suspense_items') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and status in ('in_doubt', 'one_sided')
),

unexplained_lines as (
    select
        bank_account_id,
        currency_code,
        unexplained_amount_minor
    from {{ ref('unexplained_bank_lines') }}
    where payment_date = {{ payment_date() }} and status = 'open' and unexplained_amount_minor > 0
),

short_arrivals as (
    select distinct currency_code
    from {{ ref('unconfirmed_arrivals') }}
    where payment_date = {{ payment_date() }} and residual_minor <> 0
),

open_orders as (
    select
        bank_account_id,
        currency_code,
        amount_minor
    from {{ ref('bank_match_lines') }}
    where payment_date = {{ payment_date() }}
        and side = 'journal'
        and item_kind = 'fee_sweep'
        and is_open
),

latest_statements as (
    select
        statements.currency_code,
        statements.closing_balance_minor,
        row_number() over (
            partition by statements.bank_account_id, statements.currency_code
            order by
                statements.statement_date desc,
                statements.sequence_number desc,
                statements.file_id desc
        ) as statement_order
    from statements
    inner join reserve_accounts on statements.bank_account_id = reserve_accounts.bank_account_id
),

reserves as (
    select
        currency_code,
        sum(closing_balance_minor) as amount_minor
    from latest_statements
    where statement_order = 1
    group by currency_code
),

-- Today's payouts are taken as stated, whether the bank has debited them or not.
reserve_lines as (
    select
        bank_lines.currency_code,
        sum(bank_lines.amount_minor) filter (
            where bank_lines.statement_date = {{ payment_date() }}
            and bank_lines.line_kind in ('payout_debit', 'payout_return')
        ) as payout_minor,
        -sum(bank_lines.amount_minor) filter (
            where bank_lines.booked_on > proofs.as_of_date and bank_lines.line_kind = 'fee_sweep'
        ) as swept_since_minor
    from bank_lines
    inner join reserve_accounts on bank_lines.bank_account_id = reserve_accounts.bank_account_id
    inner join proofs on bank_lines.currency_code = proofs.currency_code
    group by bank_lines.currency_code
),

payouts as (
    select
        currency_code,
        sum(payout_amount_minor) as amount_minor
    from settlement_statements
    group by currency_code
),

latest_states as (
    select
        attempt_states.*,
        row_number() over (
            partition by instruction_id
            order by attempt_no desc, event_no desc
        ) as event_order
    from attempt_states
),

-- Under way, or failed or come back and still owed to the merchant.
unpaid as (
    select
        currency_code,
        sum(amount_minor) as amount_minor
    from latest_states
    where event_order = 1 and (is_awaited or status in ('failed', 'returned'))
    group by currency_code
),

backed as (
    select
        currency_code,
        sum(greatest(closing_amount_minor, 0)) as amount_minor
    from backed_balances
    group by currency_code
),

-- Of a mismatch the payable part is backed already: what the channel has more is nobody's.
channel_items as (
    select
        channel_side.currency_code,
        sum(
            greatest(
                channel_side.amount_minor - case
                    when system_side.suspense_item_id is not null
                        then greatest({{ payable_amount('system_side', 'channel_side') }}, 0)
                    else 0
                end,
                0
            )
        ) as amount_minor
    from suspense_items as channel_side
    inner join proofs
        on channel_side.currency_code = proofs.currency_code
        and channel_side.accounting_date = proofs.as_of_date
    left join suspense_items as system_side
        on channel_side.accounting_date = system_side.accounting_date
        and channel_side.suspense_item_id = system_side.linked_item_id
        and system_side.side = 'system'
    where channel_side.side = 'channel'
    group by channel_side.currency_code
),

unexplained as (
    select
        unexplained_lines.currency_code,
        sum(unexplained_lines.unexplained_amount_minor) as amount_minor
    from unexplained_lines
    inner join reserve_accounts
        on unexplained_lines.bank_account_id = reserve_accounts.bank_account_id
    group by unexplained_lines.currency_code
),

ordered as (
    select
        open_orders.currency_code,
        -sum(open_orders.amount_minor) as amount_minor
    from open_orders
    inner join reserve_accounts on open_orders.bank_account_id = reserve_accounts.bank_account_id
    group by open_orders.currency_code
),

terms as (
    select
        proofs.currency_code,
        proofs.as_of_date,
        coalesce(reserves.amount_minor, 0) - coalesce(reserve_lines.payout_minor, 0)
            as reserve_minor,
        coalesce(payouts.amount_minor, 0) + coalesce(unpaid.amount_minor, 0) as payouts_minor,
        coalesce(backed.amount_minor, 0) as backed_minor,
        coalesce(channel_items.amount_minor, 0) + coalesce(unexplained.amount_minor, 0)
            as unknown_minor,
        coalesce(ordered.amount_minor, 0) as ordered_minor,
        coalesce(proofs.firm_own_part_minor, 0) - coalesce(reserve_lines.swept_since_minor, 0)
            as firm_own_part_minor,
        short_arrivals.currency_code is not null as has_short_arrival
    from proofs
    left join reserves on proofs.currency_code = reserves.currency_code
    left join reserve_lines on proofs.currency_code = reserve_lines.currency_code
    left join payouts on proofs.currency_code = payouts.currency_code
    left join unpaid on proofs.currency_code = unpaid.currency_code
    left join backed on proofs.currency_code = backed.currency_code
    left join channel_items on proofs.currency_code = channel_items.currency_code
    left join unexplained on proofs.currency_code = unexplained.currency_code
    left join ordered on proofs.currency_code = ordered.currency_code
    left join short_arrivals on proofs.currency_code = short_arrivals.currency_code
),

final as (
    select
        {{ payment_date() }} as payment_date,
        currency_code,
        as_of_date,
        reserve_minor as client_reserve_amount_minor,
        payouts_minor as payouts_amount_minor,
        backed_minor as backed_amount_minor,
        unknown_minor as unknown_amount_minor,
        reserve_minor - payouts_minor - backed_minor - unknown_minor as own_cash_amount_minor,
        firm_own_part_minor as firm_own_part_amount_minor,
        ordered_minor as ordered_amount_minor,
        has_short_arrival,
        case
            when has_short_arrival then 0
            else
                greatest(
                    least(
                        reserve_minor - payouts_minor - backed_minor - unknown_minor,
                        firm_own_part_minor
                    ) - ordered_minor,
                    0
                )
        end as sweepable_amount_minor
    from terms
)

select * from final
