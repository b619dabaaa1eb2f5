"""What becomes of every shared sample: the table below, docs/formats/samples.md, and the files.

The samples stay where they are, in a folder of another project; without it the page is still held
against the table. After a change that is meant, write the page anew and read the difference:

    make test ARGS="-n 0 tests/unit/test_samples.py --write-samples"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import pytest

import channel_files as make
from samples_folder import SAMPLES, needs_samples
from tieout.channels.alipay import account_bill, trade_bill
from tieout.channels.bank import camt053, camt054, mt940
from tieout.channels.common.model import FileContext, ParsedFile, UnreadableFileError
from tieout.channels.registry import expected_name, parse_file, recognise
from tieout.channels.unionpay import qr_gateway_bill
from tieout.channels.wechat import fund_bill
from tieout.channels.wechat import trade_bill as wechat_trade_bill
from tieout.core.errors import TieoutError
from tieout.core.settings import PROJECT_DIR
from tieout.payouts import pain002

PAGE = PROJECT_DIR / "docs" / "formats" / "samples.md"
NOT_OURS = "not a format of ours"


@dataclass(frozen=True)
class Sample:
    """One sample (or a pattern of several of one kind), and what becomes of it.

    `name` is what it is called in an inbox, where that is how it is told what it is; else it is
    read as its kind, and its date is what is inside.
    """

    path: str
    channel: str
    file_kind: str
    outcome: str
    why: str = ""
    name: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is of a format that is read."""
        return self.outcome != NOT_OURS


def _not_ours(path: str, why: str) -> Sample:
    return Sample(path, "–", "–", NOT_OURS, why)


def _group(  # noqa: PLR0917 - the columns of the table
    folder: str, channel: str, file_kind: str, outcome: str, why: str, names: str
) -> tuple[Sample, ...]:
    """Return samples of one kind with one outcome; `names` are parted by blanks."""
    return tuple(
        Sample(f"{folder}/{name}", channel, file_kind, outcome, why) for name in names.split()
    )


def _mt940(outcome: str, why: str, names: str) -> tuple[Sample, ...]:
    full = " ".join(f"wolph__{name}.sta" for name in names.split())
    return _group("mt940", "bank", "mt940", outcome, why, full)


QUOTED = "a document's example: totals of a whole bill, of which it quotes one row"
MADE_UP = "an example, artificial or anonymised: balances and entries do not belong together"
PIECE = "a piece of a statement, of a field or two"

