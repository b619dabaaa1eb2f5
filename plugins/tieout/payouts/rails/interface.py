"""What a rail is: a name, its files out and in, and what its files can hold."""

from __future__ import annotations

from typing import Protocol

from tieout.payouts.batches import Batch, Payment, ReadBatch
from tieout.payouts.rails.acknowledgements import Acknowledgement
from tieout.payouts.reports import StatusReport

__all__ = ["Rail"]


class Rail(Protocol):
    """One way a bank takes payouts. The same batch gives the same bytes, on every machine.

    What a bank takes (payments in a file, the largest amount, an address) stands in the batch's
    `Debtor`; what the layout itself can hold is the rail's.
    """

    @property
    def name(self) -> str:
        """The name in `reference.payout_rails`."""
        ...

    @property
    def answer_kind(self) -> str:
        """The `file_kind` under which its answers are registered."""
        ...

    def file_name(self, message_id: str) -> str:
        """Return the name of a batch's payment file."""
        ...

    def message_id(self, file_name: str) -> str | None:
        """Return the batch of a payment file's name; None where it is no name of this rail."""
        ...

    def write(self, batch: Batch) -> bytes:
        """Return the payment file.

        Raises:
            TieoutError: the bank or the layout does not take it; nothing may be sent.
        """
        ...

    def read(self, content: bytes, source: str) -> ReadBatch:
        """Read a payment file of ours back; ``source`` ends with its name.

        Raises:
            TieoutError: it is not whole, or its totals do not agree.
        """
        ...

    def acknowledgement_name(self, file_name: str) -> str:
        """Return the name under which a receiver acknowledges a payment file, beside it."""
        ...

    def read_acknowledgement(self, content: bytes, source: str) -> Acknowledgement:
        """Read which file a receiver says it has.

        Raises:
            TieoutError: it is not understood whole: a finding, as one of another file is.
        """
        ...

    def why_unwritable(self, payment: Payment) -> str | None:
        """Say which text of a payment its files cannot hold, or None; never the text itself."""
        ...

    def is_answer(self, file_name: str) -> bool:
        """Say whether a file of that name is the bank's answer on this rail."""
        ...

    def read_answer(self, content: bytes, source: str) -> StatusReport:
        """Read the bank's answer.

        Raises:
            TieoutError: it is not whole, its totals do not agree, or it has a code that is not
                known: a person looks at it, and nothing is guessed.
        """
        ...
