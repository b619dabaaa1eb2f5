"""The simulator's files: deterministic, in the real formats, with every kind of ordinary life."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections import Counter
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xmlschema
from lxml import etree

from samples_folder import SAMPLES, needs_samples
from tieout.core.errors import TieoutError
from tieout.simulator import INJECTIONS, Funds, bank, simulate
from tieout.simulator.bank import BankLine, BankLineDetail
from tieout.simulator.identifiers import (
    card_number,
    cnaps_check_digit,
    is_luhn_valid,
    merchant_codes,
)
from tieout.simulator.world import CYCLES, build_world, contract_rows

FIRST_DATE = date(2026, 9, 24)
SCHEMA = SAMPLES / "schemas" / "camt.053.001.08.xsd"
PLATFORM_SCHEMA = (
    Path(__file__).parents[2] / "plugins/tieout/channels/platform/platform_schema.json"
)
OUTCOMES = {
    "matched",
    "system_in_doubt",
    "system_one_sided",
    "system_resolved",
    "channel_in_doubt",
    "channel_one_sided",
    "channel_resolved",
}


def make(
    folder: Path,
    seed: int = 7,
    days: int = 7,
    inject: tuple[str, ...] = (),
    *,
    merchants: int = 9,
    funds: Funds | None = None,
) -> Path:
    """Simulate a small week into ``folder``; return it."""
    simulate(
        folder / "inbox", seed, FIRST_DATE, days, 90, merchants, inject, folder / "truth",
        funds=funds,
    )  # fmt: skip
    return folder


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file by its path in ``folder``."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def results(folder: Path) -> pl.DataFrame:
    """Return the truth of all dates."""
    parts = [
        pl.read_csv(path, infer_schema=False).with_columns(accounting_date=pl.lit(path.parent.name))
        for path in sorted((folder / "truth").glob("*/results.csv"))
    ]
    return pl.concat(parts)


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One simulated week."""
    return make(tmp_path_factory.mktemp("week"))


def test_the_same_arguments_give_the_same_bytes(week: Path, tmp_path: Path) -> None:
    first = digests(week)
    assert len(first) > 90
    assert digests(make(tmp_path / "again")) == first
    other = digests(make(tmp_path / "other", seed=8))
    assert (
        other["inbox/unionpay/20260924/IND26092401ACOMN"]
        != (first["inbox/unionpay/20260924/IND26092401ACOMN"])
    )


def test_a_date_does_not_depend_on_how_many_follow(week: Path, tmp_path: Path) -> None:
    short = digests(make(tmp_path, days=3))
    of_first_two = [
        path for path in short if re.match(r"inbox/(unionpay|wechat|alipay)/2026092[45]", path)
    ]
    assert len(of_first_two) == 10
    assert {path: short[path] for path in of_first_two} == {
        path: digests(week)[path] for path in of_first_two
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_seed_has_all_seven_outcomes_and_breaks(seed: int, tmp_path: Path) -> None:
    simulate(tmp_path / "inbox", seed, FIRST_DATE, 4, 1, 1, [], tmp_path / "truth")
    truth = results(tmp_path)
    assert set(truth["outcome"]) == OUTCOMES
    reasons = set(truth["break_reason"].drop_nulls())
    assert reasons == {"amount_mismatch", "duplicate"}
    for side in ("system_one_sided", "channel_one_sided"):
        duplicated = (pl.col("outcome") == side) & (pl.col("break_reason") == "duplicate")
        assert truth.filter(duplicated).height, f"no duplicate on the side of {side}"


def test_every_channel_is_open_in_both_directions(week: Path) -> None:
    truth = results(week)
    for channel in ("unionpay", "wechat", "alipay"):
        seen = set(truth.filter(pl.col("channel") == channel)["outcome"])
        assert {"matched", "system_in_doubt", "channel_in_doubt", "channel_one_sided"} <= seen


def test_the_week_has_its_adjustments_and_catch_ups(week: Path) -> None:
    days = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((week / "truth").glob("*/day.json"))
    ]
    assert len(days) == 7
    codes = Counter(item["adjustment_code"] for day in days for item in day["adjustments"])
    assert set(codes) == {"E04", "E20", "E22", "E23", "E30", "E32", "E74"}
    dispositions = {item["disposition"] for day in days for item in day["adjustments"]}
    assert dispositions == {"applied_to_open_item", "charged", "suspended", "no_funds", "fee"}
    assert all(day["catch_up_voucher_ids"] for day in days)


