"""Where the real public files are: beside the project, or in the folder that SAMPLES_DIR names.

They are no part of the project. Where there are none, their tests are skipped, and the end of the
run says so loudly.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tieout.core.settings import PROJECT_DIR

__all__ = ["SAMPLES", "needs_samples"]

SAMPLES = Path(os.environ.get("SAMPLES_DIR") or PROJECT_DIR.parent / "shared" / "samples")
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"no real samples in {SAMPLES}")
