{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['payment'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Whom each account is paid to on the payment date, in each currency, or why it is withheld
    (docs/domain.md#withheld): one row an account and currency that has a payee in force.

    An account is paid by terms that two people have confirmed. What they decided since the last
    close counts here already; the close of its own date takes it over.
-#}
with snapshots as (
    select first_list_sha256
    from {{ ref('term_lists') }}
    where accounting_date = {{ latest_snapshot_before_payment(ref('int_terms__payees')) }}
),

decisions as (
    {{ term_decisions(
        latest_snapshot_before_payment(ref('int_terms__payees')), payment_date()
    ) }}
),

approved_lists as (
    select list_sha256
    from {{ source('control', 'term_approvals') }}
    where subject = 'first_date_list'
    group by list_sha256
),

all_payees as (
    select
        payee_id,
        payee_version,
        account_id,
        currency_code,
        payee_status,
        effective_from,
        effective_to,
        confirmation,
        changed_on,
        change_id
    from {{ ref('int_terms__payees') }}
    where snapshot_date = {{ latest_snapshot_before_payment(ref('int_terms__payees')) }}
        and {{ in_force(payment_date()) }}
),

contracts as (
    select
        contract_id,
        account_id,
        confirmation,
        change_id
    from {{ ref('int_terms__contracts') }}
    where snapshot_date = {{ latest_snapshot_before_payment(ref('int_terms__contracts')) }}
),

fee_rates as (
    select
        contract_id,
        confirmation,
        change_id
    from {{ ref('int_terms__fee_rates') }}
    where snapshot_date = {{ latest_snapshot_before_payment(ref('int_terms__fee_rates')) }}
        and confirmation = 'waiting'
),

-- A code that nobody has classified blocks: it is for a person to say that it is harmless.
harmless_reasons as (
    select reason_code
    from {{ ref('payee_return_reasons') }}
    where not blocks_payee
),

payee_returns as (
    select
        payee_id,
        payee_version,
        reason_code
    from {{ source('payout', 'payee_returns') }}
    where returned_on <= {{ payment_date() }}
),

unwritable_payees as (
    select
        payee_id,
        payee_version
    from {{ source('payout', 'unwritable_payees') }}
    where payment_date = {{ payment_date() }}
),

limits as (
    select
        currency_code,
        paid_limit_amount_minor
    from {{ ref('payee_confirmation_limits') }}
),

-- Payouts leave from the one reserve account of their currency that has a rail; of none, or of two,
-- nobody guesses.
paying_currencies as (
    select bank_accounts.currency_code
    from {{ ref('bank_accounts') }} as bank_accounts
    inner join {{ ref('payout_rails') }} as payout_rails
        on bank_accounts.bank_account_id = payout_rails.bank_account_id
    where bank_accounts.account_kind = 'client_reserve'
    group by bank_accounts.currency_code
    having count(*) = 1
),

list_states as (
    select approved_lists.list_sha256 is not null as is_list_approved
    from snapshots
    left join approved_lists on snapshots.first_list_sha256 = approved_lists.list_sha256
),

payees as (
    select
        all_payees.*,
        all_payees.confirmation = 'waiting'
        and decisions.decision is distinct from 'approve' as is_unconfirmed,
        row_number() over (
            partition by all_payees.payee_id
            order by all_payees.payee_version desc
        ) as version_order
    from all_payees
    left join decisions on all_payees.change_id = decisions.change_id
    where decisions.decision is distinct from 'reject'
),

-- Only the latest version of a payee counts: an older active one must not revive a blocked payee.
active_payees as (
    select *
    from payees
    where version_order = 1 and payee_status = 'active'
),

account_payees as (
    select
        account_id,
        currency_code,
        payee_id,
        payee_version,
        row_number() over (
            partition by account_id, currency_code
            order by effective_from desc, payee_id asc
        ) as payee_order,
        count(*) over (partition by account_id, currency_code) as payee_count
    from active_payees
),

unconfirmed_payees as (
    select
        account_id,
        currency_code,
        payee_id,
        payee_version,
        changed_on
    from active_payees
    where is_unconfirmed
),

-- What each was paid since the change, by the index on payee and version: not a join, which would
-- read the instructions of all years.
paid_since as (
    select
        unconfirmed_payees.account_id,
        unconfirmed_payees.currency_code,
        (
            select coalesce(sum(instructions.amount_minor), 0)
            from {{ source('payout', 'instructions') }} as instructions
            where
                instructions.payee_id = unconfirmed_payees.payee_id
                and instructions.payee_version = unconfirmed_payees.payee_version
                and instructions.currency_code = unconfirmed_payees.currency_code
                and instructions.payment_date > unconfirmed_payees.changed_on
                and instructions.payment_date < {{ payment_date() }}
        ) as paid_amount_minor
    from unconfirmed_payees
),

unconfirmed_paid as (
    select
        account_id,
        currency_code,
        cast(sum(paid_amount_minor) as bigint) as paid_amount_minor
    from paid_since
    group by account_id, currency_code
),

returned_payees as (
    select
        payee_returns.payee_id,
        payee_returns.payee_version
    from payee_returns
    left join harmless_reasons on payee_returns.reason_code = harmless_reasons.reason_code
    where harmless_reasons.reason_code is null
    group by payee_returns.payee_id, payee_returns.payee_version
),

unconfirmed_terms as (
    select
        contracts.account_id,
        contracts.confirmation,
        contracts.change_id
    from contracts
    union all
    select
        contracts.account_id,
        fee_rates.confirmation,
        fee_rates.change_id
    from fee_rates
    inner join contracts on fee_rates.contract_id = contracts.contract_id
),

-- An account that is new: what it was cleared by waits for two people.
unconfirmed_accounts as (
    select unconfirmed_terms.account_id
    from unconfirmed_terms
    left join decisions on unconfirmed_terms.change_id = decisions.change_id
    where
        unconfirmed_terms.confirmation = 'waiting'
        and decisions.decision is distinct from 'approve'
    group by unconfirmed_terms.account_id
),

final as (
    select
        account_payees.account_id,
        account_payees.currency_code,
        account_payees.payee_id,
        account_payees.payee_version,
        case
            when
                list_states.is_list_approved is distinct from true
                or unconfirmed_accounts.account_id is not null
                then 'terms_unconfirmed'
            when returned_payees.payee_id is not null then 'payee_returned'
            when unwritable_payees.payee_id is not null then 'payee_unwritable'
            when
                unconfirmed_paid.paid_amount_minor
                >= coalesce(limits.paid_limit_amount_minor, 0)
                then 'payee_unconfirmed'
            -- Whom it is paid to nobody guesses, whoever confirmed them.
            when account_payees.payee_count > 1 then 'payees_overlap'
            when paying_currencies.currency_code is null then 'no_rail'
        end as withheld_reason,
        -- greatest() alone skips NULLs: a confirmed payee has no limit, not the limit 0.
        case
            when unconfirmed_paid.account_id is not null
                then greatest(
                    coalesce(limits.paid_limit_amount_minor, 0)
                    - unconfirmed_paid.paid_amount_minor,
                    0
                )
        end as unconfirmed_room_minor
    from account_payees
    left join list_states on true
    left join unconfirmed_accounts on account_payees.account_id = unconfirmed_accounts.account_id
    left join returned_payees
        on account_payees.payee_id = returned_payees.payee_id
        and account_payees.payee_version = returned_payees.payee_version
    left join unwritable_payees
        on account_payees.payee_id = unwritable_payees.payee_id
        and account_payees.payee_version = unwritable_payees.payee_version
    left join unconfirmed_paid
        on account_payees.account_id = unconfirmed_paid.account_id
        and account_payees.currency_code = unconfirmed_paid.currency_code
    left join limits on account_payees.currency_code = limits.currency_code
    left join paying_currencies
        on account_payees.currency_code = paying_currencies.currency_code
    where account_payees.payee_order = 1
)

select * from final
