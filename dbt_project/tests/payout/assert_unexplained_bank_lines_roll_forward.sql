-- Each bank line that was unexplained and open on the payment date before (未解释银行流水) stands in
-- this one, as open, taken or explained; none is open that two people have taken.
{{ config(tags=['payment', 'outcomes']) }}

with lines as (
    select
        file_id,
        line_number,
        status
    from {{ ref('unexplained_bank_lines') }}
    where payment_date = {{ payment_date() }}
),

open_before as (
    select
        file_id,
        line_number
    from {{ ref('unexplained_bank_lines') }}
    where payment_date = {{ previous_payment_date() }} and status = 'open'
),

taken_lines as (
    select
        file_id,
        line_number
    from {{ ref('int_bank__taken_lines') }}
)

select
    open_before.file_id,
    open_before.line_number,
    'lost' as what
from open_before
left join lines
    on open_before.file_id = lines.file_id
    and open_before.line_number = lines.line_number
where lines.file_id is null
union all
select
    lines.file_id,
    lines.line_number,
    'taken, yet open' as what
from lines
inner join taken_lines
    on lines.file_id = taken_lines.file_id
    and lines.line_number = taken_lines.line_number
where lines.status = 'open'
