{#-
    The parts of a bank line that may each be a payout: every detail that the bank gives of the
    line, and the line as a whole. How many details it has, and how many name their payout, tells a
    reader which of them count. The date stands in the window, so that a reader's filter on it
    reaches the partitions.
-#}
with statement_lines as (
    select
        file_id,
        line_number,
        booked_on,
        amount_minor,
        charge_amount_minor,
        end_to_end_id,
        detail_count
    from {{ ref('stg_bank__statement_lines') }}
),

-- A charge that the bank states of the line is the charge of its only detail.
detailed_lines as (
    select
        file_id,
        line_number,
        charge_amount_minor
    from {{ ref('stg_bank__statement_lines') }}
    where detail_count = 1
),

line_details as (
    select
        file_id,
        line_number,
        booked_on,
        detail_number,
        amount_minor,
        charge_amount_minor,
        end_to_end_id
    from {{ ref('stg_bank__line_details') }}
),

parts as (
    select
        line_details.file_id,
        line_details.line_number,
        line_details.booked_on,
        line_details.detail_number as part_number,
        'detail ' || line_details.detail_number as part,
        true as is_detail,
        line_details.amount_minor,
        coalesce(line_details.charge_amount_minor, detailed_lines.charge_amount_minor)
            as charge_amount_minor,
        line_details.end_to_end_id
    from line_details
    left join detailed_lines
        on line_details.file_id = detailed_lines.file_id
        and line_details.line_number = detailed_lines.line_number
    union all
    select
        file_id,
        line_number,
        booked_on,
        0 as part_number,
        'payout' as part,
        false as is_detail,
        amount_minor,
        charge_amount_minor,
        end_to_end_id
    from statement_lines
),

final as (
    select
        file_id,
        line_number,
        booked_on,
        part_number,
        part,
        is_detail,
        amount_minor,
        charge_amount_minor,
        end_to_end_id,
        count(*) filter (where is_detail) over (
            partition by booked_on, file_id, line_number
        ) as detail_count,
        count(end_to_end_id) filter (where is_detail) over (
            partition by booked_on, file_id, line_number
        ) as named_detail_count
    from parts
)

select * from final