def test_disputes_go_to_their_end_where_a_simulation_asks_for_them(tmp_path: Path) -> None:
    """Of the chargebacks one is charged again, one stays represented, one nobody represents."""
    folder = make(tmp_path, funds=Funds(disputes=True))
    stages: dict[int, list[str]] = {}
    for path in sorted((folder / "truth").glob("*/day.json")):
        for item in json.loads(path.read_text(encoding="utf-8"))["adjustments"]:
            if item["adjustment_code"] in {"E23", "E24", "E25"}:
                assert item["disposition"] == "charged"
                amount = abs(item["funds_effect_minor"])
                stages.setdefault(amount, []).append(item["adjustment_code"])
    assert sorted(stages.values()) == [["E23"], ["E23", "E24"], ["E23", "E24", "E25"]]
    truth = results(folder)
    again = truth.filter(pl.col("scene") == "paid_again")
    assert again.height == 7
    assert set(again["outcome"]) == {"matched"}


def test_merchants_are_paid_by_the_week_and_month_where_a_simulation_asks_for_it() -> None:
    first = date(2026, 9, 24)
    usual, asked = (
        contract_rows(build_world(7, first, 7, 100, 12, has_cycles=has_cycles))
        for has_cycles in (False, True)
    )
    assert {row["settlement_cycle"] for row in usual} == {"T+1"}
    assert {row["settlement_cycle"] for row in asked} == set(CYCLES)
    as_usual = [{**row, "settlement_cycle": "T+1"} for row in asked]
    assert as_usual == usual, "nothing else changes"


@pytest.mark.parametrize(("suffix", "width"), [("ACOMN", 500), ("AERRN", 545), ("ALFEE", 460)])
def test_unionpay_records_have_the_format_s_width(week: Path, suffix: str, width: int) -> None:
    files = sorted((week / "inbox/unionpay").glob(f"*/*{suffix}"))
    assert len(files) == 7
    records = [line for path in files for line in path.read_bytes().split(b"\r\n")[:-1]]
    assert records
    assert {len(record) for record in records} == {width}


def test_wechat_rows_and_summary_agree(week: Path) -> None:
    files = sorted((week / "inbox/wechat").glob("*/*.csv"))
    assert len(files) == 7
    for path in files:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = [line.removeprefix("`").split(",`") for line in lines[1:-2]]
        assert rows
        assert {len(row) for row in rows} == {27}
        summary = lines[-1].removeprefix("`").split(",`")
        # 应结订单金额, 退款金额, 充值券退款金额, 手续费, 订单金额, 申请退款金额
        totals = [fen(row_sum(rows, place)) for place in (13, 17, 18, 23, 25, 26)]
        assert [int(summary[0]), *map(fen, summary[1:])] == [len(rows), *totals]
        assert any(row[9] == "REFUND" and row[22].startswith("-") for row in rows)


def fen(yuan: str) -> int:
    """Return yuan with two or more decimals in fen."""
    whole, cents = yuan.lstrip("-").split(".")
    assert set(cents[2:]) <= {"0"}
    return (-1 if yuan.startswith("-") else 1) * (int(whole) * 100 + int(cents[:2]))


def row_sum(rows: list[list[str]], place: int) -> str:
    """Return the sum of a column (from 1), printed in yuan."""
    total = sum(fen(row[place - 1]) for row in rows)
    return f"{'-' if total < 0 else ''}{abs(total) // 100}.{abs(total) % 100:02d}"


def test_alipay_archives_are_as_alipay_makes_them(week: Path) -> None:
    files = sorted((week / "inbox/alipay").glob("*/*.zip"))
    assert len(files) == 7
    for path in files:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename.encode("cp437").decode("gbk") for member in members]
            assert all(not member.flag_bits & 0x800 for member in members)
            detail = next(m for m, name in zip(members, names, strict=True) if "汇总" not in name)
            lines = archive.read(detail).decode("gb18030").split("\r\n")
        rows = [line.split(",") for line in lines if line[:4].isdigit()]
        assert rows
        assert {len(row) for row in rows} == {25}
        assert {row[2].strip() for row in rows} == {"交易", "退款"}
        paid = sum(fen(row[12]) for row in rows if row[2].strip() == "交易")
        stated = re.search(r"#交易合计：(\d+)笔，商家实收共([\d.]+)元", "\n".join(lines))
        assert stated is not None
        assert fen(stated[2]) == paid


