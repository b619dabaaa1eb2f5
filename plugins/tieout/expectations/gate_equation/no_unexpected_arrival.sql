-- id: no_unexpected_arrival
-- kind: presence
-- severity: critical
-- subject: gate.balance_equation
-- terms: bank_arrival
-- english: No arrival group stands in the equation that no channel owes
-- chinese: 等式中没有渠道并不应付的到账组

select
    equation.channel || ' arrival ' || equation.arrival_date || ' ' || equation.currency_code
    as subject,
    'bank_arrival' as term,
    equation.bank_arrival_amount_minor::text as amount_minor,
    equation.currency_code,
    'no channel owes an arrival on this date' as detail
from gate.balance_equation as equation
where
    equation.payment_date = :day
    and equation.is_expected is distinct from true
