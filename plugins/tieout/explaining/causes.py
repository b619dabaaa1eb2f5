"""The causes that can be named, each with what it means and what a person does about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["CAUSES", "Cause"]


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause: its id, one line in English and Chinese, and what to do.

    ``weight`` is how often we take it to happen beside the others, before any amount is looked at;
    it is shared among all rows that could be it.
    """

    cause_id: str
    title: str
    title_zh: str
    next_step: str
    weight: float
    is_named_thing: bool = False


def _cause(
    cause_id: str, title: str, title_zh: str, weight: float, next_step: str, *, named: bool = False
) -> tuple[str, Cause]:
    return cause_id, Cause(cause_id, title, title_zh, next_step, weight, named)


CAUSES: Final[dict[str, Cause]] = dict(
    (
        _cause(
            "arrival_missing",
            "no bank line arrived for the group",
            "该到账组没有银行流水",
            0.10,
            "ask the bank for the line or the statement that lacks it; put it in the inbox",
        ),
        _cause(
            "bank_line_unclassified",
            "the bank line is there, no rule names its group",
            "银行流水已到，但未识别",
            0.10,
            "read the line's text; correct the bank line rules or have the bank correct the text",
            named=True,
        ),
        _cause(
            "bank_line_of_another_group",
            "the bank line names another arrival group",
            "银行流水归入了另一到账组",
            0.08,
            "compare the date in the line's text with the channel's notice; ask the bank",
        ),
        _cause(
            "groups_swapped",
            "two groups have each other's bank line",
            "两个到账组的银行流水互换",
            0.04,
            "compare both lines' texts with the channels' notices; ask the bank",
        ),
        _cause(
            "bank_line_doubled",
            "the bank booked one line twice",
            "银行重复入账",
            0.08,
            "ask the bank which line it takes back; do not pay before it has",
            named=True,
        ),
        _cause(
            "bank_line_wrong_sign",
            "a bank line has the wrong direction",
            "银行流水借贷方向相反",
            0.04,
            "ask the bank for a corrected statement",
        ),
        _cause(
            "bank_digits_transposed",
            "two neighbouring digits of a bank line's amount are exchanged",
            "银行流水金额相邻数字颠倒",
            0.03,
            "compare the line with the channel's notice of payment; ask the bank to correct it",
        ),
        _cause(
            "bank_decimal_shifted",
            "the decimal point of a bank line's amount is shifted",
            "银行流水金额小数点错位",
            0.02,
            "compare the line with the channel's notice of payment; ask the bank to correct it",
        ),
        _cause(
            "other_dates_total",
            "the bank line has the amount of another accounting date",
            "银行流水金额等于另一会计日期的应到金额",
            0.05,
            "ask the channel which date it paid; wait for the other line",
        ),
        _cause(
            "date_not_arrived",
            "one accounting date of the group did not arrive",
            "该到账组的一个会计日期未到账",
            0.06,
            "ask the channel when it pays that date; check its arrival calendar",
        ),
        _cause(
            "date_arrived_twice",
            "one accounting date of the group arrived twice",
            "该到账组的一个会计日期重复到账",
            0.03,
            "ask the channel what it takes back; do not pay before it has",
        ),
        _cause(
            "file_missing",
            "an owed file of the group's dates is not there",
            "该到账组日期的应到文件缺失",
            0.50,
            "fetch the file or ask the channel for it, close the date again",
            named=True,
        ),
        _cause(
            "doubled_file",
            "a file's records landed twice",
            "文件重复落地",
            0.20,
            "reject one of the two files, close the date again",
            named=True,
        ),
        _cause(
            "other_dates_file",
            "a file holds the records of another date",
            "文件内容属于另一日期",
            0.50,
            "ask the channel for the date's own file, close the date again",
            named=True,
        ),
        _cause(
            "mismatched_pair",
            "the channel's file has another amount than the platform, and the bank paid the "
            "platform's",
            "渠道文件金额与平台不符，银行按平台金额到账",
            0.10,
            "ask the channel for the record's amount and a corrected file",
            named=True,
        ),
        _cause(
            "record_doubled",
            "a record stands twice in the channel's file and was paid once",
            "渠道文件记录重复，银行只到账一次",
            0.08,
            "ask the channel for a corrected file; the second record is no money",
            named=True,
        ),
        _cause(
            "record_missing",
            "the bank paid a transaction that the channel's file lacks",
            "银行已到账而渠道文件缺少该交易",
            0.10,
            "ask the channel for the missing record or a corrected file",
            named=True,
        ),
        _cause(
            "records_missing",
            "the bank paid several transactions that the channel's file lacks",
            "银行已到账而渠道文件缺少多笔交易",
            0.06,
            "ask the channel whether a part of the file is missing",
            named=True,
        ),
        _cause(
            "record_not_paid",
            "the bank did not pay a record that only the channel's file has",
            "仅渠道文件有的记录未到账",
            0.08,
            "ask the channel whether the record is real; it stays open until then",
            named=True,
        ),
        _cause(
            "old_item_moved",
            "the bank moved money of an item that is open from an earlier date",
            "银行处理了前期挂账项的资金",
            0.04,
            "ask the channel for the record or the adjustment that belongs to it",
            named=True,
        ),
        _cause(
            "open_items_moved",
            "the bank moved the money of several open items",
            "银行处理了多笔挂账项的资金",
            0.02,
            "ask the channel for the records or the adjustments that belong to them",
            named=True,
        ),
        _cause(
            "matched_record_not_paid",
            "the bank did not pay a record that both sides have",
            "双方均有的记录未到账",
            0.03,
            "ask the channel for the record's payment",
        ),
        _cause(
            "matched_record_paid_twice",
            "the bank paid a record twice that both sides have once",
            "双方均有一笔的记录重复到账",
            0.02,
            "ask the channel what it takes back; do not pay before it has",
        ),
        _cause(
            "charge_doubled",
            "a charge stands twice in the channel's file and was taken once",
            "收费或差错记录重复，银行只扣一次",
            0.06,
            "ask the channel for a corrected file",
            named=True,
        ),
        _cause(
            "charge_not_taken",
            "a charge of the channel's file was not taken from the arrival",
            "渠道文件的收费或差错未从到账中扣除",
            0.06,
            "ask the channel when it takes the charge",
        ),
        _cause(
            "charge_taken_twice",
            "a charge of the channel's file was taken twice",
            "渠道文件的收费或差错被重复扣除",
            0.05,
            "ask the channel to give back the second",
        ),
        _cause(
            "charge_wrong_sign",
            "a charge was given where the file says taken, or the reverse",
            "收费或差错的方向相反",
            0.04,
            "compare code and direction of the record with the channel's notice",
        ),
        _cause(
            "term_not_taken",
            "a whole term of the equation was not taken from the arrival",
            "到账未扣除等式中的整项",
            0.05,
            "ask the channel whether it bills that apart (reference.channels.cost_billing)",
        ),
        _cause(
            "term_taken_twice",
            "a whole term of the equation was taken twice",
            "等式中的整项被重复扣除",
            0.04,
            "ask the channel to give back the second",
        ),
        _cause(
            "term_wrong_sign",
            "a whole term of the equation has the wrong sign",
            "等式中的整项方向相反",
            0.03,
            "compare the file's direction with the channel's notice; a parser may read it wrongly",
        ),
    )
)
