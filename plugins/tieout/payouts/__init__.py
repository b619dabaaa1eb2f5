"""Payouts: instructions, attempts, pain.001 out, pain.002 and bank lines in.

``instruct`` writes one instruction for each payable statement of a payment date that passed the
gate, ``submit`` writes the batch files, ``apply_reports`` reads what the bank answered,
``pay_again`` repeats what failed or came back, ``inquire`` asks about what is unknown.
"""

from tieout.payouts.acknowledgements import listed as acknowledgements_listed
from tieout.payouts.again import (
    AgainReport,
    Grounds,
    NotPaidAgainError,
    pay_again,
    pay_again_by_policy,
    put_out_again,
    weigh,
)
from tieout.payouts.chains import ChainReport, verify
from tieout.payouts.inquiries import InquiryReport, inquire
from tieout.payouts.instructions import InstructReport, instruct
from tieout.payouts.outcomes import AnswersDue, OutcomeReport, apply_reports
from tieout.payouts.payees import note_unwritable
from tieout.payouts.submission import SubmitReport, submit

__all__ = [
    "AgainReport",
    "AnswersDue",
    "ChainReport",
    "Grounds",
    "InquiryReport",
    "InstructReport",
    "NotPaidAgainError",
    "OutcomeReport",
    "SubmitReport",
    "acknowledgements_listed",
    "apply_reports",
    "inquire",
    "instruct",
    "note_unwritable",
    "pay_again",
    "pay_again_by_policy",
    "put_out_again",
    "submit",
    "verify",
    "weigh",
]
