"""A character more in a value changes the rows, or the file is refused: no parser reads a prefix.

Of every kind of file of the platform, UnionPay and the wallets. In a text format the character goes
into the value, anywhere; in a fixed-width one into the blanks that fill its field, because a longer
record is refused for its length. Where the rows stay the same, the value has to be the same number
(0.60 and 0.600), or stand where nothing is kept: free text that may name people, and comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import channel_files as make
import institution_files as institution
import wallet_files as wallet
from defects import FORMATS
from parts import examples
from tieout.channels import registry
from tieout.channels.registry import parse_file, recognise
from tieout.channels.unionpay import institution_layouts, layouts, qr_gateway_bill
from tieout.channels.unionpay.fixed_width import Layout

DAY = make.DAY
CHANNELS = frozenset({"platform", "unionpay", "wechat", "alipay"})
# Digits, signs, marks, and what looks like one of them. Padding is tested apart, below.
ADDED = ("7", "0", "x", ".", ",", "-", "'", "/", "元", "\u3000", "\u00a0", "\u0663", "\uff17")
Rows = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Good:
    """A good file: its name in an inbox, its text, how it is packed, and of fixed width its form.

    `first` is the byte with which the first record begins.
    """

    file_name: str
    text: bytes
    pack: Callable[[bytes], bytes] = lambda text: text
    layout: Layout | None = None
    first: int = 0

    @property
    def encoding(self) -> str:
        is_gbk = self.file_name.startswith(make.PID) or self.file_name.endswith("_ALL.csv")
        return "gb18030" if is_gbk else "utf-8"

    def rows(self, text: bytes) -> Rows | None:
        """Return what is kept of a text under this name, or None where it is refused."""
        file = recognise(self.file_name)
        assert file is not None, self.file_name
        parsed = parse_file(self.pack(text), file, make.FakeVault())
        if not parsed.is_good:
            return None
        return {table: frame.write_json() for table, frame in sorted(parsed.frames.items())}


@cache
def usual_rows(good: Good) -> Rows:
    """Return what is kept of the file as it is."""
    rows = good.rows(good.text)
    assert rows, good.file_name
    return rows


# --- one good file of every kind ------------------------------------------------------------------

LAYOUTS: Mapping[str, tuple[Layout, int]] = {
    "acomn": (layouts.ACOMN, 0),
    "aerrn": (layouts.AERRN, 0),
    "alfee": (layouts.ALFEE, 0),
    "merchant_zm": (layouts.ZM, 0),
    "merchant_zme": (layouts.ZME, 0),
    "zsum": (layouts.ZSUM, 0),
    "zpsum": (layouts.ZPSUM, 0),
    "acoma": (institution_layouts.ACOMA, 0),
    "aerra": (institution_layouts.AERRA_2020, 0),
    "icomn": (institution_layouts.ICOMN, 0),
    "ierrn": (institution_layouts.IERRN, 0),
    "ilfee": (institution_layouts.ILFEE, 0),
    "upi_icomn": (institution_layouts.UPI_ICOMN, 0),
    "fcp": (institution_layouts.FCP, 0),
    "inf_accepted": (institution_layouts.INF_DETAIL, institution_layouts.INF_HEADER.length_bytes),
    "inf_rejected": (institution_layouts.INF_DETAIL, institution_layouts.INF_HEADER.length_bytes),
    "ncp_comtrx": (institution_layouts.NCP_COMTRX, len(institution.VERSION)),
    "ncp_errtrx": (institution_layouts.NCP_ERRTRX, len(institution.VERSION)),
}


def _platform(kind: str) -> Good:
    """Return a file of two rows: the schema's example, and one with another key."""
    definition = make.SCHEMA["file_kinds"][kind]
    row = {column["name"]: str(column.get("example", "")) for column in definition["columns"]}
    given = {"source_vouchers": make.VOUCHER, "payees": make.PAYEE}.get(kind, row)
    dated = {"accounting_date": DAY.isoformat()} if "accounting_date" in row else {}
    rows = [{**given, **dated}]
    if kind == "opening_balances":
        rows.append({**rows[0], "subledger_id": "other", "balance_minor": "-100000000"})
    return Good(f"{kind}_{DAY:%Y%m%d}.csv", make.platform_file(kind, rows))


