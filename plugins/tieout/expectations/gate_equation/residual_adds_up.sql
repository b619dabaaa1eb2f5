-- id: residual_adds_up
-- kind: arithmetic
-- severity: critical
-- subject: gate.balance_equation
-- terms: residual
-- english: The residual equals its terms added again, so it is not zero by construction
-- chinese: 差额等于各项重新相加的结果，不是人为置零

select
    equation.channel || ' arrival ' || equation.arrival_date || ' ' || equation.currency_code
    as subject,
    'residual' as term,
    added.amount_minor::text as amount_minor,
    equation.currency_code,
    'the table says ' || coalesce(equation.residual_minor::text, 'nothing')
    || ' minor units, its terms add up to another amount' as detail
from gate.balance_equation as equation
cross join lateral (
    select
        sum(
            terms.sign * (to_jsonb(equation) ->> (terms.term || '_amount_minor'))::numeric
        ) as amount_minor
    from reference.equation_terms as terms
) as added
where
    equation.payment_date = :day
    and equation.residual_minor is distinct from added.amount_minor
