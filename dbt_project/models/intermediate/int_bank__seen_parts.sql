{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['payment', 'outcomes'],
    pre_hook='{{ set_based() }}', post_hook='analyze {{ this }}'
) }}

{#-
    The parts of the bank lines, and why a part is not explained, as the payment date knows them:
    what stands in reconciliation.unexplained_bank_lines.
-#}
{{ bank_line_parts('statement_date <= ' ~ payment_date(), payment_date()) }}

select * from final