def test_platform_files_follow_the_schema(week: Path) -> None:
    kinds = json.loads(PLATFORM_SCHEMA.read_text(encoding="utf-8"))["file_kinds"]
    for kind, definition in kinds.items():
        files = sorted((week / "inbox/platform").glob(f"*/{kind}_*.csv"))
        assert len(files) == (1 if kind == "opening_balances" else 7)
        for path in files:
            *lines, trailer = path.read_text(encoding="utf-8").splitlines()
            rows = list(csv.DictReader(lines))
            assert next(csv.reader(io.StringIO(lines[0]))) == [
                column["name"]
                for column in definition["columns"]
                if not column.get("optional") or column["name"] == "merchant_category_code"
            ]
            check_rows(rows, definition["columns"])
            control = definition["control_total_column"]
            total = "" if control is None else sum(int(row[control]) for row in rows)
            assert trailer == f"#rows={len(rows)};amount_minor_sum={total}"


def check_rows(rows: list[dict[str, str]], columns: list[dict[str, Any]]) -> None:
    """Assert required values, allowed values and patterns."""
    for column in columns:
        values = [row.get(column["name"]) or "" for row in rows]
        present = [value for value in values if value]
        if column["required"]:
            assert len(present) == len(values), column["name"]
        if "allowed" in column:
            assert set(present) <= set(column["allowed"]), column["name"]
        if "pattern" in column:
            assert all(re.search(column["pattern"], value) for value in present), column["name"]


def test_the_contract_page_says_what_the_schema_says() -> None:
    page = (Path(__file__).parents[2] / "docs/formats/platform.md").read_text(encoding="utf-8")
    kinds = json.loads(PLATFORM_SCHEMA.read_text(encoding="utf-8"))["file_kinds"]
    assert len(kinds) == 9
    for kind, definition in kinds.items():
        section = page.split(f"\n## {kind}\n")[1].split("\n## ")[0]
        cells = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
        written = [(row[0].strip("| `"), row[1]) for row in cells]
        assert written == [(column["name"], column["type"]) for column in definition["columns"]]
        for row, column in zip(cells, definition["columns"], strict=True):
            if "required_when" in column:
                assert row[2].startswith("for "), column["name"]
            else:
                assert row[2] == ("yes" if column["required"] else "no"), column["name"]
            assert all(f"`{value}`" in row[3] for value in column.get("allowed", []))


def half_up(amount: int, rate: Decimal) -> int:
    """Return a share of an amount, rounded half up to the fen."""
    return int((amount * rate).quantize(Decimal(1), ROUND_HALF_UP))


def test_costs_follow_the_public_tariff(week: Path) -> None:
    lines = [
        line
        for path in sorted((week / "inbox/unionpay").glob("*/*ACOMN"))
        for line in path.read_text("gbk").splitlines()
    ]
    seen = Counter[str]()
    for line in lines:
        amount, receivable, payable = int(line[62:74]), int(line[192:204]), int(line[205:217])
        network = int(line[219:230]) * (1 if line[218] == "D" else -1)
        kind = line[101:105] + line[106:108]
        if kind in {"010003", "020030"}:
            assert (receivable, payable, network) == (0, 0, 0 if kind == "010003" else 10)
            continue
        debit = line[42:48] == "621626"
        # Basis points: foreign 110, debit 35 with a cap of 13 CNY, credit 45; half up.
        rate = 110 if line[264] == "1" else 35 if debit else 45
        interchange = half_up(amount, Decimal(rate) / 10_000)
        interchange = min(interchange, 1_300) if debit else interchange
        half = min(half_up(amount, Decimal("0.000325")), 325)
        expected = (0, interchange, half) if kind == "020000" else (interchange, 0, -half)
        assert (receivable, payable, network) == expected
        seen[kind] += 1
    assert set(seen) == {"020000", "022020", "020020", "042000"}


