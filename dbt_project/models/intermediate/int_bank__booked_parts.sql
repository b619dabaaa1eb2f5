{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    pre_hook='{{ set_based() }}', post_hook='analyze {{ this }}'
) }}

{#-
    The parts of the bank lines, and why a part is not explained, as the close of T knows them: the
    ledger books what is not explained as bank suspense (银行挂账).
-#}
{{ bank_line_parts('booked_on <= ' ~ accounting_date(), accounting_date()) }}

select * from final