@cache
def good_files() -> Mapping[tuple[str, str], Good]:
    """Return one good file of each kind of these channels."""
    found: dict[tuple[str, str], Good] = {}
    for kind in FORMATS:
        if kind.channel in CHANNELS and kind.channel != "platform":
            layout, first = LAYOUTS.get(kind.file_kind, (None, 0))
            found[kind.channel, kind.file_kind] = Good(
                kind.file_name(DAY),
                kind.unwrap(kind.good(DAY)),
                lambda text, kind=kind: kind.wrap(text, DAY),  # type: ignore[misc]
                layout,
                first,
            )
    for name in make.SCHEMA["file_kinds"]:
        found["platform", name] = _platform(name)
    merchant, day = make.WECHAT_PAYMENT["商户号"], DAY.isoformat()
    success = {name: of for name, of in make.WECHAT_TOTALS.items() if of in wallet.SUCCESS_HEADER}
    for spelled in ("Basic", "Operation", "Fees", "Deposit"):
        found["wechat", f"fund_bill_{spelled.lower()}"] = Good(
            f"{merchant}FundFlow{spelled}{day}.csv", wallet.fund_bill()
        )
    found |= {
        ("wechat", "trade_bill_success"): Good(
            f"{merchant}Success{day}.csv",
            wallet.wechat_bill([make.WECHAT_PAYMENT], header=wallet.SUCCESS_HEADER, totals=success),
        ),
        ("wechat", "trade_bill_refund"): Good(
            f"{merchant}Refund{day}.csv",
            wallet.wechat_bill([wallet.WECHAT_REFUND], header=wallet.REFUND_HEADER),
        ),
        ("unionpay", "inf_rejected"): Good(
            f"INF{DAY:%y%m%d}01R",
            institution.inf(institution.inf_detail()),
            layout=LAYOUTS["inf_rejected"][0],
            first=LAYOUTS["inf_rejected"][1],
        ),
        ("unionpay", "qr_gateway_bill"): Good(
            f"{DAY:%Y%m%d}_{DAY:%Y%m%d}_ALL.csv", wallet.qr_bill()
        ),
    }
    return found


def test_every_kind_of_these_channels_has_a_good_file() -> None:
    known = {
        (pattern.channel, pattern.file_kind)
        for pattern in registry._PATTERNS
        if pattern.channel in CHANNELS
    }
    assert len(known) > 30
    assert set(good_files()) == known
    assert {channel for channel, _ in known} == CHANNELS
    for key, good in good_files().items():
        assert usual_rows(good), key


# --- where a character goes -----------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a character may be put: from one position of the text to another, both included."""

    start: int
    end: int
    field: str = ""


CELL = re.compile(r"[^,`\r\n\t]*[^,`\r\n\t ]")


def places(good: Good) -> list[Place]:
    """Return every value of a good file; of fixed width, the blanks that fill its fields."""
    if good.layout is None:
        text = good.text.decode(good.encoding)
        return [Place(found.start(), found.end()) for found in CELL.finditer(text)]
    found = []
    for name, offset in good.layout.offsets.items():
        first = good.first + offset
        field = good.text[first : first + good.layout.widths[name]]
        filled = len(field.rstrip(b" "))
        if filled < len(field):
            found.append(Place(first + filled, first + len(field) - 1, name))
    return found


def with_character(good: Good, place: Place, position: int, added: str) -> bytes:
    """Return the text with a character more in a value."""
    if good.layout is None:
        text = good.text.decode(good.encoding)
        return (text[:position] + added + text[position:]).encode(good.encoding)
    byte = added.encode("gb18030")[:1]
    return good.text[:position] + byte + good.text[position + 1 :]


# --- where nothing is kept ------------------------------------------------------------------------

# Goods, remarks, names, and what wallets' coupons were made of.
NOT_KEPT = frozenset(
    {
        *("商品名称", "商户数据包", "费率备注", "备注", "门店名称", "券名称"),
        *("支付宝红包（元）", "集分宝（元）", "支付宝优惠（元）", "券核销金额（元）"),
        *("商家红包消费金额（元）", "卡消费金额（元）"),
    }
)
QR_NOT_KEPT = frozenset({"goods", "attached_data", "merchant_name", "cashier", "reserve"})
# What went out, which some years print with a sign and some without.
SPENT = "支出"
COMMENT = re.compile(r"#支付宝..明细查询|#-+..明细列表(?:结束)?-+|#导出时间：.*")


def is_kept_nowhere(
    kind: tuple[str, str], good: Good, place: Place, position: int, added: str
) -> bool:
    """Say whether a place is one of which nothing is kept."""
    if good.layout is not None:
        return _is_field_unread(good, good.layout, place, added)
    text = good.text.decode(good.encoding)
    begin = text.rfind("\n", 0, place.start) + 1
    line = text[begin : text.find("\n", place.start)].rstrip("\r")
    if line.startswith("#"):
        return _is_free_comment(line, added, is_at_end=position == place.end)
    mark = ",`" if line.startswith("`") else ","
    number, width = line[: place.start - begin].count(mark), len(line.split(mark))
    if kind == ("unionpay", "qr_gateway_bill"):
        names: list[str] = [name for name, _, _ in qr_gateway_bill.COLUMNS]
        return width == len(names) and names[number] in QR_NOT_KEPT
    headers = [each.rstrip("\r").split(",") for each in text.split("\n")[:6]]
    header = next(cells for cells in headers if len(cells) > 5)
    name = header[number].removeprefix("\ufeff") if width >= len(header) else ""
    is_record = line.split(mark) != header
    return is_record and (name in NOT_KEPT or (SPENT in name and added == "-"))