def test_refunds_never_exceed_their_original(week: Path) -> None:
    rows = [
        row
        for path in sorted((week / "inbox/platform").glob("*/source_vouchers_*.csv"))
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()[:-1])
    ]
    vouchers = {row["voucher_id"]: row for row in rows}
    assert len(vouchers) == len(rows)
    refunds = [row for row in rows if row["transaction_type"] == "refund"]
    assert any(int(row["original_refunded_before_minor"]) > 0 for row in refunds)
    given_back: Counter[str] = Counter()
    for row in refunds:
        original = vouchers[row["original_voucher_id"]]
        assert original["amount_minor"] == row["original_amount_minor"]
        assert original["transaction_at"] == row["original_transaction_at"]
        assert original["account_id"] == row["account_id"]
        assert original["channel_order_id"] == row["channel_order_id"]
        assert int(row["original_refunded_before_minor"]) == given_back[original["voucher_id"]]
        given_back[original["voucher_id"]] -= int(row["amount_minor"])
    assert all(
        given <= int(vouchers[voucher]["amount_minor"]) for voucher, given in given_back.items()
    )


def test_card_numbers_stand_only_in_unionpay_s_files(week: Path) -> None:
    cards = set()
    for path in sorted((week / "inbox/unionpay").glob("*/*ACOMN")):
        cards |= {line[42:61].strip() for line in path.read_text("gbk").splitlines()}
    assert len(cards) > 50
    assert all(is_luhn_valid(card) for card in cards)
    for path in sorted(week.rglob("*")):
        if path.is_file() and "unionpay" not in path.parts and path.suffix != ".zip":
            text = path.read_text("utf-8")
            assert not any(card in text for card in cards), path


def statements(folder: Path) -> list[tuple[str, int, int, int]]:
    """Return (name, opening, closing, sum of entries) of each statement in the order sent."""
    found = []
    for path in sorted((folder / "inbox/bank").glob("*/camt053_*.xml")):
        root = etree.parse(path).getroot()
        ns = {"c": bank.NAMESPACE}
        opening, closing = (signed(balance) for balance in root.findall(".//c:Bal", ns))
        entries = sum(signed(entry) for entry in root.findall(".//c:Ntry", ns))
        found.append((path.name, opening, closing, entries))
    return found


def signed(element: Any) -> int:
    """Return an element's amount in fen, credits positive."""
    ns = {"c": bank.NAMESPACE}
    amount = fen(element.findtext("c:Amt", namespaces=ns))
    return amount if element.findtext("c:CdtDbtInd", namespaces=ns) == "CRDT" else -amount


def test_the_bank_sends_statements_in_a_chain_whenever_it_is_asked(tmp_path: Path) -> None:
    make(tmp_path)
    inbox, truth = tmp_path / "inbox", tmp_path / "truth"
    sent = statements(tmp_path)
    assert [name[-14:-6] for name, *_ in sent] == ["20260925", "20260926", "20260927", "20260928"]
    payout = BankLine(
        -300,
        "代付",
        "PAYOUT M1",
        (BankLineDetail(-100, "E1", "甲"), BankLineDetail(-200, "E2", "乙")),
        batch_message_id="M1",
    )
    first = bank.write_statement(inbox, truth, date(2026, 9, 28), [payout], reference="M1")
    assert first.endswith("20260928_2.xml")
    assert bank.write_statement(inbox, truth, date(2026, 9, 28), [payout], reference="M1") == first
    bank.deliver(inbox, truth, date(2026, 10, 8))
    # Answered late: booked on the last date that was sent.
    late = bank.write_statement(inbox, truth, date(2026, 9, 29), [payout], reference="M2")
    assert late.endswith("20261008_2.xml")
    assert bank.deliver(inbox, truth, date(2026, 10, 8)) == []
    chain = statements(tmp_path)
    assert len(chain) == 10
    assert all(opening + entries == closing for _, opening, closing, entries in chain)
    assert all(after[1] == before[2] for before, after in pairwise(chain))
    assert bank.closing_balance(truth) == chain[-1][2]
    opening = json.loads((truth / "bank/state.json").read_text())["opening_balance_minor"]
    assert chain[0][1] == opening
    # The same simulation again leaves the bank's statements as they are.
    before = digests(inbox)
    make(tmp_path)
    assert digests(inbox) == before


