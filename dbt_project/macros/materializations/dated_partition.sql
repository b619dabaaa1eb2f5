{#
    dated_partition: one business date of a growing table is one partition, replaced whole.

    The parent is made from the enforced contract, `partition by list (<partition_by>)`, when a home
    is set up, by the owner. A run computes its date's rows aside with a CTAS (which plans in
    parallel, where `insert … select` does not), and `control.swap_partition`, the owner's, puts on
    them everything the parent demands (so that attaching needs no second scan) and swaps the
    partition in, or refills it when the date is built again. All of it in the model's one
    transaction: readers see the old date or the new one. No delete, no bloat, the cost does not
    depend on history, and a re-run gives the same bytes: the rows are stored in the order of the
    primary key.

    State of the date before is read with `{{ this }}` filtered on that date: only its partition.

    A sealed accounting date, a paid payment date and a date nobody knows are refused before
    anything is computed, and so is a run of no rows (`--empty`, `--sample`). Models of the tag
    `outcomes` go on after the payment: they say what became of it. The partitions get a guard of
    their own, so that sealed rows hold against a person with SQL, too.
#}
{% materialization dated_partition, adapter='postgres', supported_languages=['sql'] %}
    {%- set key = config.require('partition_by') -%}
    {%- set is_setup = env_var('TIEOUT_PARENTS_ONLY', '') == 'yes' -%}
    {%- set value = '' if is_setup else tieout_date(key) -%}
    {%- if is_restatement() -%}
        {{ return(dated_partition_beside(key, value)) }}
    {%- endif -%}
    {%- set parent = this.incorporate(type='table') -%}
    {%- set aside = api.Relation.create(
        database=this.database, schema='work_transform',
        identifier=this.schema ~ '__' ~ this.identifier, type='table'
    ) -%}
    {%- if not config.get('contract').enforced -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ': dated_partition needs an enforced contract'
        ) }}
    {%- endif -%}

    {% do dated_partition_assert_whole() %}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- if not is_setup %}
    {% do dated_partition_assert_may_be_built(key, value) %}
    {%- endif %}
    {# Two builds of one table, whoever started them, queue here instead of meeting in the swap. #}
    {% call statement('queue') -%}
        select pg_advisory_xact_lock(hashtextextended('{{ parent }}', 0))
    {%- endcall %}
    {%- if is_setup or not load_cached_relation(parent) %}
    {# The owner's work: a role that builds dates owns no table that stays, and describes none. #}
    {% call statement('parent') -%}
        {{ dated_partition_parent_sql(parent, key) }}
    {%- endcall %}
    {% do dated_partition_guard('guard_parent', parent, [key]) %}
    {% do persist_docs(parent, model) %}
    {%- endif %}
    {% do dated_partition_assert_same_columns(parent) %}
    {%- if is_setup %}
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

    {# Who holds the date's lease: the database asks where the partition is put in. #}
    {%- set owner = env_var('TIEOUT_RUN_OWNER', '') -%}
    {% call statement('swap') -%}
        select control.swap_partition(
            '{{ parent }}'::regclass, '{{ aside }}'::regclass, date '{{ value }}',
            '{{ dbt.escape_single_quotes(owner) }}'
        )
    {%- endcall %}
    {%- endif %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [parent]}) }}
{% endmaterialization %}


{# Fill the table that stands beside the sealed partition; constraints are the sealed table's. #}
{% macro dated_partition_beside(key, value) %}
    {%- set rows = api.Relation.create(
        database=this.database, schema=this.schema, identifier=this.identifier ~ '__rows',
        type='table'
    ) -%}
    {% do dated_partition_assert_whole() %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- set found_types = dated_partition_column_types(sql) -%}
    {%- set order_by = dated_partition_primary_key() -%}
    {% call statement('main') -%}
        insert into {{ rows }}
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
    {% call statement('count') -%}
        select control.analyze(array['{{ rows }}'::regclass])
    {%- endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [this.incorporate(type='view')]}) }}
{% endmacro %}


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


{# A contract that changed under existing partitions is a migration, never a silent difference. #}
{% macro dated_partition_assert_same_columns(parent) %}
    {%- set wanted = model['columns'].values() | map(attribute='name') | list -%}
    {%- set rows = run_query(
        "select attname from pg_attribute where attrelid = '" ~ parent ~ "'::regclass"
        ~ " and attnum > 0 and not attisdropped order by attnum"
    ) -%}
    {%- set there = rows.columns[0].values() | list -%}
    {%- if there != wanted -%}
        {{ exceptions.raise_compiler_error(
            parent ~ ' has the columns ' ~ (there | join(', ')) ~ ' but its contract says '
            ~ (wanted | join(', ')) ~ '. Migrate the table (docs/runbooks) before the next build.'
        ) }}
    {%- endif -%}
{% endmacro %}