def _is_field_unread(good: Good, layout: Layout, place: Place, added: str) -> bool:
    """Say whether a field is stored under no name, or says before and after that it is none."""
    columns = {column for rows in usual_rows(good).values() for column in json.loads(rows)[0]}
    first = good.first + layout.offsets[place.field]
    field = good.text[first : first + layout.widths[place.field]]
    stored = {place.field, *(f"{place.field}_{end}" for end in ("minor", "token", "code"))}
    return not stored & columns or (added == "0" and not field.strip(b" 0"))


def _is_free_comment(line: str, added: str, *, is_at_end: bool) -> bool:
    if line.startswith("#rows="):
        # Of a file without a control column the sum is nothing, or 0.
        return line.endswith("=") and added == "0"
    # Excel fills comment lines up with commas.
    is_padding = added == "," and is_at_end
    return bool(COMMENT.fullmatch(line)) or is_padding or (SPENT in line and added == "-")


NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


def is_same_number(before: str, after: str) -> bool:
    """Say whether two texts differ only in how their numbers are written."""
    return _numbers(before) == _numbers(after)


def _numbers(text: str) -> tuple[str, list[Decimal]]:
    try:
        found = [Decimal(number) for number in NUMBER.findall(text)]
    except InvalidOperation:
        return text, []
    return NUMBER.sub("9", text), found


def check(kind: tuple[str, str], good: Good, place: Place, position: int, added: str) -> bool:
    """Put a character in; return whether the file is accepted.

    Raises:
        AssertionError: the rows are as before, although the value is another.
    """
    text = with_character(good, place, position, added)
    kept = good.rows(text)
    if kept is None or kept != usual_rows(good):
        return kept is not None
    before, after = (each.decode(good.encoding, "replace") for each in (good.text, text))
    if good.layout is None and is_same_number(
        before[place.start : place.end], after[place.start : place.end + len(added)]
    ):
        return True
    assert is_kept_nowhere(kind, good, place, position, added), (
        f"{good.file_name}: {added!r} in {before[max(0, place.start - 30) : place.end]!r} "
        f"(field {place.field!r}) is lost, and nobody is told"
    )
    return True


@pytest.mark.parametrize("kind", sorted(good_files()), ids="/".join)
def test_a_character_more_is_kept_or_refused(kind: tuple[str, str]) -> None:
    good = good_files()[kind]
    found = places(good)
    assert found

    @hypothesis_settings(
        deadline=None, max_examples=examples(25), suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(found))
        position = data.draw(st.integers(place.start, place.end))
        check(kind, good, place, position, data.draw(st.sampled_from(ADDED)))

    holds()


@pytest.mark.parametrize("kind", sorted(good_files()), ids="/".join)
def test_a_character_behind_each_value_is_kept_or_refused(kind: tuple[str, str]) -> None:
    """Every value once: where a pattern ends is where a value would be cut."""
    good = good_files()[kind]
    for place in places(good):
        check(kind, good, place, place.end if good.layout is None else place.start, "7")


def everywhere() -> Iterator[tuple[str, int, int]]:
    """Yield kind, places and outcomes of every character behind and in front of every value."""
    for kind, good in sorted(good_files().items()):
        found = places(good)
        tried = [
            check(kind, good, place, position, added)
            for place in found
            for position in {place.start, place.end}
            for added in ADDED
        ]
        yield "/".join(kind), len(found), len(tried)


def test_padding_is_blanks_and_tabs_and_nothing_else() -> None:
    """What Alipay and Excel put around a value is dropped; what only looks blank is not."""
    good = good_files()["wechat", "trade_bill"]
    amount = b",`200.00,"
    assert good.text.count(amount) > 0
    usual = usual_rows(good)
    for padding in (" ", "\t", " \t "):
        padded = good.text.replace(amount, f",`{padding}200.00{padding},".encode())
        assert good.rows(padded) == usual, padding
    for other in ("\u3000", "\u00a0", "\x0b", "\u2003"):
        assert good.rows(good.text.replace(amount, f",`200.00{other},".encode())) is None, other