@needs_samples
def test_statements_are_valid_against_the_iso_schema(tmp_path: Path) -> None:
    make(tmp_path)
    inbox, truth = tmp_path / "inbox", tmp_path / "truth"
    bank.write_statement(
        inbox,
        truth,
        date(2026, 9, 28),
        [
            BankLine(-5, "代付", "PAYOUT M&1", (BankLineDetail(-5, "E1", "<甲>"),), "M&1"),
            BankLine(
                5, "退票", "RETURN", (BankLineDetail(5, "E1", "甲", None, "AC04"),), None, True
            ),
            BankLine(-7, "中国银联股份有限公司", "UPSETTLE 20260928"),
        ],
    )
    schema = xmlschema.XMLSchema(str(SCHEMA))
    files = sorted((inbox / "bank").glob("*/camt053_*.xml"))
    assert len(files) == 5
    for path in files:
        schema.validate(str(path))


def test_the_reference_data_says_what_the_simulated_channels_do() -> None:
    """Who bills apart, how often and from which account stands in the seeds; one place each."""
    folder = Path(__file__).resolve().parents[2] / "dbt_project/seeds/reference"

    def rows(name: str) -> list[dict[str, str]]:
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    apart = [row["channel"] for row in rows("channels") if row["cost_billing"] == "billed_apart"]
    bills = rows("channel_cost_bills")
    assert apart == [row["channel"] for row in bills] == ["alipay"]
    assert bills[0]["bill_period"] == "week"
    kinds = {row["bank_account_id"]: row["account_kind"] for row in rows("bank_accounts")}
    assert kinds == {
        bank.BANK_ACCOUNT_ID: "client_reserve",
        bank.FEE_ACCOUNT_ID: "fee",
        bank.OWN_FUNDS_ACCOUNT_ID: "own_funds",
    }
    assert bills[0]["bank_account_id"] == bank.FEE_ACCOUNT_ID


def test_own_funds_have_statements_and_the_reserve_nothing_of_ours(tmp_path: Path) -> None:
    make(tmp_path, funds=Funds(own_funds=True))
    inbox, truth = tmp_path / "inbox", tmp_path / "truth"
    (path,) = inbox.glob("platform/*/opening_balances_*.csv")
    opened = csv.DictReader(path.read_text(encoding="utf-8").splitlines()[:-1])
    balances = {row["ledger_account"]: int(row["balance_minor"]) for row in opened}
    assert "client_reserve_bank" not in balances
    assert balances["own_funds_bank"] > 10**8
    assert sum(balances.values()) == 0
    bank.deliver(inbox, truth, date(2026, 9, 30))
    sent = bank.transfer_own_money(inbox, truth, date(2026, 9, 30), "OWN TOPUP OM000001", 700)
    assert bank.transfer_own_money(inbox, truth, date(2026, 9, 30), "OWN TOPUP OM000001", 700) == (
        sent
    )
    own = json.loads((truth / "bank/state.json").read_text(encoding="utf-8"))["own_funds"]
    shown = [
        (each["statement_date"], line["kind"], line["amount_minor"])
        for each in own["sent"]
        for line in each["lines"]
    ]
    assert shown == [
        ("2026-09-25", "advance", -5_000),
        ("2026-09-27", "advance", -8_000),
        ("2026-09-30", "own_transfer", -700),
    ]
    assert own["sent"][0]["statement_date"] == "2026-09-24"
    assert own["sent"][-1]["closing_balance_minor"] == balances["own_funds_bank"] - 13_700


def test_arrivals_in_three_lines_have_the_same_sum(tmp_path: Path) -> None:
    def lines(folder: Path) -> dict[str, list[int]]:
        state = json.loads((folder / "truth/bank/state.json").read_text(encoding="utf-8"))
        found: dict[str, list[int]] = {}
        for plan in state["planned"]:
            for line in plan["lines"]:
                found.setdefault(line["about"], []).append(line["amount_minor"])
        return found

    ordinary = lines(make(tmp_path / "ordinary"))
    three = lines(make(tmp_path / "three", funds=Funds(three_arrivals=True)))
    assert {key: sum(amounts) for key, amounts in ordinary.items()} == {
        key: sum(amounts) for key, amounts in three.items()
    }
    assert {len(amounts) for amounts in three.values()} == {3}
    assert [key for key, amounts in ordinary.items() if len(amounts) == 3] == [
        "unionpay-20260929-CNY"
    ]


