"""Fee bills of gross merchants: made, told of, debited, and what the bank answers.

The owner's functions decide what stands in a bill, who is debited and what is collected
(docs/domain.md#collection-of-fee-bills); here are the files around them.
"""

from __future__ import annotations

from tieout.billing.answers import AnswersReport, read_answers
from tieout.billing.debiting import DebitReport, put_out, start
from tieout.billing.issued import Bill, BillingError, bills, events, issue, remind, why_not_debited
from tieout.billing.notices import write_notice, write_notices

__all__ = [
    "AnswersReport",
    "Bill",
    "BillingError",
    "DebitReport",
    "bills",
    "events",
    "issue",
    "put_out",
    "read_answers",
    "remind",
    "start",
    "why_not_debited",
    "write_notice",
    "write_notices",
]
