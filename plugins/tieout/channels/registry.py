"""Which file is which: names to channel, kind, date and parser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import IO

from tieout.channels.alipay import account_bill, trade_bill
from tieout.channels.bank import bank_csv, camt053, camt054, mt940
from tieout.channels.common.guard import guarded, masked_text
from tieout.channels.common.model import (
    BLOCK_ROWS,
    Cutoffs,
    FileContext,
    Frames,
    MaskedValues,
    ParsedFile,
    Parser,
    Reading,
    UnreadableFileError,
    Vault,
    file_problem,
)
from tieout.channels.common.packed_files import is_compressed, uncompressed
from tieout.channels.common.whole import read_whole
from tieout.channels.platform import csv_files
from tieout.channels.unionpay import acomn, aerrn, alfee, fcp, qr_gateway_bill, upi_icomn
from tieout.channels.unread import (
    acoma,
    aerra,
    inf,
    issuer,
    merchant_files,
    ncp,
    summaries,
)
from tieout.channels.wechat import fund_bill
from tieout.channels.wechat import trade_bill as wechat_trade_bill

__all__ = ["FileReading", "RecognisedFile", "expected_name", "parse_file", "recognise"]

COMPRESSED_SUFFIX = ".Z"
_NUMBERS = ("delivery", "sequence")


@dataclass(frozen=True, slots=True)
class RecognisedFile:
    """What a file's name says. `name_parts` are parts the content has to agree with.

    `channel` is that of the sender's name, until reference data says another
    (`tieout.files.senders`), or that the file is of none of the sender's channels.
    """

    file_name: str
    channel: str
    file_kind: str
    accounting_date: date
    parser: Parser = field(repr=False)
    name_parts: Mapping[str, str] = field(default_factory=dict)
    is_of_a_channel: bool = True

    @property
    def slot(self) -> str:
        """Return the place of which there can be one good file only."""
        parts = [self.channel, self.file_kind, self.accounting_date.isoformat()]
        # A statement is number 1 however many digits its name writes that with.
        parts += [
            f"{name}={int(value) if name in _NUMBERS else value}"
            for name, value in sorted(self.name_parts.items())
        ]
        return "/".join(parts)

    @property
    def is_cut_on_landing(self) -> bool:
        """Say whether it is a delivery whose statements land each as a file of its own."""
        return self.file_kind == "mt940" and "delivery" in self.name_parts


@dataclass(frozen=True, slots=True)
class _NamePattern:
    pattern: re.Pattern[str]
    date_format: str
    channel: str
    file_kind: str
    parser: Parser
    template: str


def _pattern(
    text: str, date_format: str, channel: str, file_kind: str, *, parser: Parser, template: str
) -> _NamePattern:
    compiled = re.compile(text, re.ASCII)
    return _NamePattern(compiled, date_format, channel, file_kind, parser, template)


class _MaybeCompressed:
    """Reads the same file, packed by Unix compress (.Z) or not, by its bytes.

    A file that is named .Z and is not packed is refused: empty, it would be a day without records.
    """

    def __init__(self, parser: Parser, context: FileContext) -> None:
        self._context = context
        self._reading = parser(context)

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows of the file, unpacked where it is packed."""
        if is_compressed(stream):
            with uncompressed(stream) as unpacked:
                yield from self._reading.blocks(unpacked)
        elif self._context.file_name.endswith(COMPRESSED_SUFFIX):
            raise UnreadableFileError("bad_compress", "its name says .Z, its bytes do not")
        else:
            yield from self._reading.blocks(stream)

    def finish(self) -> ParsedFile:
        """Return what the reading of the unpacked file says."""
        return self._reading.finish()


def _maybe_compressed(parser: Parser) -> Parser:
    return partial(_MaybeCompressed, parser)


# Institutions give their files the same names; who receives those of several puts the number of the
# institution in front.
_INSTITUTION = r"(?:(?P<institution_id>\d{8,11})_)?"