TABLE: tuple[Sample, ...] = (
    _not_ours("*/SOURCES.md", "where the samples come from"),
    _not_ours("schemas/*.xsd", "schemas of ISO 20022, by which the tests check our own files"),
    _not_ours("camt05?/expected/*.json", "what another program reads; the tests compare with it"),
    # UnionPay
    Sample(
        "unionpay_acomn/IND18080301ACOMN",
        "unionpay",
        "acomn",
        "accepted: 1 row, no totals",
        name="IND18080301ACOMN",
    ),
    Sample(
        "unionpay_acomn/IND18080401ACOMN.empty",
        "unionpay",
        "acomn",
        "accepted: 0 rows, no totals",
        "0 bytes: a day without transactions",
        name="IND18080401ACOMN",
    ),
    Sample(
        "unionpay_alfee/IND20102399ALFEE",
        "unionpay",
        "alfee",
        "accepted: 1 row, no totals",
        name="IND20102399ALFEE",
    ),
    Sample(
        "unionpay_merchant_zm/802310048993424_20150905.zip",
        "unionpay",
        "merchant_zm",
        "accepted: 8 rows, 8 totals agree",
        "count, amount, fee and net of its report RD, by kind and by card",
        name="802310048993424_20150905.zip",
    ),
    Sample(
        "unionpay_merchant_zm/INN15090588ZM_802310048993424",
        "unionpay",
        "merchant_zm",
        "accepted: 8 rows, no totals",
        "the ZIP's ZM by itself; beside the ZIP it is a conflict",
        name="INN15090588ZM_802310048993424",
    ),
    _not_ours(
        "unionpay_merchant_zm/RD201015090501_802310048993424",
        "the report RD by itself proves nothing; it is read inside the ZIP",
    ),
    Sample(
        "unionpay_qrc_gateway/20200929_20200929_ALL.row.csv",
        "unionpay",
        "qr_gateway_bill",
        "accepted: 1 row, no totals",
        "one row of a bill, without headings",
    ),
    _not_ours(
        "unionpay_inf_offline/INF20032801B.tc300",
        "IC offline batch (TC), cut before its trailer: no parser yet",
    ),
    # WeChat Pay
    *_group(
        "wechat_tradebill",
        "wechat",
        "trade_bill",
        "refused: total 总交易单数, total 应结订单总金额, total 退款总金额, total 订单总金额, "
        "total 申请退款总金额",
        QUOTED,
        "wx_all_v3doc_20220321.csv wx_all_v3doc_20220321.csv.gz",
    ),
    Sample(
        "wechat_tradebill/wx_all_wxjava.csv",
        "wechat",
        "trade_bill",
        "refused: total 总交易单数, total 应结订单总金额, total 退款总金额, total 手续费总金额, "
        "total 订单总金额, total 申请退款总金额",
        QUOTED,
    ),
    Sample(
        "wechat_tradebill/wx_success_wxjava.csv",
        "wechat",
        "trade_bill_success",
        "refused: total 总交易单数, total 应结订单总金额, total 手续费总金额, total 订单总金额",
        QUOTED,
    ),
    Sample(
        "wechat_tradebill/v2_error_no_bill.xml",
        "wechat",
        "trade_bill",
        "accepted: 0 rows, 1 total agrees",
        "the interface's answer that there is no bill: a day without records",
    ),
    Sample(
        "wechat_fundflow/wx_fundflow_doc_20180201.csv",
        "wechat",
        "fund_bill_basic",
        "refused: total 资金流水总笔数, total 收入笔数, total 收入金额, total 支出笔数, "
        "total 支出金额",
        QUOTED,
    ),
    # Alipay
    *_group(
        "alipay_trade",
        "alipay",
        "trade_bill",
        "accepted: 3 rows, 3 totals agree",
        "",
        "trade_detail_20260605_test.csv 20887226827483540156_20260605.constructed.zip",
    ),
    Sample(
        "alipay_trade/trade_detail_empty_test.csv",
        "alipay",
        "trade_bill",
        "accepted: 0 rows, no totals",
        "a bill of a day without records has no footer",
    ),
    Sample(
        "alipay_signcustomer/fund_empty_test.csv",
        "alipay",
        "account_bill",
        "accepted: 0 rows, 4 totals agree",
    ),
    Sample(
        "alipay_signcustomer/signcustomer_detail_20121229_excerpt.csv",
        "alipay",
        "account_bill",
        "refused: total 收入笔数, total 收入金额",
        "its author cut the rows to 3 of 18",
    ),
    Sample(
        "alipay_signcustomer/fund_detail_plus_summary_test.zip",
        "alipay",
        "account_bill",
        "refused: missing_member",
        "members named detail.csv and summary.csv; Alipay's are …_账务明细.csv",
    ),
    # bank statements
    *_group(
        "camt053",
        "bank",
        "camt053",
        "refused: mixed_currencies, total closing_balance",
        MADE_UP,
        "genkgo__camt053.v2.minimal.ultimate.xml genkgo__camt053.v2.minimal.xml "
        "genkgo__camt053.v2.with-party-ids.xml",
    ),
    *_group(
        "camt053",
        "bank",
        "camt053",
        "refused: missing_balance",
        "it states no booked opening or closing balance",
        "genkgo__camt053.v2.with-account-name.xml moov__statement_1.xml",
    ),
    Sample(
        "camt053/genkgo__camt053.v2.wrong.xml",
        "bank",
        "camt053",
        "refused: missing_element",
        "made to be wrong: no statement inside",
    ),
    Sample(
        "camt053/genkgo__camt053.v3.xml",
        "bank",
        "camt053",
        "refused: mixed_currencies, wrong_total, total closing_balance",
        MADE_UP,
    ),
    Sample(
        "camt053/genkgo__camt053.v4.xml",
        "bank",
        "camt053",
        "refused: missing_page, mixed_currencies, total closing_balance",
        MADE_UP,
    ),
    Sample(
        "camt053/moov__FI_camt_053_sample.xml.xml",
        "bank",
        "camt053",
        "accepted: 10 rows, 6 totals agree",
        "counts, sums and both balances",
    ),
    Sample(
        "camt053/oca__test-camt053",
        "bank",
        "camt053",
        "refused: total closing_balance",
        MADE_UP,
    ),
    Sample(
        "camt053/oca__test-camt053-no-ntry",
        "bank",
        "camt053",
        "accepted: 0 rows, 1 total agrees",
        "a day without entries",
    ),
    Sample(
        "camt053/oca__test-camt053.zip",
        "bank",
        "camt053",
        "refused: several_members",
        "two statements in one ZIP: which is the file's is not known",
    ),
    Sample(
        "camt053/pyiso20022__gs_camt053_001_02.xml",
        "bank",
        "camt053",
        "refused: wrong_currency, total TtlNtries count, total TtlNtries sum, "
        "total TtlCdtNtries count, total TtlCdtNtries sum, total TtlDbtNtries sum, "
        "total TtlNtries net, total closing_balance",
        MADE_UP,
    ),
    *_group(
        "camt054",
        "bank",
        "camt054",
        "accepted: 1 row, no totals",
        "a notification need not state totals",
        "genkgo__camt054.v2.with-account-name.xml genkgo__camt054.v2.xml "
        "genkgo__camt054.v8-with-UETR.xml genkgo__camt054.v8-with-financial-institution.xml "
        "moov__200519_camt.054-Credit_P_CH2909000000250094239_1110092691_0_2019042421291293.xml "
        "moov__200519_camt.054-Debit_P_CH2909000000250094239_1110092692_0_2019042401501580.xml "
        "moov__200519_camt.054_P_CH2909000000250094239_1111091335_0_2020061900081727.xml "
        "moov__200519_camt054-chdd_p_ch2909000000250094239_1110097484_0_20190520700381159.xml "
        "moov__200519_camt054-epo_p_ch5109000000250092291_1110097605_0_2019052003522556.xml "
        "moov__200519_camt054-epo_p_ch5109000000250092291_1110097605_0_2019052103322231.xml "
        "moov__200519_camt054-returns_p_ch2909000000250094239_1109800798_0_2019052023472022.xml "
        "moov__200924_camt.054_P_CH2909000000250094239_1111091335_0_2020061900081727.xml "
        "oca__test-camt054",
    ),
    Sample(
        "camt054/moov__200519_camt054-ESR-ASR_P_CH2909000000250094239_1110092704_0_2019042500372179.xml",
        "bank",
        "camt054",
        "accepted: 2 rows, no totals",
        "a notification need not state totals",
    ),
    Sample(
        "camt054/oca__test-sepa-camt-unpaid.zip",
        "bank",
        "camt054",
        "accepted: 1 row, 4 totals agree",
    ),
    Sample(
        "camt054/genkgo__camt054.v4.xml",
        "bank",
        "camt054",
        "refused: wrong_total",
        "it states another number of transactions (NbOfTxs) than it has",
    ),
    Sample(
        "camt054/moov__FI_camt_054_sample.xml.xml",
        "bank",
        "camt054",
        "refused: total TtlNtries net",
        "its net of all entries is not the sum of its entries",
    ),
    Sample(
        "camt054/oca__test-sepa-camt-unpaid-invalid.xml",
        "bank",
        "camt054",
        "refused: unknown_version",
        "made to be wrong: another namespace",
    ),
    *_mt940(
        "refused: missing_element",
        PIECE,
        "betterplace__currency_in_25 betterplace__empty_86 betterplace__empty_line "
        "betterplace__missing_crlf_at_end betterplace__empty_entry_date "
        "cmxl__account_balance_credit "
        "cmxl__account_balance_debit cmxl__account_identification_iban "
        "cmxl__account_identification_legacy cmxl__available_balance cmxl__closing_balance "
        "cmxl__reference cmxl__statement_number self-provided__empty_non_swift "
        "self-provided__gv_codes cmxl__statement_details cmxl__statement_line "
        "self-provided__sparkassen",
    ),
    *_mt940(
        "refused: stated_twice",
        "six opening balances below one another: a list of forms",
        "betterplace__amount_formats",
    ),
    *_mt940(
        "accepted: 97 rows, 26 totals agree", "balances of every page", "betterplace__sepa_mt9401"
    ),
    *_mt940(
        "accepted: 2 rows, 2 totals agree",
        "statements of two days: delivered as mt940_DATE_N, each becomes a file of its own",
        "jejik__generic jejik__sns",
    ),
    *_mt940(
        "refused: total closing_balance 4/1",
        "cut out of a longer statement",
        "betterplace__sepa_snippet",
    ),
    *_mt940(
        "refused: not_a_statement_line",
        "made to be wrong: the tag of its text is :25:",
        "betterplace__sepa_snippet_broken",
    ),
    *_mt940(
        "refused: total closing_balance 0/1",
        MADE_UP,
        "jejik__ing self-provided__details_60-63 self-provided__malformed_details "
        "self-provided__overly_long_details self-provided__whitespace",
    ),
    *_mt940("refused: total closing_balance 999/1", MADE_UP, "jejik__knab"),
    *_mt940("refused: total closing_balance 999/2", MADE_UP, "jejik__postfinance"),
    *_mt940(
        "refused: total closing_balance 0/0, total closing_balance 0/0", MADE_UP, "jejik__rabobank"
    ),
    *_mt940("refused: total closing_balance 1/1", MADE_UP, "jejik__triodos"),
    *_mt940("accepted: 3 rows, 1 total agrees", "a statement in PLN", "mBank__mt940"),
    *_mt940("refused: total closing_balance 72/1", MADE_UP, "self-provided__raiffeisen-cmi"),
    *_mt940(
        "accepted: 0 rows, 1 total agrees",
        "a statement in TRY, of ten digits' number",
        "self-provided__long_statement_number",
    ),
    *_mt940(
        "refused: interim_report",
        "an MT942: it has no balances",
        "mBank__mt942 self-provided__mt942",
    ),
    *_mt940("refused: no_mt940", "made to be wrong", "self-provided__invalid_statement"),
    *_mt940(
        "refused: not_a_date",
        "a line with a date no calendar has",
        "self-provided__transaction_details_wrapped",
    ),
    # payouts
    _not_ours(
        "pain001/*.xml", "payment files of others; Tieout writes its own and reads back those"
    ),
    _not_ours("pain001/pain001lib__template.0?.csv", "another program's input"),
    *_group(
        "pain002",
        "bank",
        "pain002",
        "accepted: group ACCP, 0 payments",
        "",
        "moov__pain002-chdd-cor1_p_ch2909000000250094239_1110097483_0_2018031317221082.xml",
    ),
    *_group(
        "pain002",
        "bank",
        "pain002",
        "accepted: group ACTC, 0 payments",
        "",
        "moov__pain002-epo_p_0_0_0_2018031510491259.xml",
    ),
    *_group(
        "pain002",
        "bank",
        "pain002",
        "accepted: group RJCT, 0 payments",
        "the whole file is rejected",
        "moov__pain002-epo_p_0_0_0_2018032614401842.xml",
    ),
    *_group(
        "pain002",
        "bank",
        "pain002",
        "accepted: group RJCT, 1 payment",
        "",
        "moov__pain002-epo_p_ch2909000000250094239_1109800799_0_2018032612092784.xml",
    ),
    *_group(
        "pain002",
        "bank",
        "pain002",
        "accepted: group none, 4 payments",
        "",
        "oca__test-sepa-pain-unpaid.zip",
    ),
    *_group(
        "pain002",
        "bank",
        "pain002",
        "refused: no pain.002",
        "made to be wrong: no namespace, or another one",
        "moov__invalid_pain_v11.xml oca__test-sepa-pain-unpaid-invalid.xml",
    ),
    _not_ours(
        "payout_chanpay/T?1101.txt", "Chanjet's batch payouts and collections: no adapter yet"
    ),
)

