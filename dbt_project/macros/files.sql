{#
    The files whose rows count: landed, and not replaced, refused or in conflict since. Every
    staging view joins them, so that what a file says is gone with its status.
#}
{% macro landed_files(columns=['file_id']) -%}
    select {{ columns | join(', ') }}
    from {{ source('control', 'channel_files') }}
    where status = 'landed'
{%- endmacro %}

{# Whose account a file is of, as the channel numbers it: a part of the file's slot. #}
{% macro channel_account(slot) -%}
    substring({{ slot }} from '(?:channel_merchant_id|account_id)=([^/]+)')
{%- endmacro %}