# Every pattern has a group `date`; its other groups are name parts.
_PATTERNS = (
    *(
        _pattern(
            rf"{kind}_(?P<date>\d{{8}})\.csv",
            "%Y%m%d",
            "platform",
            kind,
            parser=partial(csv_files.PlatformReading, file_kind=kind),
            template=f"platform/{{date:%Y%m%d}}/{kind}_{{date:%Y%m%d}}.csv",
        )
        for kind in csv_files.file_kinds()
    ),
    _pattern(
        _INSTITUTION + r"IND(?P<date>\d{6})01ACOMN?(?:\.Z)?",
        "%y%m%d",
        "unionpay",
        "acomn",
        parser=_maybe_compressed(acomn.AcomnReading),
        template="unionpay/{date:%Y%m%d}/IND{date:%y%m%d}01ACOMN",
    ),
    _pattern(
        _INSTITUTION + r"IND(?P<date>\d{6})99AERRN(?:\.Z)?",
        "%y%m%d",
        "unionpay",
        "aerrn",
        parser=_maybe_compressed(aerrn.AerrnReading),
        template="unionpay/{date:%Y%m%d}/IND{date:%y%m%d}99AERRN",
    ),
    _pattern(
        _INSTITUTION + r"IND(?P<date>\d{6})99ALFEE(?:\.Z)?",
        "%y%m%d",
        "unionpay",
        "alfee",
        parser=_maybe_compressed(alfee.AlfeeReading),
        template="unionpay/{date:%Y%m%d}/IND{date:%y%m%d}99ALFEE",
    ),
    # The day's ZIP and a bare ZM are one place: the ZIP has the ZM inside. The two digits behind
    # the date (88, 01, 00 were seen) have no known meaning.
    _pattern(
        r"(?P<merchant_id>[0-9A-Za-z]{15})_(?P<date>\d{8})\.zip",
        "%Y%m%d",
        "unionpay",
        "merchant_zm",
        parser=merchant_files.ZmReading,
        template="unionpay/{date:%Y%m%d}/…_{date:%Y%m%d}.zip",
    ),
    _pattern(
        r"INN(?P<date>\d{6})\d{2}ZM_(?P<merchant_id>[0-9A-Za-z]{15})(?:\.txt)?",
        "%y%m%d",
        "unionpay",
        "merchant_zm",
        parser=merchant_files.ZmReading,
        template="unionpay/{date:%Y%m%d}/INN{date:%y%m%d}…ZM_…",
    ),
    _pattern(
        r"INN(?P<date>\d{6})\d{2}ZME_(?P<merchant_id>[0-9A-Za-z]{15})(?:\.txt)?",
        "%y%m%d",
        "unionpay",
        "merchant_zme",
        parser=merchant_files.ZmeReading,
        template="unionpay/{date:%Y%m%d}/INN{date:%y%m%d}…ZME_…",
    ),
    _pattern(
        r"INO(?P<date>\d{6})32ZSUM(?:\.Z)?",
        "%y%m%d",
        "unionpay",
        "zsum",
        parser=_maybe_compressed(summaries.MerchantTotalsReading),
        template="unionpay/{date:%Y%m%d}/INO{date:%y%m%d}32ZSUM",
    ),
    _pattern(
        r"INO(?P<date>\d{6})99ZPSUM(?:\.Z)?",
        "%y%m%d",
        "unionpay",
        "zpsum",
        parser=_maybe_compressed(summaries.FundTransfersReading),
        template="unionpay/{date:%Y%m%d}/INO{date:%y%m%d}99ZPSUM",
    ),
    _pattern(
        r"IND(?P<date>\d{6})32ACOMA(?:\.Z)?",
        "%y%m%d",
        "unionpay",
        "acoma",
        parser=_maybe_compressed(acoma.AcomaReading),
        template="unionpay/{date:%Y%m%d}/IND{date:%y%m%d}32ACOMA",
    ),
    _pattern(
        r"IND(?P<date>\d{6})32AERRA(?:\.Z)?",
        "%y%m%d",
        "unionpay",
        "aerra",
        parser=_maybe_compressed(aerra.AerraReading),
        template="unionpay/{date:%Y%m%d}/IND{date:%y%m%d}32AERRA",
    ),
    # The two digits behind the date are not known for these: files that differ in them are two.
    *(
        _pattern(
            rf"IND(?P<date>\d{{6}})(?P<file_number>\d{{2}}){spelled}(?:\.Z)?",
            "%y%m%d",
            "unionpay",
            spelled.lower(),
            parser=_maybe_compressed(parser),
            template=f"unionpay/{{date:%Y%m%d}}/IND{{date:%y%m%d}}…{spelled}",
        )
        for spelled, parser in (
            ("ICOMN", issuer.TransactionsReading),
            ("IERRN", issuer.AdjustmentsReading),
            ("ILFEE", issuer.BrandFeesReading),
        )
    ),
    _pattern(
        r"IFD(?P<date>\d{6})01ICOMN(?:\.Z)?",
        "%y%m%d",
        "unionpay",
        "upi_icomn",
        parser=_maybe_compressed(upi_icomn.UpiIcomnReading),
        template="unionpay/{date:%Y%m%d}/IFD{date:%y%m%d}01ICOMN",
    ),
    _pattern(
        r"(?P<network>IND|IFD)(?P<date>\d{6})(?P<file_number>\d{2})(?P<form>FCP|AFCP|FCPN)(?:\.Z)?",
        "%y%m%d",
        "unionpay",
        "fcp",
        parser=_maybe_compressed(fcp.FcpReading),
        template="unionpay/{date:%Y%m%d}/IND{date:%y%m%d}…FCP",
    ),
    _pattern(
        r"INF(?P<date>\d{6})01B",
        "%y%m%d",
        "unionpay",
        "inf_accepted",
        parser=inf.AcceptedReading,
        template="unionpay/{date:%Y%m%d}/INF{date:%y%m%d}01B",
    ),
    _pattern(
        r"INF(?P<date>\d{6})01R",
        "%y%m%d",
        "unionpay",
        "inf_rejected",
        parser=inf.RejectedReading,
        template="unionpay/{date:%Y%m%d}/INF{date:%y%m%d}01R",
    ),
    _pattern(
        r"(?P<date>\d{8})_(?P<file_number>\d{2})_IS_COMTRX",
        "%Y%m%d",
        "unionpay",
        "ncp_comtrx",
        parser=ncp.TransactionsReading,
        template="unionpay/{date:%Y%m%d}/{date:%Y%m%d}_01_IS_COMTRX",
    ),
    _pattern(
        r"(?P<date>\d{8})_(?P<file_number>\d{2})_IS_ERRTRX",
        "%Y%m%d",
        "unionpay",
        "ncp_errtrx",
        parser=ncp.ErrorsReading,
        template="unionpay/{date:%Y%m%d}/{date:%Y%m%d}_01_IS_ERRTRX",
    ),
    _pattern(
        r"(?P<channel_merchant_id>\d+)All(?P<date>\d{4}-\d{2}-\d{2})\.csv(?:\.gz)?",
        "%Y-%m-%d",
        "wechat",
        "trade_bill",
        parser=partial(wechat_trade_bill.WechatTradeReading, bill_form="all"),
        template="wechat/{date:%Y%m%d}/…All{date:%Y-%m-%d}.csv",
    ),
    # Parts of the same day, of a kind of their own: the close reads ALL only.
    _pattern(
        r"(?P<channel_merchant_id>\d+)Success(?P<date>\d{4}-\d{2}-\d{2})\.csv(?:\.gz)?",
        "%Y-%m-%d",
        "wechat",
        "trade_bill_success",
        parser=partial(wechat_trade_bill.WechatTradeReading, bill_form="success"),
        template="wechat/{date:%Y%m%d}/…Success{date:%Y-%m-%d}.csv",
    ),
    _pattern(
        r"(?P<channel_merchant_id>\d+)Refund(?P<date>\d{4}-\d{2}-\d{2})\.csv(?:\.gz)?",
        "%Y-%m-%d",
        "wechat",
        "trade_bill_refund",
        parser=partial(wechat_trade_bill.WechatTradeReading, bill_form="refund"),
        template="wechat/{date:%Y%m%d}/…Refund{date:%Y-%m-%d}.csv",
    ),
    *(
        _pattern(
            rf"(?P<channel_merchant_id>\d+)FundFlow{spelled}(?P<date>\d{{4}}-\d{{2}}-\d{{2}})\.csv(?:\.gz)?",
            "%Y-%m-%d",
            "wechat",
            f"fund_bill_{account_type}",
            parser=partial(fund_bill.WechatFundReading, account_type=account_type),
            template=f"wechat/{{date:%Y%m%d}}/…FundFlow{spelled}{{date:%Y-%m-%d}}.csv",
        )
        for account_type, spelled in fund_bill.ACCOUNT_TYPES.items()
    ),
    _pattern(
        r"(?P<account_id>\d{16})0156_(?P<date>\d{8})(?:(?:_业务明细)?\.zip|_(?:业务明细|DETAILS)\.csv)",
        "%Y%m%d",
        "alipay",
        "trade_bill",
        parser=trade_bill.TradeBillReading,
        template="alipay/{date:%Y%m%d}/…0156_{date:%Y%m%d}.zip",
    ),
    _pattern(
        r"(?P<account_id>\d{16})0156_(?P<date>\d{8})_(?:账务明细|ACCOUNT)\.(?:zip|csv)",
        "%Y%m%d",
        "alipay",
        "account_bill",
        parser=account_bill.AccountBillReading,
        template="alipay/{date:%Y%m%d}/…0156_{date:%Y%m%d}_账务明细.zip",
    ),
    # Both dates of the name have to be one; the parser says so.
    _pattern(
        r"(?P<date>\d{8})_(?P<end_date>\d{8})_ALL\.csv(?:\.gz)?",
        "%Y%m%d",
        "unionpay",
        "qr_gateway_bill",
        parser=qr_gateway_bill.GatewayBillReading,
        template="unionpay/{date:%Y%m%d}/{date:%Y%m%d}_{date:%Y%m%d}_ALL.csv",
    ),
    _pattern(
        r"camt053_(?P<bank_account_id>[0-9A-Za-z]{5,34})_(?P<date>\d{8})_(?P<sequence>\d{1,18})\.(?:xml|zip)",
        "%Y%m%d",
        "bank",
        "camt053",
        parser=camt053.Camt053Reading,
        template="bank/{date:%Y%m%d}/camt053_…_{date:%Y%m%d}_….xml",
    ),
    # Statements of several accounts in one file; each says its own account and number inside.
    _pattern(
        r"camt053_(?P<date>\d{8})_(?P<delivery>\d{1,6})\.(?:xml|zip)",
        "%Y%m%d",
        "bank",
        "camt053",
        parser=camt053.Camt053Reading,
        template="bank/{date:%Y%m%d}/camt053_{date:%Y%m%d}_….xml",
    ),
    _pattern(
        r"camt054_(?P<bank_account_id>[0-9A-Za-z]{5,34})_(?P<date>\d{8})_(?P<delivery>\d{1,6})\.(?:xml|zip)",
        "%Y%m%d",
        "bank",
        "camt054",
        parser=camt054.Camt054Reading,
        template="bank/{date:%Y%m%d}/camt054_…_{date:%Y%m%d}_….xml",
    ),
    _pattern(
        r"bankcsv_(?P<bank_account_id>[0-9A-Za-z]{5,34})_(?P<date>\d{8})_(?P<sequence>\d{1,6})\.csv",
        "%Y%m%d",
        "bank",
        "bank_csv",
        parser=bank_csv.BankCsvReading,
        template="bank/{date:%Y%m%d}/bankcsv_…_{date:%Y%m%d}_….csv",
    ),
    _pattern(
        r"mt940_(?P<bank_account_id>[0-9A-Za-z]{5,34})_(?P<date>\d{8})_(?P<sequence>\d{1,18})\.(?:sta|txt)",
        "%Y%m%d",
        "bank",
        "mt940",
        parser=mt940.Mt940Reading,
        template="bank/{date:%Y%m%d}/mt940_…_{date:%Y%m%d}_….sta",
    ),
    # Statements of several days or accounts: cut into the one above before they land.
    _pattern(
        r"mt940_(?P<date>\d{8})_(?P<delivery>\d{1,6})\.(?:sta|txt)",
        "%Y%m%d",
        "bank",
        "mt940",
        parser=mt940.Mt940Reading,
        template="bank/{date:%Y%m%d}/mt940_{date:%Y%m%d}_….sta",
    ),
)


