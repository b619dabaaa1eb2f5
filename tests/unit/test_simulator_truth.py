"""The simulator's truth against the rules themselves, in plain Python, from the files alone.

The simulator states each outcome by construction. Here the files are read back and reconciled by
docs/reconciliation.md and docs/domain.md#doubt, and the balance equation is added up per arrival
group: two ways to the same answer. Neither uses Tieout's SQL or its parsers.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from tieout.simulator import bank, simulate

FIRST_DATE = date(2026, 9, 24)
DAYS = 7
SKEW = timedelta(minutes=5)
POOL = {"purchase", "refund", "void", "reversal", "preauth_completion"}
# Message type, processing code and condition code of ACOMN to (kind, direction of money).
KINDS = {
    ("0200", "00", "00"): ("purchase", 1),
    ("0220", "20", "00"): ("refund", -1),
    ("0200", "20", "00"): ("void", -1),
    ("0420", "00", "00"): ("reversal", -1),
    ("0200", "00", "06"): ("preauth_completion", 1),
    ("0100", "03", "06"): ("pre_authorisation", 0),
    ("0200", "30", "00"): ("balance_inquiry", 0),
}
TAKEN = {"E22": -1, "E20": -1, "E32": 1, "E23": 1, "E74": 1, "E30": 1, "E04": 0}


@dataclass
class Side:
    """One record of one side."""

    channel: str
    key: tuple[str, ...]
    amount: int
    at: datetime
    name: tuple[str, ...]
    kind: str
    cost: int = 0
    opened_on: date = date.min


def fen(yuan: str) -> int:
    whole, cents = yuan.strip().lstrip("-").split(".")
    return (-1 if yuan.startswith("-") else 1) * (int(whole) * 100 + int(cents[:2]))


@cache
def order_by_merchant(inbox: Path, day: date) -> dict[str, str]:
    """Return the wallets' order ids of a date by the merchants' own."""
    wallets = [(wechat_rows(inbox, day), 5, 6), (alipay_rows(inbox, day), 0, 1)]
    return {row[own]: row[order] for rows, order, own in wallets for _, row in rows}


def vouchers(inbox: Path, day: date) -> Iterator[Side]:
    path = inbox / f"platform/{day:%Y%m%d}/source_vouchers_{day:%Y%m%d}.csv"
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()[:-1]):
        at = datetime.fromisoformat(row["transaction_at"]).replace(tzinfo=None)
        midnight = datetime.combine(day, datetime.min.time())
        late = row["is_late_order"] == "true"
        assert late or midnight - timedelta(hours=1) <= at < midnight + timedelta(hours=23)
        if row["transaction_status"] != "success" or row["transaction_type"] not in POOL:
            continue
        if row["channel"] == "unionpay":
            key = (row["trace_number"], row["transmission_time"])
        else:
            order = (
                row["channel_order_id"] or order_by_merchant(inbox, day)[row["merchant_order_id"]]
            )
            key = (order, row["refund_order_id"])
        yield Side(
            row["channel"],
            key,
            int(row["amount_minor"]),
            at,
            (row["voucher_id"],),
            row["transaction_type"],
        )


def unionpay(inbox: Path, day: date) -> Iterator[Side]:
    path = f"unionpay/{day:%Y%m%d}/IND{day:%y%m%d}01ACOMN"
    for number, line in enumerate((inbox / path).read_bytes().split(b"\r\n")[:-1], start=1):
        text = line.decode("gbk")
        kind, sign = KINDS[text[101:105], text[106:108], text[156:158]]
        network = int(text[219:230]) * (1 if text[218] == "D" else -1)
        yield Side(
            "unionpay",
            (text[24:30], text[31:41]),
            sign * int(text[62:74]),
            datetime.strptime(f"{day.year}{text[31:41]}", "%Y%m%d%H%M%S"),  # noqa: DTZ007
            (path, str(number)),
            kind,
            cost=int(text[205:217]) - int(text[192:204]) + network,
        )


def wechat_path(day: date) -> str:
    return f"wechat/{day:%Y%m%d}/1900000109All{day.isoformat()}.csv"


def wechat_rows(inbox: Path, day: date) -> Iterator[tuple[int, list[str]]]:
    lines = (inbox / wechat_path(day)).read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines[1:-2], start=2):
        yield number, line.removeprefix("`").split(",`")


def wechat(inbox: Path, day: date) -> Iterator[Side]:
    path = wechat_path(day)
    kinds = {"SUCCESS": "purchase", "REFUND": "refund", "REVOKED": "void"}
    for number, row in wechat_rows(inbox, day):
        kind = kinds[row[9]]
        amount = fen(row[12]) if kind == "purchase" else -fen(row[16])
        refund = "" if row[14] == "0" else row[14]
        at = datetime.fromisoformat(row[0])
        key = (row[5], refund)
        yield Side("wechat", key, amount, at, (path, str(number)), kind, cost=fen(row[22]))


def alipay_path(day: date) -> str:
    return f"alipay/{day:%Y%m%d}/20880000000000000156_{day:%Y%m%d}.zip"


def alipay_rows(inbox: Path, day: date) -> Iterator[tuple[int, list[str]]]:
    with zipfile.ZipFile(inbox / alipay_path(day)) as archive:
        name = next(n for n in archive.namelist() if "汇总" not in n.encode("cp437").decode("gbk"))
        lines = archive.read(name).decode("gb18030").split("\r\n")
    for number, line in enumerate(lines, start=1):
        if line[:4].isdigit():
            yield number, [value.strip() for value in line.split(",")]


def alipay(inbox: Path, day: date) -> Iterator[Side]:
    path = alipay_path(day)
    for number, row in alipay_rows(inbox, day):
        kind = {"交易": "purchase", "退款": "refund"}[row[2]]
        yield Side(
            "alipay",
            (row[0], row[21]),
            fen(row[12]),
            datetime.fromisoformat(row[5]),
            (path, str(number)),
            kind,
            cost=-fen(row[22]),
        )


def take(side: Side, others: dict[tuple[object, ...], list[Side]]) -> Side | None:
    """Take the first other record with the same key and amount, oldest first."""
    found = others.get((side.channel, side.key, side.amount))
    return found.pop(0) if found else None


def by_key(sides: list[Side]) -> dict[tuple[object, ...], list[Side]]:
    grouped: dict[tuple[object, ...], list[Side]] = defaultdict(list)
    for side in sides:
        grouped[side.channel, side.key, side.amount].append(side)
    return grouped


Result = tuple[str, str, str, str, str, str]


def result(
    outcome: str, reason: str, system: Side | None, record: Side | None, opened: date | None
) -> Result:
    return (
        outcome,
        reason,
        (system or record).channel,  # type: ignore[union-attr]
        "" if system is None else system.name[0],
        "" if record is None else ":".join(record.name),
        "" if opened is None else opened.isoformat(),
    )


class Oracle:
    """Reconciles the dates in order, by the rules."""

    def __init__(self) -> None:
        self.open_system: list[Side] = []
        self.open_channel: list[Side] = []

    def reconcile(self, day: date, systems: list[Side], records: list[Side]) -> list[Result]:
        systems = sorted(systems, key=lambda side: side.at)
        records = sorted(records, key=lambda side: side.at)
        found: list[Result] = []
        paired_keys: set[tuple[str, tuple[str, ...]]] = set()
        left_system: list[Side] = []
        left_records = by_key(records)
        for system in systems:
            record = take(system, left_records)
            if record is None:
                left_system.append(system)
            else:
                paired_keys.add((system.channel, system.key))
                found.append(result("matched", "", system, record, None))
        rest = [side for sides in left_records.values() for side in sides]
        left_system, more = self._resolve(left_system, self.open_channel, "channel_resolved")
        found += more
        rest, more = self._resolve(rest, self.open_system, "system_resolved")
        found += more
        keys = Counter((s.channel, s.key) for s in left_system) & Counter(
            (s.channel, s.key) for s in rest
        )
        for side, name in ((left_system, "system"), (rest, "channel")):
            for item in side:
                identity = (item.channel, item.key)
                if identity in keys:
                    reason = "amount_mismatch"
                elif identity in paired_keys:
                    reason = "duplicate"
                else:
                    reason = ""
                doubt = not reason and self._in_doubt(name, item, day)
                item.opened_on = day
                outcome = f"{name}_{'in_doubt' if doubt else 'one_sided'}"
                pair = (item, None) if name == "system" else (None, item)
                found.append(result(outcome, reason, *pair, day))
        self.open_system += left_system
        self.open_channel += rest
        return found

    @staticmethod
    def _resolve(
        fresh: list[Side], open_items: list[Side], outcome: str
    ) -> tuple[list[Side], list[Result]]:
        """Pair fresh records with the oldest open item of the other side."""
        left, found = [], []
        for side in fresh:
            match = next(
                (
                    item
                    for item in open_items
                    if (item.channel, item.key, item.amount)
                    == (side.channel, side.key, side.amount)
                ),
                None,
            )
            if match is None:
                left.append(side)
                continue
            open_items.remove(match)
            pair = (match, side) if outcome == "system_resolved" else (side, match)
            found.append(result(outcome, "", *pair, match.opened_on))
        return left, found

    @staticmethod
    def _in_doubt(name: str, item: Side, day: date) -> bool:
        """Ruling 1: full timestamps, the channel's cutoff, the skew."""
        midnight = datetime.combine(day, datetime.min.time())
        cutoff = midnight + timedelta(hours=23)
        if name == "system":
            return item.channel == "unionpay" or item.at >= midnight
        if item.channel == "unionpay":
            return abs(item.at - cutoff) <= SKEW
        return item.at >= cutoff - SKEW


