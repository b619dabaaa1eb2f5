"""The rail of ISO 20022: pain.001 out, pain.002 back."""

from __future__ import annotations

import re
from typing import Final

from tieout.payouts import pain001, pain002
from tieout.payouts.batches import Batch, Payment, ReadBatch
from tieout.payouts.rails import acknowledgements
from tieout.payouts.rails.acknowledgements import Acknowledgement
from tieout.payouts.reports import StatusReport

__all__ = ["Pain001Rail"]

_PAYMENT_FILE: Final = re.compile(r"pain001_(.+)\.xml")
_ANSWER: Final = re.compile(r"pain002_.+\.(?:xml|zip)")


class Pain001Rail:
    """`Rail` of pain.001: one PmtInf a file, booked as one debit."""

    name = "pain001"
    answer_kind = "pain002"

    def file_name(self, message_id: str) -> str:
        """Return ``pain001_<message id>.xml``."""
        return f"pain001_{message_id}.xml"

    def message_id(self, file_name: str) -> str | None:
        """Return the message id in a payment file's name."""
        match = _PAYMENT_FILE.fullmatch(file_name)
        return None if match is None else match[1]

    def write(self, batch: Batch) -> bytes:
        """Write the version that the account's bank takes."""
        return pain001.write(batch)

    def read(self, content: bytes, source: str) -> ReadBatch:
        """Read a file of ours, of either version."""
        return pain001.read(content, source)

    def acknowledgement_name(self, file_name: str) -> str:
        """Return ``<file name>.ack``."""
        return f"{file_name}{acknowledgements.SUFFIX}"

    def read_acknowledgement(self, content: bytes, source: str) -> Acknowledgement:
        """Read size and digest, as lines of ``key=value``."""
        return acknowledgements.read(content, source)

    def why_unwritable(self, payment: Payment) -> str | None:
        """Say which text no pain.001 can hold."""
        return pain001.why_payment_unwritable(payment)

    def is_answer(self, file_name: str) -> bool:
        """Say whether it is named as a status report is."""
        return _ANSWER.fullmatch(file_name) is not None

    def read_answer(self, content: bytes, source: str) -> StatusReport:
        """Read a pain.002 of any version."""
        return pain002.read(content, source)
