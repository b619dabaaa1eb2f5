"""What a person at a terminal sees while long work runs. Never for results: those go to stdout."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

__all__ = ["say", "step"]


def say(text: str) -> None:
    """Write one line to stderr at once."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Say what begins, and how many seconds it took or that it failed.

    On a terminal both stand in one line; in a log the end is a line of its own, so that two
    processes writing one log do not mix within a line.
    """
    terminal = sys.stderr.isatty()
    started = time.monotonic()
    if terminal:
        sys.stderr.write(f"{title} … ")
        sys.stderr.flush()
    else:
        say(f"{title} …")
    prefix = "" if terminal else f"{title}: "
    try:
        yield
    except BaseException:
        say(f"{prefix}failed after {time.monotonic() - started:.1f} s")
        raise
    say(f"{prefix}{time.monotonic() - started:.1f} s")
