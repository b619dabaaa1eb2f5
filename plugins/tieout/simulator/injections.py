"""Faults that can be injected into a simulated week, each into one date, and what must follow."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any

from tieout.core.errors import TieoutError
from tieout.simulator import alipay_files, unionpay_files, wechat_files
from tieout.simulator.bank import BankLine
from tieout.simulator.platform_files import file_path, trailer

INJECTIONS: dict[str, str] = {
    "missing_file": "WeChat's trade bill of the date is not delivered",
    "truncated_file": "UnionPay's transaction file ends in the middle of a record",
    "wrong_control_total": "the summary line of WeChat's bill is one fen off its rows",
    "doubled_file": "UnionPay's records come a second time, in other bytes, under another name",
    "unknown_code": "a UnionPay record has a processing code nobody knows",
    "bad_encoding": "a row of WeChat's bill is not UTF-8",
    "corrupt_archive": "Alipay's ZIP is cut off",
    "missing_platform_file": "the platform's source vouchers are not delivered",
    "wrong_sign": "a purchase of the platform has a negative amount",
    "wrong_date": "a voucher of the platform says another accounting date than its file",
    "duplicate_voucher_id": "two vouchers of the platform have one id",
    "wrong_trailer": "the trailer of the platform's vouchers counts one row too many",
    "unknown_merchant": "a transaction belongs to a merchant without a contract",
    "missing_bank_line": "the bank's statement lacks UnionPay's arrival",
    "bank_short_one_fen": "Alipay's arrival is one fen short",
    "bank_line_wrong_reference": "the text of UnionPay's arrival names no settlement date",
    "unordered_debit": "the bank debits a payment file that was never sent",
    "interest_that_takes": "the bank's interest of the reserve takes 700.00 instead of giving",
    "statement_gap": "a bank statement opens with another balance than the one before closed with",
    "bank_line_twice": "the bank books Alipay's arrival twice",
    "bank_line_reversed": "the bank books one of UnionPay's arrivals as a debit",
    "bank_digits_exchanged": "two neighbouring digits of Alipay's arrival are exchanged",
    "bank_decimal_shifted": "WeChat's arrival has ten times its amount",
    "bank_line_of_another_date": "the text of WeChat's arrival names the date after its own",
    "bank_lines_exchanged": "WeChat's arrivals of two dates have each other's amount",
    "bank_short_unsaid": "UnionPay's arrival is 123.47 short, and nothing says why",
    "record_left_out": "UnionPay's file lacks a record that it pays",
    "record_twice": "a record stands twice in UnionPay's file, and is paid once",
    "record_of_another_amount": "a record of UnionPay's file is 123.00 above what it pays",
    "brand_fee_twice": "a brand fee stands twice in UnionPay's file, and is taken once",
    "brand_fee_left_out": "UnionPay's file lacks a brand fee that it takes",
    "adjustment_twice": "an adjustment stands twice in UnionPay's file, and is taken once",
    "adjustment_left_out": "UnionPay's file lacks an adjustment that it takes",
}

# What a failed gate should name as the cause (tieout.explaining); None where no row shows it.
CAUSES: dict[str, str | None] = {
    "missing_bank_line": "arrival_missing",
    "bank_short_one_fen": None,
    "bank_line_wrong_reference": "bank_line_unclassified",
    "bank_line_twice": "bank_line_doubled",
    "bank_line_reversed": "bank_line_wrong_sign",
    "bank_digits_exchanged": "bank_digits_transposed",
    "bank_decimal_shifted": "bank_decimal_shifted",
    "bank_line_of_another_date": "bank_line_of_another_group",
    "bank_lines_exchanged": "groups_swapped",
    "bank_short_unsaid": None,
    "record_left_out": "record_missing",
    "record_twice": "record_doubled",
    "record_of_another_amount": "mismatched_pair",
    "brand_fee_twice": "charge_doubled",
    "brand_fee_left_out": None,
    "adjustment_twice": "charge_doubled",
    "adjustment_left_out": None,
}


@dataclass(frozen=True)
class Injected:
    """One injected fault and what must follow from it.

    ``fails``: close, close_or_gate or gate.
    ``amount_minor``: by how much the named term is off, where it is an amount.
    ``cause``: what explains the residual of a gate that fails for it; None where no row shows it.
    """

    kind: str
    description: str
    accounting_date: date
    payment_date: date
    channel: str
    file: str | None
    fails: str
    amount_minor: int | None = None
    cause: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for the truth's JSON."""
        return {**asdict(self), "accounting_date": str(self.accounting_date)}