def truth(folder: Path, day: date) -> list[Result]:
    path = folder / f"truth/{day:%Y%m%d}/results.csv"
    with path.open(encoding="utf-8") as file:
        return [
            (
                row["outcome"],
                row["break_reason"],
                row["channel"],
                row["voucher_id"],
                f"{row['channel_file']}:{row['channel_line']}" if row["channel_file"] else "",
                row["opened_on"],
            )
            for row in csv.DictReader(file)
        ]


def adjustments_taken(inbox: Path, day: date) -> int:
    """Return what AERRN takes from us, fees on it included."""
    path = inbox / f"unionpay/{day:%Y%m%d}/IND{day:%y%m%d}99AERRN"
    total = 0
    for line in path.read_bytes().split(b"\r\n")[:-1]:
        receivable, payable = int(line[166:178]), int(line[179:191])
        total += TAKEN[line[:3].decode()] * int(line[66:78]) + payable - receivable
        assert int(line[218:230]) == int(line[231:243]) == 0
    return total


def brand_fees(inbox: Path, day: date) -> int:
    path = inbox / f"unionpay/{day:%Y%m%d}/IND{day:%y%m%d}99ALFEE"
    lines = path.read_bytes().split(b"\r\n")[:-1]
    return sum(int(line[320:331]) * (1 if line[319:320] == b"D" else -1) for line in lines)


