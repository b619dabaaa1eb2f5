-- id: bank_arrival_is_there
-- kind: presence
-- severity: critical
-- subject: gate.balance_equation
-- terms: bank_arrival
-- english: Money that is expected has a line on the bank's statement, not after the payment
--     date
-- chinese: 应到账的资金在银行对账单上有流水，且不晚于付款日

select
    equation.channel || ' arrival ' || equation.arrival_date || ' ' || equation.currency_code
    as subject,
    'bank_arrival' as term,
    (equation.bank_arrival_amount_minor - equation.residual_minor)::text as amount_minor,
    equation.currency_code,
    case
        when equation.actual_arrival_date is null then 'expected, and no line on any bank statement'
        else 'the bank books it on ' || equation.actual_arrival_date || ', after the payment date'
    end as detail
from gate.balance_equation as equation
where
    equation.payment_date = :day
    and (
        (
            equation.actual_arrival_date is null
            and (equation.bank_arrival_amount_minor - equation.residual_minor) is distinct from 0
        )
        or equation.actual_arrival_date > :day
    )
