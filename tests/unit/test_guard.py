"""No text of any format brings a card number or a track into the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import channel_files as make
from parts import examples
from reference_lists import load_lists
from tieout import database, landing
from tieout.channels.common.card_numbers import find_card_numbers, find_track_data
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.guard import FREE_TEXTS, OWN_NUMBERS, guarded, masked_text
from tieout.channels.common.model import MaskedValues, ParsedFile
from tieout.channels.registry import parse_file, recognise
from tieout.core.settings import Settings
from tieout.payouts import pain002
from tieout.simulator.identifiers import card_number, not_card_like

CARD = card_number("622202", 19, 815)
MASK = f"{CARD[:6]}{'*' * 9}{CARD[-4:]}"
EXPIRY = "3012"
TRACK_2 = f";{CARD}={EXPIRY}2011234?"
TRACK_1 = f"%B{CARD}^A/B^{EXPIRY}201?"
DAY = f"{make.DAY:%Y%m%d}"
MT940 = f"""\
:20:20260924
:25:{make.BANK_ACCOUNT}
:28C:7/1
:60F:C260924CNY100,
:61:2609240924C5,NTRFNONREF//REF
:86:166?00CREDIT?20SVWZ+TEXT?32SOMEBODY
:62F:C260924CNY105,
-
"""


def wechat(name: str, value: str) -> bytes:
    return make.wechat_bill([{**make.WECHAT_PAYMENT, name: value}])


def alipay(name: str, value: str) -> bytes:
    return make.alipay_zip(make.alipay_detail([{**make.ALIPAY_PAYMENT, name: value}]))


def voucher(name: str, value: str) -> bytes:
    return make.platform_file("source_vouchers", [{**make.VOUCHER, name: value}])


def payee(name: str, value: str) -> bytes:
    return make.platform_file("payees", [{**make.PAYEE, name: value}])


def statement(**changes: Any) -> bytes:
    details = (("1500.00", changes.pop("identifier", ""), changes.pop("name", "somebody")),)
    return make.camt053([make.Entry("1500.00", details, **changes)])


CAMT = f"camt053_{make.BANK_ACCOUNT}_{DAY}_1.xml"
WECHAT = "1900000109All2026-09-24.csv"
ALIPAY = f"{make.PID}0156_{DAY}.zip"
VOUCHERS = f"source_vouchers_{DAY}.csv"
MT = f"mt940_{make.BANK_ACCOUNT}_{DAY}_7.sta"
# Every text of today's formats in which somebody may write what he likes: file name, field of the
# raw table, and the file with a value in it.
TEXTS: dict[tuple[str, str], Callable[[str], bytes]] = {
    ("IND26092401ACOMN", "order_number"): lambda text: make.acomn(order_number=text),
    (WECHAT, "merchant_order_id"): lambda text: wechat("商户订单号", text),
    (WECHAT, "device_id"): lambda text: wechat("设备号", text),
    (WECHAT, "merchant_refund_id"): lambda text: wechat("商户退款单号", text),
    (WECHAT, "bank_code"): lambda text: wechat("付款银行", text),
    (ALIPAY, "remark"): lambda text: alipay("备注", text),
    (ALIPAY, "merchant_order_id"): lambda text: alipay("商户订单号", text),
    (ALIPAY, "operator_id"): lambda text: alipay("操作员", text),
    (ALIPAY, "store_id"): lambda text: alipay("门店编号", text),
    (ALIPAY, "terminal_id"): lambda text: alipay("终端号", text),
    (VOUCHERS, "merchant_order_id"): lambda text: voucher("merchant_order_id", text),
    (VOUCHERS, "channel_order_id"): lambda text: voucher("channel_order_id", text),
    (VOUCHERS, "retrieval_reference_number"): lambda text: voucher(
        "retrieval_reference_number", text
    ),
    (f"payees_{DAY}.csv", "bank_name"): lambda text: payee("bank_name", text),
    (CAMT, "remittance_text"): lambda text: statement(text=text),
    (CAMT, "counterparty_name"): lambda text: statement(name=text),
    (CAMT, "end_to_end_id"): lambda text: statement(identifier=text),
    (CAMT, "batch_message_id"): lambda text: statement(batch=text),
    (MT, "remittance_text"): lambda text: MT940.replace("TEXT", text).encode(),
    (MT, "counterparty_name"): lambda text: MT940.replace("SOMEBODY", text).encode(),
    (MT, "entry_reference"): lambda text: MT940.replace("REF\n", f"{text}\n").encode(),
}


def parsed(name: str, content: bytes) -> ParsedFile:
    recognised = recognise(name)
    assert recognised is not None
    return parse_file(content, recognised, make.FakeVault())


def texts_of(file: ParsedFile) -> list[str]:
    """Return every text of every frame."""
    found = [
        text
        for frame in file.frames.values()
        for column in frame.select(pl.selectors.string())
        for text in column.drop_nulls().to_list()
    ]
    assert found
    return found


@pytest.mark.parametrize(("name", "field"), [pytest.param(*key, id="-".join(key)) for key in TEXTS])
@pytest.mark.parametrize("secret", [CARD, TRACK_2], ids=["card", "track"])
def test_what_is_written_into_a_text_does_not_leave_the_parser(
    name: str, field: str, secret: str
) -> None:
    file = parsed(name, TEXTS[name, field](secret))
    assert file.bad_rows == ()
    assert file.frames
    for text in texts_of(file):
        assert CARD not in text
        assert EXPIRY + "201" not in text
    kind = "card_number" if secret == CARD else "track_data"
    found = [masked for masked in file.masked if masked.field == field]
    assert found
    assert {(masked.kind, masked.row_count) for masked in found} == {(kind, 1)}


@pytest.mark.parametrize("text", [f"CT4f6be0{TRACK_2}", f"CT-{CARD}"], ids=["track", "card"])
def test_what_the_platform_calls_a_token_may_hold_the_number(text: str) -> None:
    file = parsed(VOUCHERS, voucher("card_token", text))
    assert file.bad_rows == ()
    assert not [text for text in texts_of(file) if CARD in text or EXPIRY in text]
    assert [masked.field for masked in file.masked] == ["card_token"]


@pytest.mark.parametrize("secret", [CARD, TRACK_2], ids=["card", "track"])
def test_what_a_parser_masks_itself_shows_nothing_either(secret: str) -> None:
    file = parsed(ALIPAY, alipay("对方账户", secret))
    assert file.bad_rows == ()
    assert not [text for text in texts_of(file) if CARD in text or EXPIRY in text]


def test_a_file_without_such_texts_is_left_as_it_is() -> None:
    for name, content in (
        ("IND26092401ACOMN", make.acomn() * 3),
        (WECHAT, make.wechat_bill()),
        (ALIPAY, make.alipay_zip()),
        (VOUCHERS, make.platform_file("source_vouchers", [make.VOUCHER])),
        (CAMT, make.camt053()),
        (MT, MT940.encode()),
    ):
        file = parsed(name, content)
        assert file.frames
        assert file.masked == ()


def test_free_text_is_masked_and_the_rest_of_it_stays() -> None:
    file = parsed(ALIPAY, alipay("备注", f"退款到{CARD}，谢谢 {' '.join((CARD[:4], CARD[4:]))}"))
    (remark,) = file.frames["alipay_trade_bill"]["remark"]
    assert remark == f"退款到{MASK}，谢谢 {MASK}"


def test_references_that_differ_still_differ_and_equal_ones_stay_equal() -> None:
    cards = (card_number("622202", 19, 815 + step) for step in range(0, 500_000, 10_000))
    others = [other for other in cards if other[-4:] == CARD[-4:]]
    masks = {f"{other[:6]}{other[-4:]}" for other in others}
    assert len(masks) == 1 < len(others), "the masks alone must not tell them apart"
    ids = []
    for other in others:
        of_channel = parsed(WECHAT, wechat("商户订单号", other)).frames["wechat_trade_bill"]
        of_platform = parsed(VOUCHERS, voucher("merchant_order_id", other))
        ours = of_platform.frames["platform_source_vouchers"]["merchant_order_id"][0]
        assert of_channel["merchant_order_id"][0] == ours
        ids.append(ours)
    assert len(set(ids)) == len(others)


def test_a_number_of_the_merchant_or_of_ours_stays() -> None:
    frame = pl.DataFrame({name: [CARD] for name in sorted(OWN_NUMBERS)})
    kept, found = guarded({"t": frame}, make.FakeVault())
    assert kept["t"].equals(frame)
    assert found == ()
    assert not OWN_NUMBERS & FREE_TEXTS


def test_what_was_masked_is_counted_by_field_and_kind() -> None:
    frame = pl.DataFrame(
        {
            "line_number": [2, 3, 4, 5],
            "remark": [None, CARD, f"{CARD} {TRACK_1}", "x" * 40],
            "merchant_order_id": ["a", "b", "c", TRACK_2],
        }
    )
    kept, found = guarded({"t": frame}, make.FakeVault())
    assert kept["t"]["remark"].to_list() == [None, MASK, f"{MASK} ***", "x" * 40]
    assert kept["t"]["merchant_order_id"].to_list() == ["a", "b", "c", "***"]
    assert set(found) == {
        MaskedValues("t", "remark", "card_number", 2, 3),
        MaskedValues("t", "remark", "track_data", 1, 4),
        MaskedValues("t", "merchant_order_id", "track_data", 1, 5),
    }


@pytest.mark.parametrize(
    "text",
    [
        "4200001202609240000000000001",
        not_card_like("622202", 19, 1),
        "898310059990001",
        card_number("1", 16, 1),
        "a=b;c=d?x",
        "2026-09-24 10:00:00",
        "",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert masked_text(text) == (text, frozenset())


@hypothesis_settings(deadline=None, max_examples=examples(100))
@given(
    texts=st.lists(
        st.lists(
            st.one_of(
                st.sampled_from([CARD, card_number("4", 13, 7), card_number("37", 15, 5)]),
                st.sampled_from([TRACK_1, TRACK_2, TRACK_2.strip(";?"), " ".join(CARD[:18])]),
                st.from_regex("[0-9]{1,21}", fullmatch=True),
                st.text(alphabet="ab -=^;?,张三0123456789", max_size=12),
            ),
            max_size=4,
        ).map("".join),
        min_size=1,
        max_size=8,
    )
)
@example(texts=[f"{CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:16]} {CARD[16:]}"])
@example(texts=[f"{CARD}-201070118892"])
def test_whole_columns_and_single_texts_agree(texts: list[str]) -> None:
    """The quick look at columns passes over nothing that the slow look at one text would find."""
    frame = pl.DataFrame({"line_number": np.arange(len(texts)), "remark": texts})
    kept, _ = guarded({"t": frame}, make.FakeVault())
    assert kept["t"]["remark"].to_list() == [masked_text(text)[0] for text in texts]
    for text in kept["t"]["remark"]:
        assert list(find_track_data(text)) == []
        assert list(find_card_numbers(text)) == []


def test_an_excerpt_shows_nothing_of_a_track() -> None:
    for track in (TRACK_1, TRACK_2):
        excerpt = masked_excerpt(f"a,{track},b")
        assert excerpt == "a,***,b"


def test_a_bank_that_repeats_the_account_is_not_repeated() -> None:
    content = f"""<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>
    <GrpHdr><MsgId>M</MsgId></GrpHdr>
    <OrgnlGrpInfAndSts><OrgnlMsgId>O</OrgnlMsgId><GrpSts>PART</GrpSts></OrgnlGrpInfAndSts>
    <OrgnlPmtInfAndSts><TxInfAndSts><OrgnlEndToEndId>E</OrgnlEndToEndId><TxSts>RJCT</TxSts>
    <StsRsnInf><Rsn><Cd>AC01</Cd></Rsn><AddtlInf>no account {CARD}</AddtlInf></StsRsnInf>
    </TxInfAndSts></OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>"""
    (transaction,) = pain002.read(content.encode(), "a.xml").transactions
    assert transaction.detail == f"no account {MASK}"


def test_landing_keeps_the_count_and_not_the_number(new_home: Settings) -> None:
    place = new_home
    place.ensure_dirs()
    database.migrate(place)
    with database.connect(place) as connection:
        load_lists(connection)
    delivery = place.home / "inbox" / "IND26092401ACOMN"
    delivery.write_bytes(make.acomn())
    assert landing.land(place).counts["landed"] == 1
    delivery.write_bytes(make.acomn(order_number=CARD))
    (conflict,) = landing.land(place).problems
    landing.release(place, conflict.file_id, decided_by="somebody", reason="corrected")
    with database.connect(place) as connection:
        rows = connection.execute(
            "select masked_values, order_number from control.channel_files"
            " inner join raw.unionpay_acomn using (file_id) where status = 'landed'"
        ).fetchall()
    expected = {
        "table": "unionpay_acomn",
        "field": "order_number",
        "kind": "card_number",
        "row_count": 1,
        "first_line_number": 1,
    }
    assert rows == [([expected], MASK)]
    assert CARD not in json.dumps([str(row) for row in rows])
