-- What a merchant bears of disputes goes by the channel's stages: an account never gets more back
-- by representments than chargebacks took from it, and a second chargeback takes no more than a
-- representment gave. Read from what was registered, not from the model that decides it: else a
-- record of the channel could pay a merchant its refunds again.
{{ config(tags=['close']) }}

with channel_adjustments as (
    select distinct original_voucher_id
    from {{ ref('channel_adjustments') }}
    where
        accounting_date = {{ accounting_date() }}
        and disposition = 'charged'
        and adjustment_type in ('representment', 'second_chargeback')
),

original_movements as (
    select
        original_voucher_id,
        account_id,
        adjustment_type,
        amount_minor
    from {{ source('clearing_registers', 'original_movements') }}
    where
        accounting_date <= {{ accounting_date() }}
        and adjustment_type in ('first_chargeback', 'representment', 'second_chargeback')
),

disputes as (
    select
        original_movements.original_voucher_id,
        original_movements.account_id,
        coalesce(
            sum(original_movements.amount_minor)
                filter (where original_movements.adjustment_type = 'first_chargeback'),
            0
        ) as charged_back_minor,
        coalesce(
            -sum(original_movements.amount_minor)
                filter (where original_movements.adjustment_type = 'representment'),
            0
        ) as represented_minor,
        coalesce(
            sum(original_movements.amount_minor)
                filter (where original_movements.adjustment_type = 'second_chargeback'),
            0
        ) as charged_again_minor
    from original_movements
    inner join channel_adjustments
        on original_movements.original_voucher_id = channel_adjustments.original_voucher_id
    group by original_movements.original_voucher_id, original_movements.account_id
)

select
    original_voucher_id,
    account_id,
    charged_back_minor,
    represented_minor,
    charged_again_minor
from disputes
where represented_minor > charged_back_minor or charged_again_minor > represented_minor
