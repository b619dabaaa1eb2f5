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
