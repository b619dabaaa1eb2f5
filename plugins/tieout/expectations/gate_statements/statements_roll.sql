-- id: statements_roll
-- kind: arithmetic
-- severity: critical
-- subject: settlement.settlement_statements
-- terms: carried_forward
-- english: Every statement carries forward exactly what it does not pay, and pays nothing below
--     zero
-- chinese: 每份结算单未付部分恰好结转，且出款金额不为负

-- Whom a statement pays is a CHECK of the table and the gate check payable_statement_has_payee.
select
    statements.statement_id as subject,
    'carried_forward' as term,
    (
        statements.settlement_amount_minor + statements.adjustment_amount_minor
        - statements.advance_amount_minor + statements.previous_unsettled_amount_minor
        + statements.transfer_amount_minor
        - statements.payout_amount_minor - statements.carried_forward_amount_minor
    )::text as amount_minor,
    statements.currency_code,
    'payout ' || statements.payout_amount_minor || ', ' || statements.payable_status as detail
from settlement.settlement_statements as statements
where
    statements.payment_date = :day
    and (
        (
            statements.settlement_amount_minor + statements.adjustment_amount_minor
            - statements.advance_amount_minor + statements.previous_unsettled_amount_minor
            + statements.transfer_amount_minor - statements.payout_amount_minor
        ) is distinct from statements.carried_forward_amount_minor
        or statements.payout_amount_minor < 0
        or (statements.payable_status = 'payable')
        is distinct from (statements.payout_amount_minor > 0)
    )