def recognise(file_name: str) -> RecognisedFile | None:
    """Return what a file's name (without folders) says, or None where we know no such name."""
    for candidate in _PATTERNS:
        match = candidate.pattern.fullmatch(file_name)
        day = _date_of(match["date"], candidate.date_format) if match else None
        if match is not None and day is not None:
            parts = {
                name: text
                for name, text in match.groupdict().items()
                if name != "date" and text is not None
            }
            return RecognisedFile(
                file_name, candidate.channel, candidate.file_kind, day, candidate.parser, parts
            )
    return None


def expected_name(channel: str, file_kind: str, day: date) -> str:
    """Return where in an inbox a date's file is looked for; … stands for a part that varies.

    Of a channel that has no format of its own (`tieout.files.senders`), it is the first sender's
    who has such a kind.
    """
    of_kind = [candidate for candidate in _PATTERNS if candidate.file_kind == file_kind]
    own = [candidate for candidate in of_kind if candidate.channel == channel]
    return next((found.template.format(date=day) for found in [*own, *of_kind]), "")


class FileReading:
    """A file read by what its name says. Never raises for what is in the bytes.

    A file whose content is of another date than its name has a finding, whatever its format; and
    whatever its format, no text of it keeps a card number or a track
    (`tieout.channels.common.guard`), nor does a finding, which may quote a heading or a code.
    """

    def __init__(
        self,
        file: RecognisedFile,
        vault: Vault,
        *,
        cutoffs: Cutoffs | None = None,
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        self._file = file
        self._vault = vault
        self._context = FileContext(
            file.file_name,
            file.accounting_date,
            vault,
            file.name_parts,
            block_rows,
            cutoffs or Cutoffs(),
            file.channel,
        )
        self._reading: Reading | None = None
        self._masked: dict[tuple[str, str, str], MaskedValues] = {}
        self._refusal: ParsedFile | None = None

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows of the file block by block; see `Reading`."""
        try:
            self._reading = self._file.parser(self._context)
            for frames in self._reading.blocks(stream):
                kept, masked = guarded(frames, self._vault)
                self._count_masked(masked)
                yield kept
        except UnreadableFileError as error:
            self._refusal = error.as_parsed_file()
        except Exception as error:
            self._refusal = _fault(error)

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file, without frames."""
        parsed = self._refusal or self._finished()
        if parsed.bad_rows:
            shown = (
                replace(row, reason=masked_text(row.reason)[0], excerpt=masked_text(row.excerpt)[0])
                for row in parsed.bad_rows
            )
            return replace(parsed, bad_rows=tuple(shown))
        named = self._file.accounting_date
        if parsed.accounting_date != named:
            inside = parsed.accounting_date or "several dates"
            problem = file_problem("wrong_date", f"inside is {inside}, in the name {named}")
            return replace(parsed, bad_rows=(problem,))
        return replace(parsed, masked=tuple(self._masked[key] for key in sorted(self._masked)))

    def _finished(self) -> ParsedFile:
        if self._reading is None:
            raise AssertionError("no block was read")
        try:
            return self._reading.finish()
        except UnreadableFileError as error:
            return error.as_parsed_file()
        except Exception as error:
            return _fault(error)

    def _count_masked(self, masked: tuple[MaskedValues, ...]) -> None:
        for found in masked:
            key = (found.table, found.field, found.kind)
            known = self._masked.get(key)
            self._masked[key] = (
                replace(known, row_count=known.row_count + found.row_count) if known else found
            )


def _fault(error: Exception) -> ParsedFile:
    # The error's own text may quote the file, so only its kind is kept.
    reason = f"the parser failed ({type(error).__name__}); this is a fault of Tieout"
    return UnreadableFileError("parser_failed", reason).as_parsed_file()


def parse_file(
    content: bytes,
    file: RecognisedFile,
    vault: Vault,
    *,
    cutoffs: Cutoffs | None = None,
    block_rows: int = BLOCK_ROWS,
) -> ParsedFile:
    """Return a file with all its rows at once; see `FileReading`."""
    return read_whole(FileReading(file, vault, cutoffs=cutoffs, block_rows=block_rows), content)


def _date_of(text: str, date_format: str) -> date | None:
    try:
        return datetime.strptime(text, date_format).date()  # noqa: DTZ007 - a date, no instant
    except ValueError:
        return None
