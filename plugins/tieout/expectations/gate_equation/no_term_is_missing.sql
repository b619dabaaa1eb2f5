-- id: no_term_is_missing
-- kind: presence
-- severity: critical
-- subject: gate.balance_equation
-- terms: *
-- english: No term of the balance equation is NULL
-- chinese: 平衡等式没有空值项

-- The seed says which terms there are. One that the table has no column for has no value, either.
select
    equation.channel || ' arrival ' || equation.arrival_date || ' ' || equation.currency_code
    as subject,
    terms.term,
    null::text as amount_minor,
    equation.currency_code,
    'the term has no value' as detail
from gate.balance_equation as equation
cross join (
    select
        equation_terms.term,
        equation_terms.term || '_amount_minor' as column_name
    from reference.equation_terms as equation_terms
    union all
    select
        'residual' as term,
        'residual_minor' as column_name
) as terms
where
    equation.payment_date = :day
    and to_jsonb(equation) ->> terms.column_name is null
union all
select
    'all' as subject,
    'terms' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'the equation has no terms: reference.equation_terms is empty' as detail
where not exists (select 1 from reference.equation_terms)
