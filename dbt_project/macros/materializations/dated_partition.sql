{#
    dated_partition: one business date of a growing table is one partition, replaced whole.

    The parent is made from the enforced contract, `partition by list (<partition_by>)`. A run
    computes its date's rows aside with a CTAS (which plans in parallel, where `insert … select`
    does not), puts on them everything the parent demands (so that attaching needs no second
    scan), and swaps the partition in, or refills it when the date is built again. All of it in
    the model's one transaction: readers see the old date or the new one. No delete, no bloat, the
    cost does not depend on history, and a re-run gives the same bytes: the rows are stored in the
    order of the primary key.

    State of the date before is read with `{{ this }}` filtered on that date: only its partition.

    A sealed accounting date, a paid payment date and a date nobody knows are refused before
    anything is computed, and so is a run of no rows (`--empty`, `--sample`). Models of the tag
    `outcomes` go on after the payment: they say what became of it. The partitions get a guard of
    their own, so that sealed rows hold against a person with SQL, too.
#}
{% materialization dated_partition, adapter='postgres', supported_languages=['sql'] %}
    {%- set key = config.require('partition_by') -%}
    {%- set value = '' if env_var('TIEOUT_PARENTS_ONLY', '') == 'yes' else tieout_date(key) -%}
    {%- set parent = this.incorporate(type='table') -%}
    {%- set stamp = value | replace('-', '') -%}
    {%- set child = api.Relation.create(
        database=this.database, schema=this.schema, identifier=this.identifier ~ '_' ~ stamp,
        type='table'
    ) -%}
    {%- set aside = api.Relation.create(
        database=this.database, schema=this.schema, identifier=this.identifier ~ '_new',
        type='table'
    ) -%}
    {%- if not config.get('contract').enforced -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ': dated_partition needs an enforced contract'
        ) }}
    {%- endif -%}

    {% do dated_partition_assert_whole() %}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- if env_var('TIEOUT_PARENTS_ONLY', '') != 'yes' %}
    {% do dated_partition_assert_may_be_built(key, value) %}
    {%- endif %}
    {# Two builds of one table, whoever started them, queue here instead of meeting in the swap. #}
    {% call statement('queue') -%}
        select pg_advisory_xact_lock(hashtextextended('{{ parent }}', 0))
    {%- endcall %}
    {% call statement('parent') -%}
        {{ dated_partition_parent_sql(parent, key) }}
    {%- endcall %}
    {%- set there = dated_partition_columns(parent) %}
    {% do dated_partition_assert_same_columns(parent, there) %}
    {% do dated_partition_guard('guard_parent', parent, [key]) %}
    {%- if env_var('TIEOUT_PARENTS_ONLY', '') == 'yes' %}
    {# Setup: every table exists, empty, before the first date: models read each other's state. #}
    {% call statement('main') -%}
        select 1
    {%- endcall %}
    {%- else -%}
    {%- set found_types = dated_partition_column_types(sql) -%}

    {%- set order_by = dated_partition_primary_key() -%}
    {% call statement('main') -%}
        drop table if exists {{ aside }};
        create table {{ aside }} as
        select
            {%- for column in model['columns'].values() %}
            {{ dated_partition_cast(column, found_types[column['name']]) }} as {{ column['name'] }}
            {{- ',' if not loop.last }}
            {%- endfor %}
        from (
            {{ sql }}
        ) as model
        {%- if order_by %}
        order by {{ order_by | join(', ') }}
        {%- endif %}
    {%- endcall %}

    {% call statement('dress') -%}
        {{ dated_partition_dress_sql(parent, aside, key, value, order_by, there) }}
    {%- endcall %}
    {% call statement('swap') -%}
        {{ dated_partition_swap_sql(parent, child, aside, value) }}
    {%- endcall %}
    {% do dated_partition_guard('guard_partition', child, [key, value]) %}
    {%- endif %}
    {# The parent alone is described, once: a changed description makes the setup run again. #}
    {%- if env_var('TIEOUT_PARENTS_ONLY', '') == 'yes' or not there[0]['is_described'] %}
    {% do persist_docs(parent, model) %}
    {%- endif %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [parent]}) }}
{% endmaterialization %}


