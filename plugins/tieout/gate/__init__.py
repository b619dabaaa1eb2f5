"""The gate: Great Expectations decides whether a payment date may be paid."""

from __future__ import annotations

from tieout.gate.deciding import (
    CheckpointResult,
    Decision,
    Failure,
    WaitingRelease,
    approve_release,
    close_checkpoint,
    decide,
    keep_expectations,
    landing_checkpoint,
    latest_decision,
    request_release,
    waiting_releases,
)
from tieout.gate.explanations import explain_failure, explanations

__all__ = [
    "CheckpointResult",
    "Decision",
    "Failure",
    "WaitingRelease",
    "approve_release",
    "close_checkpoint",
    "decide",
    "explain_failure",
    "explanations",
    "keep_expectations",
    "landing_checkpoint",
    "latest_decision",
    "request_release",
    "waiting_releases",
]