Parse = Callable[[bytes, FileContext], ParsedFile]
PARSERS: dict[str, Parse] = {
    "trade_bill_success": lambda content, context: make.read(
        partial(wechat_trade_bill.WechatTradeReading, bill_form="success"), content, context
    ),
    "fund_bill_basic": lambda content, context: make.read(
        partial(fund_bill.WechatFundReading, account_type="basic"), content, context
    ),
    "wechat trade_bill": make.reader(wechat_trade_bill.WechatTradeReading),
    "alipay trade_bill": make.reader(trade_bill.TradeBillReading),
    "account_bill": make.reader(account_bill.AccountBillReading),
    "qr_gateway_bill": make.reader(qr_gateway_bill.GatewayBillReading),
    "camt053": make.reader(camt053.Camt053Reading),
    "camt054": make.reader(camt054.Camt054Reading),
    "mt940": make.reader(mt940.Mt940Reading),
}


# --- what becomes of a file -----------------------------------------------------------------------


def becomes(sample: Sample, path: Path) -> str:
    """Return in words what becomes of a sample."""
    if not sample.is_ours:
        is_known = recognise(path.name) is not None or path.name.startswith("pain002_")
        return "its name is one of ours" if is_known else NOT_OURS
    content = path.read_bytes()
    if sample.file_kind == "pain002":
        return _report_words(content)
    try:
        return _words(_parsed(sample, content))
    except UnreadableFileError as error:
        return f"refused: {error.reason_code}"