{# Flags of dbt that leave rows out would put a part of a date, or nothing, in its place. #}
{% macro dated_partition_assert_whole() %}
    {%- for flag in ('empty', 'sample') -%}
        {%- if invocation_args_dict.get(flag) -%}
            {{ exceptions.raise_compiler_error(
                model.name ~ ' is not built with --' ~ flag ~ ': the partition of the date would'
                ~ ' lose its rows. Build it without the flag; dbt unit tests need no rows.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}


{# Whether the rows of a date go on changing after the payment. #}
{% macro dated_partition_goes_on() %}
    {{ return('outcomes' in config.get('tags', [])) }}
{% endmacro %}


{#
    Refuse a date that is sealed, paid or not known. The answer holds until the model's transaction
    ends: what would seal or pay the date waits.
#}
{% macro dated_partition_assert_may_be_built(key, value) %}
    {%- if value == '1970-01-01' -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ': TIEOUT_' ~ (key | upper) ~ ' is 1970-01-01, which stands for no date.'
            ~ ' Start the build with `tieout close`, `tieout pay` or a DAG; they set it.'
        ) }}
    {%- endif -%}
    {%- set reason = run_query(
        "select control.why_not_built('" ~ key ~ "', date '" ~ value ~ "', "
        ~ dated_partition_goes_on() ~ ")"
    ).rows[0][0] -%}
    {%- if reason -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' is not computed: ' ~ reason ~ '. What is sealed stays as it is; book'
            ~ ' a difference by records of a later date (docs/runbooks/sealed-date.md).'
        ) }}
    {%- endif -%}
{% endmacro %}


{# Put the database's own guard on a table, where the rows stay after the payment. #}
{% macro dated_partition_guard(function, relation, arguments) %}
    {%- if not dated_partition_goes_on() -%}
        {% call statement('guard') -%}
            select control.{{ function }}(
                '{{ relation }}'::regclass, '{{ arguments | join("', '") }}'
            )
        {%- endcall %}
    {%- endif -%}
{% endmacro %}


{# The primary key's columns as the contract declares them. #}
{% macro dated_partition_primary_key() %}
    {%- set found = [] -%}
    {%- for constraint in model.get('constraints', []) -%}
        {%- if constraint['type'] == 'primary_key' -%}
            {%- do found.extend(constraint['columns']) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{% macro dated_partition_parent_sql(parent, key) %}
    create table if not exists {{ parent }} {{ get_table_columns_and_constraints() }}
    partition by list ({{ key }})
{% endmacro %}


{#
    The model's columns as the database types them, after checking that they are the contract's:
    the same names, and types that differ at most among the number types (a sum of bigint is
    numeric).
#}
{% macro dated_partition_column_types(sql) %}
    {%- set numbers = ['INTEGER', 'LONGINTEGER', 'DECIMAL'] -%}
    {%- set types = {} -%}
    {%- set problems = [] -%}
    {%- for column in get_column_schema_from_query(sql) -%}
        {%- do types.update({column.name: column.dtype}) -%}
        {%- if column.name not in model['columns'] -%}
            {%- do problems.append(column.name ~ ' is not in the contract') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set wanted = get_column_schema_from_query(get_empty_schema_sql(model['columns'])) -%}
    {%- for column in wanted -%}
        {%- if column.name not in types -%}
            {%- do problems.append(column.name ~ ' is missing') -%}
        {%- elif types[column.name] != column.dtype
            and not (types[column.name] in numbers and column.dtype in numbers) -%}
            {%- do problems.append(
                column.name ~ ' is ' ~ types[column.name] ~ ', the contract says ' ~ column.dtype
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if problems -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' breaks its contract: ' ~ (problems | join('; '))
        ) }}
    {%- endif -%}
    {{ return(types) }}
{% endmacro %}


{#
    A cast to the contract's type that never rounds: a numeric with a fraction becomes NULL where
    a whole number is wanted, which the column's NOT NULL refuses. Money is whole minor units.
#}
{% macro dated_partition_cast(column, found_type) %}
    {%- set whole = column['data_type'] | lower in ('bigint', 'integer') -%}
    {%- if whole and found_type == 'DECIMAL' -%}
    case when model.{{ column['name'] }} = trunc(model.{{ column['name'] }})
                then cast(model.{{ column['name'] }} as {{ column['data_type'] }}) end
    {%- else -%}
    cast(model.{{ column['name'] }} as {{ column['data_type'] }})
    {%- endif -%}
{% endmacro %}


{# The parent's columns in order, and whether it has its description. #}
{% macro dated_partition_columns(parent) %}
    {{ return(run_query(
        "select attname, attnotnull, obj_description(attrelid) is not null as is_described"
        ~ " from pg_attribute where attrelid = '" ~ parent ~ "'::regclass"
        ~ " and attnum > 0 and not attisdropped order by attnum"
    ).rows) }}
{% endmacro %}


{# A contract that changed under existing partitions is a migration, never a silent difference. #}
{% macro dated_partition_assert_same_columns(parent, columns) %}
    {%- set wanted = model['columns'].values() | map(attribute='name') | list -%}
    {%- set there = columns | map(attribute='attname') | list -%}
    {%- if there != wanted -%}
        {{ exceptions.raise_compiler_error(
            parent ~ ' has the columns ' ~ (there | join(', ')) ~ ' but its contract says '
            ~ (wanted | join(', ')) ~ '. Migrate the table (docs/runbooks) before the next build.'
        ) }}
    {%- endif -%}
{% endmacro %}


{#
    The new partition gets, in one scan, what the parent demands of it: the bound as a CHECK
    (attach then scans nothing), NOT NULLs, and each CHECK under the parent's own name (attach
    refuses others).
#}
{% macro dated_partition_dress_sql(parent, aside, key, value, primary_key, columns) %}
    {%- set checks = run_query(
        "select conname, pg_get_constraintdef(oid) as definition from pg_constraint"
        ~ " where conrelid = '" ~ parent ~ "'::regclass and contype = 'c' order by conname"
    ) -%}
    alter table {{ aside }}
        add constraint {{ aside.identifier }}_bound
            check ({{ key }} is not null and {{ key }} = date '{{ value }}')
        {%- for column in columns if column['attnotnull'] %},
        alter column {{ column['attname'] }} set not null
        {%- endfor %}
        {%- for row in checks.rows %},
        add constraint {{ row[0] }} {{ row[1] }}
        {%- endfor %}
        {%- if primary_key %},
        add constraint {{ aside.identifier }}_pkey primary key ({{ primary_key | join(', ') }})
        {%- endif %}
{% endmacro %}


{#
    A date built before keeps its partition and gets the new rows: to drop a partition would lock
    the tables its foreign keys point to, which other models are reading (a deadlock of two models
    that replace a date). TRUNCATE gives it a new file, so nothing bloats; nobody sees it empty.
#}
{% macro dated_partition_swap_sql(parent, child, aside, value) %}
    {%- set primary_key = dated_partition_primary_key() -%}
    {%- set old = run_query(
        "select c.relispartition from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        ~ " where n.nspname = '" ~ child.schema ~ "' and c.relname = '" ~ child.identifier ~ "'"
    ) -%}
    {%- if old.rows | length > 0 and old.rows[0][0] %}
    truncate table {{ child }};
    insert into {{ child }}
    select * from {{ aside }}
    {%- if primary_key %}
    order by {{ primary_key | join(', ') }}
    {%- endif %};
    drop table {{ aside }};
    {%- else %}
    drop table if exists {{ child }};
    alter table {{ aside }} rename to {{ child.identifier }};
    {%- if primary_key %}
    alter table {{ child }}
        rename constraint {{ aside.identifier }}_pkey to {{ child.identifier }}_pkey;
    {%- endif %}
    alter table {{ parent }} attach partition {{ child }} for values in ('{{ value }}');
    alter table {{ child }} drop constraint {{ aside.identifier }}_bound;
    {%- endif %}
    analyze {{ child }}
{% endmacro %}
