"""The rail of an agency's batch files (代付批量文件): T11101 out, its answer file back."""

from __future__ import annotations

import re
from typing import Final

from tieout.payouts import agency
from tieout.payouts.batches import Batch, Payment, ReadBatch
from tieout.payouts.rails import acknowledgements
from tieout.payouts.rails.acknowledgements import Acknowledgement
from tieout.payouts.reports import StatusReport

__all__ = ["AgencyRail"]

_PAYMENT_FILE: Final = re.compile(r"agency_payout_(.+)\.txt")
_ANSWER: Final = re.compile(r"agency_answer_.+\.txt")


class AgencyRail:
    """`Rail` of an agency: the batch's number stands in the file's name."""

    name = "agency_payout"
    answer_kind = "agency_answer"

    def file_name(self, message_id: str) -> str:
        """Return ``agency_payout_<message id>.txt``."""
        return f"agency_payout_{message_id}.txt"

    def message_id(self, file_name: str) -> str | None:
        """Return the message id in a payment file's name."""
        match = _PAYMENT_FILE.fullmatch(file_name)
        return None if match is None else match[1]

    def write(self, batch: Batch) -> bytes:
        """Write the batch."""
        return agency.write(batch)

    def read(self, content: bytes, source: str) -> ReadBatch:
        """Read a file of ours."""
        return agency.read(content, source)

    def acknowledgement_name(self, file_name: str) -> str:
        """Return ``<file name>.ack``."""
        return f"{file_name}{acknowledgements.SUFFIX}"

    def read_acknowledgement(self, content: bytes, source: str) -> Acknowledgement:
        """Read size and digest, as lines of ``key=value``."""
        return acknowledgements.read(content, source)

    def why_unwritable(self, payment: Payment) -> str | None:
        """Say which text the layout cannot hold."""
        return agency.why_payment_unwritable(payment)

    def is_answer(self, file_name: str) -> bool:
        """Say whether it is named as an answer is."""
        return _ANSWER.fullmatch(file_name) is not None

    def read_answer(self, content: bytes, source: str) -> StatusReport:
        """Read an answer file."""
        return agency.read_answer(content, source)
