"""Changes files of a simulated home as their sender would: totals, trailers and balances agree.

A platform file ends with its count and sum, a WeChat bill with its totals, a bank statement with
its closing balance. Whoever lies about a row writes those too.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from attack_world import World

Row = dict[str, str]
_SUMMED = {"opening_balances": "balance_minor"}
_UNIONPAY_AMOUNT = slice(62, 74)
_UNIONPAY_TRACE = slice(24, 30)
_WECHAT_TOTALS = {
    "应结订单总金额": "应结订单金额",
    "退款总金额": "退款金额",
    "手续费总金额": "手续费",
    "订单总金额": "订单金额",
    "申请退款总金额": "申请退款金额",
}
# How the bank's lines name the channels.
BANK_NAMES = {"unionpay": "UPSETTLE", "wechat": "TENPAY", "alipay": "ALIPAY"}


# --- the platform -------------------------------------------------------------------------------


def platform_path(world: World, kind: str, day: date) -> Path:
    """Return where the platform's file of a kind and date lies."""
    return world.inbox / "platform" / f"{day:%Y%m%d}" / f"{kind}_{day:%Y%m%d}.csv"


def read_platform(path: Path) -> list[Row]:
    """Return a platform file's rows."""
    text = path.read_text(encoding="utf-8")
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    return list(csv.DictReader(io.StringIO(body)))


def write_platform(path: Path, kind: str, rows: list[Row], header: list[str]) -> None:
    """Write a platform file, its trailer as its rows say."""
    column = _SUMMED.get(kind, "amount_minor")
    total = str(sum(int(row[column] or 0) for row in rows)) if column in header else ""
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"{text.getvalue()}#rows={len(rows)};amount_minor_sum={total}\n", encoding="utf-8"
    )


@contextmanager
def platform(world: World, kind: str, day: date) -> Iterator[list[Row]]:
    """Give a platform file's rows to be changed, and write what they are afterwards."""
    path = platform_path(world, kind, day)
    header = path.read_text(encoding="utf-8").splitlines()[0].split(",")
    rows = read_platform(path)
    yield rows
    write_platform(path, kind, rows, header)


@contextmanager
def vouchers(world: World, day: date) -> Iterator[list[Row]]:
    """Give the source vouchers of a date to be changed; what the platform booked follows them."""
    path = platform_path(world, "source_vouchers", day)
    before = {row["voucher_id"]: row for row in read_platform(path)}
    with platform(world, "source_vouchers", day) as rows:
        yield rows
    after = {row["voucher_id"]: row for row in read_platform(path)}
    with platform(world, "accounting_vouchers", day) as booked:
        booked[:] = [row for row in booked if row["source_voucher_id"] in after]
        for row in booked:
            source = after[row["source_voucher_id"]]
            row["account_id"], row["amount_minor"] = source["account_id"], source["amount_minor"]
        for voucher_id in sorted(after.keys() - before.keys()):
            source = after[voucher_id]
            booked.append(
                {
                    "accounting_voucher_id": f"B{voucher_id[1:]}",
                    "accounting_date": source["accounting_date"],
                    "source_voucher_id": voucher_id,
                    "account_id": source["account_id"],
                    "currency_code": source["currency_code"],
                    "amount_minor": source["amount_minor"],
                    "booked_at": source["transaction_at"],
                }
            )


def invented(like: Row, number: int, **changes: str) -> Row:
    """Return a voucher like another, with keys that nobody else knows."""
    row = {
        **like,
        "voucher_id": f"{like['voucher_id'][:9]}{90_000_000 + number:08d}",
        "merchant_order_id": f"M{number:017d}",
    }
    for name, text in (
        ("channel_order_id", f"99{number:026d}"),
        ("refund_order_id", f"98{number:027d}"),
        ("trace_number", f"{900_000 + number}"),
        ("retrieval_reference_number", f"99{number:010d}"),
    ):
        if row[name]:
            row[name] = text
    return {**row, **changes}


# --- the channels -------------------------------------------------------------------------------


def wechat_path(world: World, day: date) -> Path:
    """Return where WeChat's trade bill of a date lies."""
    (path,) = (world.inbox / "wechat" / f"{day:%Y%m%d}").glob("*All*.csv")
    return path


