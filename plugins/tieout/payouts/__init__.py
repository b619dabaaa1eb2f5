"""Payouts: instructions, attempts, pain.001 out, pain.002 and bank lines in.

``instruct`` writes one instruction for each payable statement of a payment date that passed the
gate, ``submit`` writes the batch files, ``apply_reports`` reads what the bank answered.
"""

from tieout.payouts.chains import ChainReport, verify
from tieout.payouts.instructions import InstructReport, instruct
from tieout.payouts.outcomes import AnswersDue, OutcomeReport, apply_reports
from tieout.payouts.payees import note_unwritable
from tieout.payouts.submission import SubmitReport, submit

__all__ = [
    "AnswersDue",
    "ChainReport",
    "InstructReport",
    "OutcomeReport",
    "SubmitReport",
    "apply_reports",
    "instruct",
    "note_unwritable",
    "submit",
    "verify",
]