Files = dict[str, bytes]
Plan = list[tuple[date, list[BankLine], int]]


def check_kinds(kinds: list[str]) -> None:
    """Refuse kinds nobody knows.

    Raises:
        TieoutError: a kind is not in INJECTIONS.
    """
    for kind in kinds:
        if kind not in INJECTIONS:
            raise TieoutError(
                what=f"unknown injection {kind!r}",
                where="--inject",
                why="it is not one of: " + ", ".join(INJECTIONS),
                next_step="`tieout simulate --inject list` lists them with what each does",
            )


def inject_into_files(
    kind: str,
    files: Files,
    fault_date: date,
    day: date,
    *,
    payment_date: date,
) -> Injected | None:
    """Change the files of ``day`` in place; return what was done on the fault's date.

    Args:
        kind: One of INJECTIONS.
        files: The day's files by inbox path.
        fault_date: Accounting date the fault belongs to.
        day: Accounting date of ``files``; another date than the fault's is left as it is.
        payment_date: Payment date of the fault's date.
    """
    if day != fault_date or kind not in _FILE_FAULTS:
        return None
    channel, path_of, change, fails = _FILE_FAULTS[kind]
    path = path_of(day)
    change(files, path, day)
    return _injected(kind, (fault_date, payment_date), channel, path, fails)


def inject_into_bank(
    kind: str, plan: Plan, fault_date: date, arrivals: dict[str, date], payment_date: date
) -> Injected | None:
    """Change the bank's planned statements in place; return what was done, None if nothing.

    Args:
        kind: One of INJECTIONS.
        plan: Planned statements: date, lines, shift of the opening balance.
        fault_date: Accounting date the fault belongs to.
        arrivals: Arrival date of the fault's date by channel.
        payment_date: Payment date of the fault's date.
    """
    texts = {"unionpay": "UPSETTLE", "alipay": "ALIPAY"}
    if kind == "statement_gap":
        for index, (day, lines, _) in enumerate(plan):
            if day == arrivals["wechat"] + timedelta(days=1) or index == len(plan) - 1:
                plan[index] = (day, lines, 10_000)
                done = _injected(kind, (fault_date, payment_date), "bank", None, "gate")
                return replace(done, amount_minor=10_000)
    if kind in _BANK_ERRORS:
        for index, (day, lines, shift) in enumerate(plan):
            if day == arrivals["unionpay"]:
                line = _BANK_ERRORS[kind]
                plan[index] = (day, [*lines, line], shift)
                done = _injected(kind, (fault_date, payment_date), "bank", None, "gate")
                return replace(done, amount_minor=line.amount_minor)
    if kind in _BANK_MISTAKES:
        payer, change = _BANK_MISTAKES[kind]
        change(plan, arrivals[payer])
        return _injected(kind, (fault_date, payment_date), payer, None, "gate")
    channel = {"missing_bank_line": "unionpay", "bank_line_wrong_reference": "unionpay"}.get(kind)
    channel = "alipay" if kind == "bank_short_one_fen" else channel
    if channel is None:
        return None
    for index, (day, lines, shift) in enumerate(plan):
        if day != arrivals[channel]:
            continue
        place = next(
            number
            for number, line in enumerate(lines)
            if line.remittance_text.startswith(texts[channel])
        )
        line = lines[place]
        changed = {
            "missing_bank_line": [],
            "bank_line_wrong_reference": [replace(line, remittance_text="UPSETTLE PENDING")],
            "bank_short_one_fen": [replace(line, amount_minor=line.amount_minor - 1)],
        }[kind]
        plan[index] = (day, [*lines[:place], *changed, *lines[place + 1 :]], shift)
        off = -1 if kind == "bank_short_one_fen" else -line.amount_minor
        done = _injected(kind, (fault_date, payment_date), channel, None, "gate")
        return replace(done, amount_minor=off)
    return None