def test_each_merchant_sells_each_day_when_asked(tmp_path: Path) -> None:
    folder = make(tmp_path, merchants=40, funds=Funds(every_merchant=True), days=2)
    for path in sorted((folder / "inbox/platform").glob("*/source_vouchers_*.csv")):
        rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines()[:-1])
        assert len({row["account_id"] for row in rows}) >= 39


def test_a_return_of_the_next_morning_comes_once_and_first(tmp_path: Path) -> None:
    make(tmp_path)
    inbox, truth = tmp_path / "inbox", tmp_path / "truth"
    line = BankLine(5, "退票", "RETURN", (BankLineDetail(5, "E1", "甲", None, "AC04"),), None, True)
    for day, reference in (
        (date(2026, 9, 29), "M1"),
        (date(2026, 9, 29), "M1"),
        (date(2026, 10, 9), "M2"),
    ):
        bank.plan_morning(truth, day, [line], reference)
    bank.deliver(inbox, truth, date(2026, 10, 9))
    state = json.loads((truth / "bank/state.json").read_text(encoding="utf-8"))
    with_return = [
        sent["statement_date"]
        for sent in state["sent"]
        for each in sent["lines"]
        if each["payouts"] == ["E1"]
    ]
    assert with_return == ["2026-09-29", "2026-10-09"]


def test_another_simulation_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    before = digests(make(tmp_path, days=2))
    with pytest.raises(TieoutError, match="another simulation"):
        make(tmp_path, seed=9, days=2)
    assert digests(tmp_path) == before


@pytest.mark.parametrize("kind", sorted(INJECTIONS))
def test_an_injection_changes_its_date_and_says_what_must_follow(kind: str, tmp_path: Path) -> None:
    clean = make(tmp_path / "clean", days=3)
    faulty = make(tmp_path / "faulty", days=3, inject=(kind,))
    for folder in (clean, faulty):
        bank.deliver(folder / "inbox", folder / "truth", date(2026, 9, 28))
    noted = json.loads((faulty / "truth/injections.json").read_text(encoding="utf-8"))
    assert [item["kind"] for item in noted] == [kind]
    assert noted[0]["accounting_date"] == "2026-09-25"
    assert noted[0]["fails"] in {"close", "close_or_gate", "gate"}
    changed = set(digests(clean / "inbox").items()) ^ set(digests(faulty / "inbox").items())
    paths = {path for path, _ in changed}
    assert paths
    if noted[0]["fails"] == "gate":
        assert all(path.startswith("bank/") or "/20260925/" in path for path in paths)
    else:
        assert all("/20260925/" in path for path in paths)
    # What the acquirer really did is the same.
    assert results(clean).equals(results(faulty))


def test_an_unknown_injection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TieoutError, match="unknown injection 'nothing'"):
        make(tmp_path, inject=("nothing",))


def test_identifiers_are_valid_and_harmless() -> None:
    # The numbers of three banks' head offices, as published, and UnionPay's public test card.
    for code in ("102100099996", "104100000004", "105100000017"):
        assert cnaps_check_digit(code[:-1]) == code[-1]
    assert card_number("6216261", 19, 1) == "6216261000000000018"
    codes = merchant_codes()
    drawn = [next(codes)[0] for _ in range(200)]
    assert len(set(drawn)) == 200
    assert not any(is_luhn_valid(code) for code in drawn)


def test_a_platform_that_states_orders_releases_a_part(tmp_path: Path) -> None:
    first = date(2026, 9, 24)
    simulate(
        tmp_path / "inbox", 3, first, 4, 60, 8, [], tmp_path / "truth",
        funds=Funds(freeze_orders=True),
    )  # fmt: skip
    stated = {}
    for day in ("20260924", "20260927"):
        path = tmp_path / "inbox" / "platform" / day / f"freezes_{day}.csv"
        lines = path.read_text(encoding="utf-8").splitlines()[:-1]
        stated[day] = {
            row["freeze_id"]: (row["freeze_kind"], row["released_amount_minor"])
            for row in csv.DictReader(lines)
        }
        assert all(bool(row["order_number"]) == (row["freeze_kind"] == "judicial")
                   for row in csv.DictReader(lines))  # fmt: skip
    assert stated == {
        "20260924": {"Z000001": ("risk", "")},
        "20260927": {"Z000001": ("risk", "10000"), "Z000002": ("judicial", "")},
    }