def _parsed(sample: Sample, content: bytes) -> ParsedFile:
    if sample.name is None:
        kind = sample.file_kind
        parse = PARSERS.get(kind) or PARSERS[f"{sample.channel} {kind}"]
        return parse(content, make.context(None))
    recognised = recognise(sample.name)
    assert recognised is not None, sample.name
    assert (recognised.channel, recognised.file_kind) == (sample.channel, sample.file_kind)
    return parse_file(content, recognised, make.FakeVault())


def _words(parsed: ParsedFile) -> str:
    if parsed.is_good:
        # A parser that counts otherwise than it lands would be seen here.
        lengths = {len(frame) for frame in parsed.frames.values()}
        assert parsed.row_count in (lengths or {0})
        return f"accepted: {_number(parsed.row_count, 'row')}, {_totals(parsed)}"
    reasons = sorted({row.reason_code for row in parsed.bad_rows})
    reasons += [f"total {total.name}" for total in parsed.totals if not total.agrees]
    return f"refused: {', '.join(reasons)}"


def _totals(parsed: ParsedFile) -> str:
    count = len(parsed.totals)
    if not count:
        return "no totals"
    return "1 total agrees" if count == 1 else f"{count} totals agree"


def _report_words(content: bytes) -> str:
    try:
        report = pain002.read(content, "a sample")
    except TieoutError as error:
        return "refused: no pain.002" if "not a pain.002" in error.why else f"refused: {error.why}"
    group = report.group_status_code or "none"
    return f"accepted: group {group}, {_number(len(report.transactions), 'payment')}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# --- the page -------------------------------------------------------------------------------------