def _change_line(
    plan: Plan, day: date, text: str, change: Callable[[BankLine], list[BankLine]]
) -> None:
    """Put other lines in the place of the first of a channel on a day."""
    for index, (when, lines, shift) in enumerate(plan):
        if when == day:
            place = next(
                number for number, line in enumerate(lines) if line.remittance_text.startswith(text)
            )
            changed = change(lines[place])
            plan[index] = (when, [*lines[:place], *changed, *lines[place + 1 :]], shift)


def _line_twice(plan: Plan, day: date) -> None:
    _change_line(plan, day, "ALIPAY", lambda line: [line, line])


def _line_reversed(plan: Plan, day: date) -> None:
    _change_line(
        plan, day, "UPSETTLE", lambda line: [replace(line, amount_minor=-line.amount_minor)]
    )


def _digits_exchanged(plan: Plan, day: date) -> None:
    def exchange(line: BankLine) -> list[BankLine]:
        digits = str(line.amount_minor)
        place = next(n for n in range(1, len(digits) - 1) if digits[n] != digits[n + 1])
        other = digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :]
        return [replace(line, amount_minor=int(other))]

    _change_line(plan, day, "ALIPAY", exchange)


def _decimal_shifted(plan: Plan, day: date) -> None:
    _change_line(
        plan, day, "TENPAY", lambda line: [replace(line, amount_minor=line.amount_minor * 10)]
    )


def _line_of_another_date(plan: Plan, day: date) -> None:
    text = f"TENPAY {day + timedelta(days=1):%Y%m%d}"
    _change_line(plan, day, "TENPAY", lambda line: [replace(line, remittance_text=text)])


def _lines_exchanged(plan: Plan, day: date) -> None:
    amounts: list[int] = []
    days = (day, day + timedelta(days=1))

    def note(line: BankLine) -> list[BankLine]:
        amounts.append(line.amount_minor)
        return [line]

    for when in days:
        _change_line(plan, when, "TENPAY", note)
    for when, amount in zip(days, reversed(amounts), strict=True):

        def give(line: BankLine, amount: int = amount) -> list[BankLine]:
            return [replace(line, amount_minor=amount)]

        _change_line(plan, when, "TENPAY", give)


def _short_unsaid(plan: Plan, day: date) -> None:
    _change_line(
        plan, day, "UPSETTLE", lambda line: [replace(line, amount_minor=line.amount_minor - 12_347)]
    )


def _injected(
    kind: str, dates: tuple[date, date], channel: str, path: str | None, fails: str
) -> Injected:
    """Return the note of a fault; ``dates`` are its accounting date and its payment date."""
    return Injected(kind, INJECTIONS[kind], *dates, channel, path, fails, cause=CAUSES.get(kind))


def _remove(files: Files, path: str, _day: date) -> None:
    del files[path]


