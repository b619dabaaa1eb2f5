"""Another try for what may work in a moment: bounded, and with growing pauses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from tieout.fetching.report import TransientFetchError

__all__ = ["Sleep", "with_retries"]

Result = TypeVar("Result")
Sleep = Callable[[float], None]

PAUSE_SECONDS_MAX = 30.0


def with_retries(call: Callable[[], Result], *, attempts: int, sleep: Sleep = time.sleep) -> Result:
    """Return what `call` returns; a TransientFetchError is tried again, `attempts` times in all.

    The pauses are drawn between 0 and 1, 2, 4 … up to 30 seconds, so that many clients do not
    come back at the same moment. The last error is raised as it is.
    """
    retrying = Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=1, max=PAUSE_SECONDS_MAX),
        retry=retry_if_exception_type(TransientFetchError),
        sleep=sleep,
        reraise=True,
    )
    return retrying(call)