@contextmanager
def wechat(world: World, day: date) -> Iterator[list[Row]]:
    """Give a WeChat bill's rows to be changed; its totals follow them."""
    path = wechat_path(world, day)
    lines = path.read_text(encoding="utf-8").splitlines()
    header, titles = lines[0].split(","), lines[-2].split(",")
    rows = [_backticked(header, line) for line in lines[1:-2]]
    totals = _backticked(titles, lines[-1])
    before = _wechat_sums(rows)
    yield rows
    after = _wechat_sums(rows)
    totals["总交易单数"] = str(len(rows))
    for title, places in ((title, "0.00000" if "手续费" in title else "0.00") for title in before):
        changed = Decimal(totals[title]) + after[title] - before[title]
        totals[title] = str(changed.quantize(Decimal(places)))
    written = [
        lines[0],
        *(",".join(f"`{row[name]}" for name in header) for row in rows),
        lines[-2],
        ",".join(f"`{totals[name]}" for name in titles),
    ]
    path.write_text("\r\n".join(written) + "\r\n", encoding="utf-8")


def _backticked(header: list[str], line: str) -> Row:
    return dict(zip(header, line.removeprefix("`").split(",`"), strict=True))


def _wechat_sums(rows: list[Row]) -> dict[str, Decimal]:
    return {
        title: sum((Decimal(row[column] or 0) for row in rows), Decimal(0))
        for title, column in _WECHAT_TOTALS.items()
    }


@contextmanager
def unionpay(world: World, day: date) -> Iterator[list[bytes]]:
    """Give the lines of UnionPay's ACOMN to be changed; the format has no totals."""
    (path,) = (world.inbox / "unionpay" / f"{day:%Y%m%d}").glob("*ACOMN")
    lines = path.read_bytes().splitlines(keepends=True)
    yield lines
    path.write_bytes(b"".join(lines))


def with_unionpay_amount(line: bytes, amount_minor: int) -> bytes:
    """Return an ACOMN line with another amount."""
    end = _UNIONPAY_AMOUNT.stop
    return line[: _UNIONPAY_AMOUNT.start] + f"{amount_minor:012d}".encode() + line[end:]


def unionpay_amount(line: bytes) -> int:
    """Return the amount of an ACOMN line, fen."""
    return int(line[_UNIONPAY_AMOUNT])


def unionpay_trace(line: bytes) -> str:
    """Return the trace number of an ACOMN line."""
    return line[_UNIONPAY_TRACE].decode()


# --- the bank -----------------------------------------------------------------------------------


@contextmanager
def bank_morning(world: World, day: date) -> Iterator[list[dict[str, Any]]]:
    """Give the lines of the reserve's morning statement of ``day`` to be changed.

    The statement is taken back where it was sent already; `World.pay` has it sent again.
    """
    path = world.settings.truth_dir / "bank" / "state.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    if state["sent"] and state["sent"][-1]["statement_date"] == day.isoformat():
        (world.inbox / state["sent"].pop()["path"]).unlink()
    (plan,) = [plan for plan in state["planned"] if plan["statement_date"] == day.isoformat()]
    yield plan["lines"]
    path.write_text(json.dumps(state, ensure_ascii=False, indent=1), encoding="utf-8")


def of_channel(channel: str) -> Callable[[dict[str, Any]], bool]:
    """Return a test for a bank line that pays a channel's arrival."""
    name = BANK_NAMES[channel]
    return lambda line: name in line["remittance_text"]


# --- reading ------------------------------------------------------------------------------------


def read_wechat(inbox: Path, day: date) -> list[Row]:
    """Return the rows of a WeChat bill."""
    (path,) = (inbox / "wechat" / f"{day:%Y%m%d}").glob("*All*.csv")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [_backticked(lines[0].split(","), line) for line in lines[1:-2]]


def read_unionpay(inbox: Path, day: date) -> list[bytes]:
    """Return the lines of an ACOMN."""
    (path,) = (inbox / "unionpay" / f"{day:%Y%m%d}").glob("*ACOMN")
    return path.read_bytes().splitlines(keepends=True)


def unionpay_time(line: bytes) -> str:
    """Return the transmission time of an ACOMN line."""
    return line[31:41].decode()


def read_alipay(inbox: Path, day: date) -> list[Row]:
    """Return the rows of Alipay's detail."""
    (path,) = (inbox / "alipay" / f"{day:%Y%m%d}").glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        texts = [archive.read(name).decode("gbk") for name in archive.namelist()]
    lines = next(text for text in texts if "\n支付宝交易号" in text).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("支付宝交易号"))
    header = [title.strip() for title in lines[start].split(",") if title.strip()]
    found = []
    for line in lines[start + 1 :]:
        if line.startswith("#"):
            break
        found.append(dict(zip(header, (text.strip() for text in line.split(",")), strict=False)))
    return found
