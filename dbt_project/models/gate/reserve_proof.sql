{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    The reserve proof (备付金核对) before a payment: what is in the reserve at the bank is what clients
    are owed, and a named own part. All terms are as of one close, the last before the payment,
    with the statements that this close has booked. Each is read from its own source: the reserve
    from the bank's statements, open items from reconciliation, the rest from the ledger, whose
    own accounts say what the own part should be (docs/domain.md#reserve-proof). What of our own
    money is not in the reserve, the statements of own funds prove. A top-up that the bank has
    booked since is beside them: a reserve that lacks is filled and paid from on the same morning.
-#}
with currencies as (
    select distinct currency_code
    from {{ ref('channel_currencies') }}
),

bank_accounts as (
    select
        bank_account_id,
        account_kind
    from {{ ref('bank_accounts') }}
    where account_kind in ('client_reserve', 'own_funds')
),

as_of_dates as (
    select max(accounting_date) as as_of_date
    from {{ ref('trial_balance') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
),

statements as (
    select
        file_id,
        bank_account_id,
        statement_date,
        sequence_number,
        currency_code,
        booked_on,
        opening_balance_minor,
        closing_balance_minor
    from {{ ref('stg_bank__statements') }}
    where statement_date <= {{ payment_date() }}
),

account_balances as (
    select
        accounting_date,
        ledger_account,
        currency_code,
        closing_amount_minor
    from {{ ref('account_balances') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
),

open_items as (
    select
        accounting_date,
        side,
        currency_code,
        amount_minor
    from {{ ref('suspense_items') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and status in ('in_doubt', 'one_sided')
),

seen_parts as (
    select
        bank_account_id,
        currency_code,
        booked_on,
        amount_minor
    from {{ ref('int_bank__seen_parts') }}
    where part_kind = 'own_funds_top_up' and unexplained_reason is null
),

topped_up as (
    select
        seen_parts.currency_code,
        sum(seen_parts.amount_minor) as amount_minor
    from seen_parts
    inner join bank_accounts
        on seen_parts.bank_account_id = bank_accounts.bank_account_id
        and bank_accounts.account_kind = 'client_reserve'
    inner join as_of_dates on seen_parts.booked_on > as_of_dates.as_of_date
    group by seen_parts.currency_code
),

-- The last statement that the close has booked. Before the first one there is what that one
-- opens with.
ordered_statements as (
    select
        bank_accounts.account_kind,
        statements.currency_code,
        statements.booked_on <= as_of_dates.as_of_date as is_booked,
        statements.opening_balance_minor,
        statements.closing_balance_minor,
        row_number() over (
            partition by
                statements.bank_account_id,
                statements.currency_code,
                statements.booked_on <= as_of_dates.as_of_date
            order by
                statements.statement_date desc,
                statements.sequence_number desc,
                statements.file_id desc
        ) as latest_order,
        row_number() over (
            partition by statements.bank_account_id, statements.currency_code
            order by
                statements.booked_on <= as_of_dates.as_of_date desc,
                statements.statement_date asc,
                statements.sequence_number asc,
                statements.file_id asc
        ) as first_order
    from statements
    inner join bank_accounts on statements.bank_account_id = bank_accounts.bank_account_id
    cross join as_of_dates
),

reserves as (
    select
        currency_code,
        {%- for name, kind in [('reserve', 'client_reserve'), ('own_funds', 'own_funds')] %}
        sum(case when is_booked then closing_balance_minor else opening_balance_minor end)
            filter (where account_kind = '{{ kind }}') as {{ name }}_minor{{ ',' if not loop.last }}
        {%- endfor %}
    from ordered_statements
    where
        (is_booked and latest_order = 1)
        or (not is_booked and first_order = 1)
    group by currency_code
),

items as (
    select
        open_items.currency_code,
        coalesce(sum(open_items.amount_minor) filter (where open_items.side = 'channel'), 0)
            as channel_suspense_minor,
        coalesce(sum(open_items.amount_minor) filter (where open_items.side = 'system'), 0)
            as system_suspense_minor
    from open_items
    inner join as_of_dates on open_items.accounting_date = as_of_dates.as_of_date
    group by open_items.currency_code
),

-- Of the ledger a debit is positive. What clients are owed is negative there.
balances as (
    select
        account_balances.currency_code,
        {%- for name, accounts, owed in [
            ('merchant_payable', ['merchant_payable'], 'owed'),
            ('merchant_receivable', ['merchant_payable', 'merchant_receivable'], 'due'),
        ] %}
        coalesce(
            sum(abs(account_balances.closing_amount_minor)) filter (
                where account_balances.ledger_account in ('{{ accounts | join("', '") }}')
                    and account_balances.closing_amount_minor
                    {{ '<' if owed == 'owed' else '>' }} 0
            ),
            0
        ) as {{ name }}_minor,
        {%- endfor %}
        {%- for name, accounts, sign in [
            ('payouts_in_transit', ['payouts_in_transit'], '-'),
            ('channel_receivable', ['channel_receivable'], ''),
            ('adjustments_receivable', ['adjustments_receivable', 'adjustments_payable'], ''),
            ('bank_suspense', ['bank_suspense'], '-'),
            ('bank_claims', ['claims_on_banks'], ''),
            ('booked_own_funds', ['own_funds_bank'], ''),
        ] %}
        coalesce(
            {{ sign }}sum(account_balances.closing_amount_minor) filter (
                where account_balances.ledger_account in ('{{ accounts | join("', '") }}')
            ),
            0
        ) as {{ name }}_minor,
        {%- endfor %}
        coalesce(
            -sum(account_balances.closing_amount_minor) filter (
                where account_balances.ledger_account not in ({{ client_accounts() }})
            ),
            0
        ) as booked_own_minor
    from account_balances
    inner join as_of_dates on account_balances.accounting_date = as_of_dates.as_of_date
    group by account_balances.currency_code
),

terms as (
    select
        currencies.currency_code,
        as_of_dates.as_of_date,
        reserves.reserve_minor,
        reserves.own_funds_minor,
        coalesce(balances.booked_own_funds_minor, 0) as booked_own_funds_minor,
        cast(coalesce(topped_up.amount_minor, 0) as bigint) as topped_up_minor,
        coalesce(balances.merchant_payable_minor, 0) as merchant_payable_minor,
        coalesce(balances.merchant_receivable_minor, 0) as merchant_receivable_minor,
        coalesce(balances.payouts_in_transit_minor, 0) as payouts_in_transit_minor,
        coalesce(items.channel_suspense_minor, 0) as channel_suspense_minor,
        coalesce(items.system_suspense_minor, 0) as system_suspense_minor,
        coalesce(balances.bank_suspense_minor, 0) as bank_suspense_minor,
        coalesce(balances.bank_claims_minor, 0) as bank_claims_minor,
        coalesce(balances.channel_receivable_minor, 0) as channel_receivable_minor,
        coalesce(balances.adjustments_receivable_minor, 0) as adjustments_receivable_minor,
        coalesce(balances.booked_own_minor, 0) as booked_own_minor
    from currencies
    inner join as_of_dates on as_of_dates.as_of_date is not null
    left join reserves on currencies.currency_code = reserves.currency_code
    left join items on currencies.currency_code = items.currency_code
    left join balances on currencies.currency_code = balances.currency_code
    left join topped_up on currencies.currency_code = topped_up.currency_code
),

owned as (
    select
        terms.*,
        merchant_payable_minor - merchant_receivable_minor + payouts_in_transit_minor
        + channel_suspense_minor - system_suspense_minor + bank_suspense_minor
        - bank_claims_minor - channel_receivable_minor - adjustments_receivable_minor
            as client_minor
    from terms
),

final as (
    select
        {{ payment_date() }} as payment_date,
        currency_code,
        as_of_date,
        reserve_minor as client_reserve_amount_minor,
        merchant_payable_minor as merchant_payable_amount_minor,
        merchant_receivable_minor as merchant_receivable_amount_minor,
        payouts_in_transit_minor as payouts_in_transit_amount_minor,
        channel_suspense_minor as channel_suspense_amount_minor,
        system_suspense_minor as system_suspense_amount_minor,
        bank_suspense_minor as bank_suspense_amount_minor,
        bank_claims_minor as bank_claims_amount_minor,
        channel_receivable_minor as channel_receivable_amount_minor,
        adjustments_receivable_minor as adjustments_receivable_amount_minor,
        reserve_minor - client_minor as own_part_amount_minor,
        booked_own_minor as booked_own_part_amount_minor,
        reserve_minor - client_minor - booked_own_minor as difference_minor,
        own_funds_minor as own_funds_amount_minor,
        booked_own_funds_minor as booked_own_funds_amount_minor,
        -- Without a statement nothing is compared.
        coalesce(own_funds_minor - booked_own_funds_minor, 0) as own_funds_difference_minor,
        topped_up_minor as topped_up_amount_minor
    from owned
)

select * from final