def _truncate(files: Files, path: str, _day: date) -> None:
    files[path] = files[path][: -(unionpay_files.ACOMN_BYTES // 2)]


def _cut_archive(files: Files, path: str, _day: date) -> None:
    files[path] = files[path][: len(files[path]) // 2]


def _wrong_total(files: Files, path: str, _day: date) -> None:
    """Raise the second total of the summary line (应结订单总金额) by one fen."""
    head, _, last = files[path].rstrip(b"\r\n").rpartition(b"\r\n")
    totals = last.decode("utf-8").split(",`")
    minor = int(totals[1].replace(".", "")) + 1
    totals[1] = f"{minor // 100}.{minor % 100:02d}"
    files[path] = head + b"\r\n" + ",`".join(totals).encode("utf-8") + b"\r\n"


def _double(files: Files, path: str, _day: date) -> None:
    """Send the records again under the format's older name, with LF line ends."""
    files[path.removesuffix("N")] = files[path].replace(b"\r\n", b"\n")


def _paid_record(files: Files, path: str, day: date) -> int:
    """Return which line of ACOMN is a plain purchase that the platform has on the same date."""
    vouchers = _rows(files[_vouchers_path(day)])[0]
    known = {
        row["trace_number"]
        for row in vouchers
        if row["channel"] == "unionpay" and row["transaction_type"] == "purchase"
    }
    fields = unionpay_files.fields(unionpay_files.ACOMN_WIDTHS)
    places = [(start, start + width) for start, width in (fields[2], fields[8], fields[9])]
    for number, line in enumerate(files[path].decode("gbk").splitlines()):
        trace, message, code = (line[first:last] for first, last in places)
        if trace in known and (message, code) == ("0200", "000000"):
            return number
    raise AssertionError(f"{path} has no purchase that the platform has, too")


def _lines_changed(
    files: Files, path: str, number: int, change: Callable[[bytes], list[bytes]]
) -> None:
    lines = files[path].split(b"\r\n")
    files[path] = b"\r\n".join([*lines[:number], *change(lines[number]), *lines[number + 1 :]])


def _record_left_out(files: Files, path: str, day: date) -> None:
    _lines_changed(files, path, _paid_record(files, path, day), lambda _: [])


def _record_twice(files: Files, path: str, day: date) -> None:
    _lines_changed(files, path, _paid_record(files, path, day), lambda line: [line, line])


def _record_of_another_amount(files: Files, path: str, day: date) -> None:
    start, width = unionpay_files.fields(unionpay_files.ACOMN_WIDTHS)[5]

    def above(line: bytes) -> list[bytes]:
        amount = int(line[start : start + width]) + 12_300
        return [line[:start] + b"%0*d" % (width, amount) + line[start + width :]]

    _lines_changed(files, path, _paid_record(files, path, day), above)


def _first_left_out(files: Files, path: str, _day: date) -> None:
    _lines_changed(files, path, 0, lambda _: [])


def _first_twice(files: Files, path: str, _day: date) -> None:
    _lines_changed(files, path, 0, lambda line: [line, line])


def _unknown_code(files: Files, path: str, _day: date) -> None:
    """Give the second record of ACOMN the processing code 990000 (field 10)."""
    content = bytearray(files[path])
    start = unionpay_files.ACOMN_BYTES + 2 + 106
    content[start : start + 6] = b"990000"
    files[path] = bytes(content)


def _bad_encoding(files: Files, path: str, _day: date) -> None:
    """Write the goods name of one row in GBK."""
    name = "测试商品"
    files[path] = files[path].replace(name.encode("utf-8"), name.encode("gbk"), 1)


def _wrong_trailer(files: Files, path: str, _day: date) -> None:
    head, _, last = files[path].rstrip(b"\n").rpartition(b"\n")
    rows = int(last.split(b";")[0].removeprefix(b"#rows="))
    files[path] = head + b"\n" + last.replace(b"%d;" % rows, b"%d;" % (rows + 1)) + b"\n"


def _wrong_sign(files: Files, path: str, _day: date) -> None:
    def negate(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        row = next(row for row in rows if row["transaction_type"] == "purchase")
        row["amount_minor"] = "-" + row["amount_minor"]
        return rows

    files[path] = _edit_rows(files[path], negate)


def _wrong_date(files: Files, path: str, day: date) -> None:
    def move(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        rows[0]["accounting_date"] = (day + timedelta(days=1)).isoformat()
        return rows

    files[path] = _edit_rows(files[path], move)


def _duplicate_voucher(files: Files, path: str, _day: date) -> None:
    def repeat(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        rows[1]["voucher_id"] = rows[0]["voucher_id"]
        return rows

    files[path] = _edit_rows(files[path], repeat)


def _unknown_merchant(files: Files, path: str, day: date) -> None:
    """Give one matched sale, and its accounting voucher, to a merchant without a contract."""
    chosen: dict[str, str] = {}

    def move(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        posted = {row["source_voucher_id"] for row in _rows(files[accounting_path])[0]}
        row = next(
            row
            for row in reversed(rows)
            if row["channel"] == "wechat"
            and row["transaction_type"] == "purchase"
            and row["voucher_id"] in posted
        )
        row["merchant_id"], row["account_id"] = "898000059999999", "A999999"
        chosen["voucher_id"] = row["voucher_id"]
        return rows

    def follow(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        for row in rows:
            if row["source_voucher_id"] == chosen["voucher_id"]:
                row["account_id"] = "A999999"
        return rows

    accounting_path = file_path("accounting_vouchers", day)
    files[path] = _edit_rows(files[path], move)
    files[accounting_path] = _edit_rows(files[accounting_path], follow)


def _rows(content: bytes) -> tuple[list[dict[str, str]], list[str]]:
    """Return the data rows and the column names of a platform file."""
    lines = content.decode("utf-8").splitlines()
    reader = csv.DictReader(lines[:-1])
    return list(reader), list(reader.fieldnames or [])


def _edit_rows(
    content: bytes, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]
) -> bytes:
    """Return a platform file with changed rows and a trailer that fits them."""
    rows, names = _rows(content)
    changed = change(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(changed)
    total = None
    if "amount_minor" in names:
        total = sum(int(row["amount_minor"]) for row in changed)
    return (text.getvalue() + trailer(len(changed), total)).encode("utf-8")


def _vouchers_path(day: date) -> str:
    return file_path("source_vouchers", day)


# Lines the bank books of its own, which nothing of ours explains.
_BANK_ERRORS = {
    "unordered_debit": BankLine(-70_000, "示例支付有限公司", "PAYOUT PO00000000-001-A1"),
    "interest_that_takes": BankLine(-70_000, "示例银行", "活期结息 2026年09月"),
}
_BANK_MISTAKES: dict[str, tuple[str, Callable[[Plan, date], None]]] = {
    "bank_line_twice": ("alipay", _line_twice),
    "bank_line_reversed": ("unionpay", _line_reversed),
    "bank_digits_exchanged": ("alipay", _digits_exchanged),
    "bank_decimal_shifted": ("wechat", _decimal_shifted),
    "bank_line_of_another_date": ("wechat", _line_of_another_date),
    "bank_lines_exchanged": ("wechat", _lines_exchanged),
    "bank_short_unsaid": ("unionpay", _short_unsaid),
}
_Fault = tuple[str, Callable[[date], str], Callable[[Files, str, date], None], str]
_FILE_FAULTS: dict[str, _Fault] = {
    "missing_file": ("wechat", wechat_files.bill_path, _remove, "close"),
    "truncated_file": ("unionpay", unionpay_files.acomn_name, _truncate, "close"),
    "wrong_control_total": ("wechat", wechat_files.bill_path, _wrong_total, "close"),
    "doubled_file": ("unionpay", unionpay_files.acomn_name, _double, "close"),
    "unknown_code": ("unionpay", unionpay_files.acomn_name, _unknown_code, "close"),
    "bad_encoding": ("wechat", wechat_files.bill_path, _bad_encoding, "close"),
    "corrupt_archive": ("alipay", alipay_files.bill_path, _cut_archive, "close"),
    "missing_platform_file": ("platform", _vouchers_path, _remove, "close"),
    "wrong_sign": ("platform", _vouchers_path, _wrong_sign, "close"),
    "wrong_date": ("platform", _vouchers_path, _wrong_date, "close"),
    "duplicate_voucher_id": ("platform", _vouchers_path, _duplicate_voucher, "close"),
    "wrong_trailer": ("platform", _vouchers_path, _wrong_trailer, "close"),
    "unknown_merchant": ("platform", _vouchers_path, _unknown_merchant, "close_or_gate"),
    "record_left_out": ("unionpay", unionpay_files.acomn_name, _record_left_out, "gate"),
    "record_twice": ("unionpay", unionpay_files.acomn_name, _record_twice, "gate"),
    "record_of_another_amount": (
        "unionpay",
        unionpay_files.acomn_name,
        _record_of_another_amount,
        "gate",
    ),
    "brand_fee_twice": ("unionpay", unionpay_files.alfee_name, _first_twice, "gate"),
    "brand_fee_left_out": ("unionpay", unionpay_files.alfee_name, _first_left_out, "gate"),
    "adjustment_twice": ("unionpay", unionpay_files.aerrn_name, _first_twice, "gate"),
    "adjustment_left_out": ("unionpay", unionpay_files.aerrn_name, _first_left_out, "gate"),
}
