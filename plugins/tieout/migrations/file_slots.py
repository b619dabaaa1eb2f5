"""Places of files by their names, as migration 0012 knew them. Frozen: a migration asks no program.

What is recognised today is in `tieout.channels.registry` and may change; what an old home's rows
became may not.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

__all__ = ["slot_of"]

_NUMBERS: Final = ("delivery", "sequence")
# The pattern of a name with its date, the date's format, the channel, the kind of file.
_NAMES: Final[tuple[tuple[str, str, str, str], ...]] = (
    (r"source_vouchers_(?P<date>\d{8})\.csv", "%Y%m%d", "platform", "source_vouchers"),
    (r"accounting_vouchers_(?P<date>\d{8})\.csv", "%Y%m%d", "platform", "accounting_vouchers"),
    (r"contracts_(?P<date>\d{8})\.csv", "%Y%m%d", "platform", "contracts"),
    (r"fee_rates_(?P<date>\d{8})\.csv", "%Y%m%d", "platform", "fee_rates"),
    (r"payees_(?P<date>\d{8})\.csv", "%Y%m%d", "platform", "payees"),
    (r"advances_(?P<date>\d{8})\.csv", "%Y%m%d", "platform", "advances"),
    (r"freezes_(?P<date>\d{8})\.csv", "%Y%m%d", "platform", "freezes"),
    (r"operating_window_(?P<date>\d{8})\.csv", "%Y%m%d", "platform", "operating_window"),
    (r"opening_balances_(?P<date>\d{8})\.csv", "%Y%m%d", "platform", "opening_balances"),
    (r"IND(?P<date>\d{6})01ACOMN?(?:\.Z)?", "%y%m%d", "unionpay", "acomn"),
    (r"IND(?P<date>\d{6})99AERRN(?:\.Z)?", "%y%m%d", "unionpay", "aerrn"),
    (r"IND(?P<date>\d{6})99ALFEE(?:\.Z)?", "%y%m%d", "unionpay", "alfee"),
    (r"(?P<merchant_id>[0-9A-Za-z]{15})_(?P<date>\d{8})\.zip", "%Y%m%d", "unionpay", "merchant_zm"),
    (
        r"INN(?P<date>\d{6})\d{2}ZM_(?P<merchant_id>[0-9A-Za-z]{15})(?:\.txt)?",
        "%y%m%d",
        "unionpay",
        "merchant_zm",
    ),
    (
        r"INN(?P<date>\d{6})\d{2}ZME_(?P<merchant_id>[0-9A-Za-z]{15})(?:\.txt)?",
        "%y%m%d",
        "unionpay",
        "merchant_zme",
    ),
    (r"INO(?P<date>\d{6})32ZSUM(?:\.Z)?", "%y%m%d", "unionpay", "zsum"),
    (r"INO(?P<date>\d{6})99ZPSUM(?:\.Z)?", "%y%m%d", "unionpay", "zpsum"),
    (r"IND(?P<date>\d{6})32ACOMA(?:\.Z)?", "%y%m%d", "unionpay", "acoma"),
    (r"IND(?P<date>\d{6})32AERRA(?:\.Z)?", "%y%m%d", "unionpay", "aerra"),
    (r"IND(?P<date>\d{6})(?P<file_number>\d{2})ICOMN(?:\.Z)?", "%y%m%d", "unionpay", "icomn"),
    (r"IND(?P<date>\d{6})(?P<file_number>\d{2})IERRN(?:\.Z)?", "%y%m%d", "unionpay", "ierrn"),
    (r"IND(?P<date>\d{6})(?P<file_number>\d{2})ILFEE(?:\.Z)?", "%y%m%d", "unionpay", "ilfee"),
    (r"IFD(?P<date>\d{6})01ICOMN(?:\.Z)?", "%y%m%d", "unionpay", "upi_icomn"),
    (
        r"(?P<network>IND|IFD)(?P<date>\d{6})(?P<file_number>\d{2})(?P<form>FCP|AFCP|FCPN)(?:\.Z)?",
        "%y%m%d",
        "unionpay",
        "fcp",
    ),
    (r"INF(?P<date>\d{6})01B", "%y%m%d", "unionpay", "inf_accepted"),
    (r"INF(?P<date>\d{6})01R", "%y%m%d", "unionpay", "inf_rejected"),
    (r"(?P<date>\d{8})_(?P<file_number>\d{2})_IS_COMTRX", "%Y%m%d", "unionpay", "ncp_comtrx"),
    (r"(?P<date>\d{8})_(?P<file_number>\d{2})_IS_ERRTRX", "%Y%m%d", "unionpay", "ncp_errtrx"),
    (
        r"(?P<channel_merchant_id>\d+)All(?P<date>\d{4}-\d{2}-\d{2})\.csv(?:\.gz)?",
        "%Y-%m-%d",
        "wechat",
        "trade_bill",
    ),
    (
        r"(?P<channel_merchant_id>\d+)Success(?P<date>\d{4}-\d{2}-\d{2})\.csv(?:\.gz)?",
        "%Y-%m-%d",
        "wechat",
        "trade_bill_success",
    ),
    (
        r"(?P<channel_merchant_id>\d+)Refund(?P<date>\d{4}-\d{2}-\d{2})\.csv(?:\.gz)?",
        "%Y-%m-%d",
        "wechat",
        "trade_bill_refund",
    ),
    (
        r"(?P<channel_merchant_id>\d+)FundFlowBasic(?P<date>\d{4}-\d{2}-\d{2})\.csv(?:\.gz)?",
        "%Y-%m-%d",
        "wechat",
        "fund_bill_basic",
    ),
    (
        r"(?P<channel_merchant_id>\d+)FundFlowOperation(?P<date>\d{4}-\d{2}-\d{2})\.csv(?:\.gz)?",
        "%Y-%m-%d",
        "wechat",
        "fund_bill_operation",
    ),
    (
        r"(?P<channel_merchant_id>\d+)FundFlowFees(?P<date>\d{4}-\d{2}-\d{2})\.csv(?:\.gz)?",
        "%Y-%m-%d",
        "wechat",
        "fund_bill_fees",
    ),
    (
        r"(?P<channel_merchant_id>\d+)FundFlowDeposit(?P<date>\d{4}-\d{2}-\d{2})\.csv(?:\.gz)?",
        "%Y-%m-%d",
        "wechat",
        "fund_bill_deposit",
    ),
    (
        r"(?P<account_id>\d{16})0156_(?P<date>\d{8})(?:(?:_业务明细)?\.zip|_(?:业务明细|DETAILS)\.csv)",
        "%Y%m%d",
        "alipay",
        "trade_bill",
    ),
    (
        r"(?P<account_id>\d{16})0156_(?P<date>\d{8})_(?:账务明细|ACCOUNT)\.(?:zip|csv)",
        "%Y%m%d",
        "alipay",
        "account_bill",
    ),
    (
        r"(?P<date>\d{8})_(?P<end_date>\d{8})_ALL\.csv(?:\.gz)?",
        "%Y%m%d",
        "unionpay",
        "qr_gateway_bill",
    ),
    (
        r"camt053_(?P<bank_account_id>[0-9A-Za-z]{5,34})_(?P<date>\d{8"
        r"})_(?P<sequence>\d{1,18})\.(?:xml|zip)",
        "%Y%m%d",
        "bank",
        "camt053",
    ),
    (r"camt053_(?P<date>\d{8})_(?P<delivery>\d{1,6})\.(?:xml|zip)", "%Y%m%d", "bank", "camt053"),
    (
        r"camt054_(?P<bank_account_id>[0-9A-Za-z]{5,34})_(?P<date>\d{8"
        r"})_(?P<delivery>\d{1,6})\.(?:xml|zip)",
        "%Y%m%d",
        "bank",
        "camt054",
    ),
    (
        r"bankcsv_(?P<bank_account_id>[0-9A-Za-z]{5,34})_(?P<date>\d{8"
        r"})_(?P<sequence>\d{1,6})\.csv",
        "%Y%m%d",
        "bank",
        "bank_csv",
    ),
    (
        r"mt940_(?P<bank_account_id>[0-9A-Za-z]{5,34})_(?P<date>\d{8})"
        r"_(?P<sequence>\d{1,18})\.(?:sta|txt)",
        "%Y%m%d",
        "bank",
        "mt940",
    ),
    (r"mt940_(?P<date>\d{8})_(?P<delivery>\d{1,6})\.(?:sta|txt)", "%Y%m%d", "bank", "mt940"),
)


def slot_of(file_name: str) -> str | None:
    """Return the place a file's name (without folders) says; None where the name is not known."""
    for pattern, date_format, channel, file_kind in _NAMES:
        match = re.compile(pattern, re.ASCII).fullmatch(file_name)
        if match is None:
            continue
        try:
            day = datetime.strptime(match["date"], date_format).date()  # noqa: DTZ007  a date
        except ValueError:
            continue
        parts = [
            f"{name}={int(value) if name in _NUMBERS else value}"
            for name, value in sorted(match.groupdict().items())
            if name != "date"
        ]
        return "/".join([channel, file_kind, day.isoformat(), *parts])
    return None
