"""The gate: Great Expectations decides whether a payment date may be paid."""

from __future__ import annotations

from tieout.gate.deciding import (
    CheckpointResult,
    Decision,
    Failure,
    close_checkpoint,
    decide,
    keep_expectations,
    landing_checkpoint,
    release,
)

__all__ = [
    "CheckpointResult",
    "Decision",
    "Failure",
    "close_checkpoint",
    "decide",
    "keep_expectations",
    "landing_checkpoint",
    "release",
]