@pytest.mark.parametrize(("seed", "transactions"), [(20260924, 300), (5, 1)])
def test_truth_and_equation_follow_from_the_files(
    seed: int, transactions: int, tmp_path: Path
) -> None:
    simulate(tmp_path / "inbox", seed, FIRST_DATE, DAYS, transactions, 9, [], tmp_path / "truth")
    inbox = tmp_path / "inbox"
    bank.deliver(inbox, tmp_path / "truth", date(2026, 10, 8))
    groups = json.loads((tmp_path / "truth/arrivals.json").read_text(encoding="utf-8"))
    group_of = {
        (group["channel"], accounting_date): group["arrival_group_id"]
        for group in groups
        for accounting_date in group["accounting_dates"]
    }
    assert len(group_of) == 3 * DAYS
    residual: Counter[str] = Counter()
    suspense = Counter[str]()
    oracle = Oracle()
    compared = billed_apart = 0
    for day in (FIRST_DATE + timedelta(days=number) for number in range(DAYS)):
        systems = list(vouchers(inbox, day))
        records = [*unionpay(inbox, day), *wechat(inbox, day), *alipay(inbox, day)]
        pool = [record for record in records if record.kind in POOL]
        amounts = {side.name: side.amount for side in [*systems, *pool]}
        amounts |= {side.name: side.amount for side in oracle.open_system + oracle.open_channel}
        found = oracle.reconcile(day, systems, pool)
        assert sorted(found) == sorted(truth(tmp_path, day))
        compared += len(found)
        # The equation without fees: they stand on both sides. Alipay bills its cost apart.
        for record in records:
            if record.channel == "alipay":
                billed_apart += record.cost
            else:
                residual[group_of[record.channel, day.isoformat()]] += record.cost
        group = group_of["unionpay", day.isoformat()]
        residual[group] += adjustments_taken(inbox, day) + brand_fees(inbox, day)
        for system in systems:
            residual[group_of[system.channel, day.isoformat()]] -= system.amount
        for outcome, _, channel, voucher, record_name, _ in found:
            if outcome == "matched":
                continue
            side = outcome.split("_")[0]
            name = (voucher,) if side == "system" else tuple(record_name.rsplit(":", 1))
            sign = 1 if side == "system" else -1
            sign *= -1 if outcome.endswith("resolved") else 1
            residual[group_of[channel, day.isoformat()]] += sign * amounts[name]
            suspense[side] += 1
    for group in groups:
        residual[group["arrival_group_id"]] += group["amount_minor"]
    assert compared > 7 * 60
    assert suspense["system"] > 10
    assert suspense["channel"] > 10
    assert dict(residual) == {group["arrival_group_id"]: 0 for group in groups}
    books = json.loads((tmp_path / "truth/bank/state.json").read_text(encoding="utf-8"))
    fees = [
        line["amount_minor"]
        for sent in books["fee_account"]["sent"]
        for line in sent["lines"]
        if line["kind"] == "period_fee"
    ]
    assert len(fees) == 2  # a line a week
    assert sum(fees) == -billed_apart < 0
