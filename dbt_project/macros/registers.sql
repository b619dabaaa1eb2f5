{#
    Unpartitioned registers (migration 0013), written in the transaction that swaps the date's
    partition: what may be once only, or is looked up by an id, over all dates. The date's own rows
    are replaced, whichever build wrote them; another date's row of the same id fails the build.
#}
{% macro register_statement_entries() %}
    delete from settlement.statement_entries where payment_date = {{ payment_date() }};
    insert into settlement.statement_entries
        (entry_id, statement_id, payment_date, accounting_date)
    select entry_id, statement_id, payment_date, accounting_date
    from {{ this }}
    where payment_date = {{ payment_date() }}
    order by entry_id
{% endmacro %}