def page(written: str) -> str:
    """Return the page: the head as it is written, then one table a folder."""
    by_folder: dict[str, list[Sample]] = {}
    for sample in TABLE:
        by_folder.setdefault(sample.path.split("/", maxsplit=1)[0], []).append(sample)
    head, _, _ = written.partition("\n## ")
    parts = [f"{head.rstrip()}\n", _counted()]
    for folder, samples in by_folder.items():
        title = "all folders" if folder == "*" else folder
        parts.append(f"## {title}\n\n| sample | kind | outcome | why |\n|---|---|---|---|\n")
        parts[-1] += "".join(f"{_row(sample, folder)}\n" for sample in samples)
    return "\n".join(parts)


def _counted() -> str:
    words = [sample.outcome.split(":")[0] for sample in TABLE if "*" not in sample.path]
    counts = {word: words.count(word) for word in ("accepted", "refused", NOT_OURS)}
    listed = ", ".join(f"{count} {word}" for word, count in counts.items())
    return f"## How many\n\nFiles listed one by one: {listed}.\n"


def _row(sample: Sample, folder: str) -> str:
    kind = f"{sample.channel} {sample.file_kind}" if sample.is_ours else "–"
    name = sample.path.removeprefix(f"{folder}/")
    return f"| `{name}` | {kind} | {sample.outcome} | {sample.why} |"


# --- the tests ------------------------------------------------------------------------------------


def _matches(path: str) -> Sequence[Sample]:
    return [sample for sample in TABLE if fnmatchcase(path, sample.path)]


def _paths() -> list[str]:
    found = [path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*") if path.is_file()]
    assert len(found) > 100
    return sorted(found)


def test_the_table_says_why_and_each_kind_is_known() -> None:
    assert len(TABLE) > 80
    assert len({sample.path for sample in TABLE}) == len(TABLE)
    for sample in TABLE:
        assert sample.outcome == NOT_OURS or sample.outcome.startswith(("accepted: ", "refused: "))
        assert sample.outcome.startswith("accepted: ") or sample.why, sample.path
        is_known = bool(expected_name(sample.channel, sample.file_kind, make.DAY))
        assert is_known == (sample.is_ours and sample.file_kind != "pain002"), sample.path


def test_the_page_is_the_table(request: pytest.FixtureRequest) -> None:
    written = PAGE.read_text(encoding="utf-8")
    if request.config.getoption("--write-samples"):
        PAGE.write_text(page(written), encoding="utf-8")
        return
    assert written == page(written), "docs/formats/samples.md is stale: see the head of this file"


@needs_samples
def test_every_sample_is_listed_exactly_once_and_nothing_else_is() -> None:
    paths = _paths()
    assert {path: len(_matches(path)) for path in paths if len(_matches(path)) != 1} == {}
    listed = {sample.path for path in paths for sample in _matches(path)}
    assert {sample.path for sample in TABLE} - listed == set()


@needs_samples
@pytest.mark.parametrize("sample", TABLE, ids=lambda sample: sample.path)
def test_what_becomes_of_a_sample(sample: Sample) -> None:
    files = [path for path in _paths() if fnmatchcase(path, sample.path)]
    assert files
    for path in files:
        assert becomes(sample, SAMPLES / path) == sample.outcome
