-- id: residual_is_zero
-- kind: arithmetic
-- severity: critical
-- subject: gate.balance_equation
-- terms: residual
-- english: The residual of every arrival group is zero to the minor unit
-- chinese: 每个到账组的平衡差额为零，精确到分

select
    equation.channel || ' arrival ' || equation.arrival_date || ' ' || equation.currency_code
    as subject,
    'residual' as term,
    equation.residual_minor::text as amount_minor,
    equation.currency_code,
    coalesce(
        (
            select
                string_agg(
                    terms.term || ' ' || (to_jsonb(equation) ->> (terms.term || '_amount_minor')),
                    ', ' order by terms.position
                )
            from reference.equation_terms as terms
            where to_jsonb(equation) ->> (terms.term || '_amount_minor') <> '0'
        ),
        ''
    ) || ' (minor units)' as detail
from gate.balance_equation as equation
where
    equation.payment_date = :day
    and equation.residual_minor is distinct from 0
