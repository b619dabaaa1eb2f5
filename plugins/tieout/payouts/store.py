"""Payment files, statements and reports in a store: what is written never replaces another's file.

Secrets stay in the environment's connections, never in a URL that is shown or kept.
"""

from __future__ import annotations

import hashlib

from tieout.core.errors import TieoutError
from tieout.files import store
from tieout.files.store import IrregularFileError, Reading

# Far above any file of ours: 3,000 payments are 3 MB.
BYTES_MAX = 64 * 1024**2


class Store(store.Store):
    """The outbox, or the bank's folders of the inbox."""

    def whole(self, path: str) -> bytes | None:
        """Return a file's bytes, or None where it does not exist.

        Raises:
            TieoutError: what lies there is no regular file, or larger than any file of ours.
        """
        try:
            reading = self.read_bounded(path, BYTES_MAX)
        except IrregularFileError as error:
            raise self._not_ours(path, str(error)) from error
        if reading is not None and reading.content is None:
            raise self._not_ours(path, f"it has {reading.size_bytes:,} bytes")
        return None if reading is None else reading.content

    def read_bounded(self, path: str, bytes_max: int) -> Reading | None:
        """Read a file, no more of it than ``bytes_max`` bytes; None where it does not exist.

        Raises:
            IrregularFileError: it is no regular file.
        """
        try:
            return self.read(path, bytes_max)
        except FileNotFoundError:
            return None

    def _not_ours(self, path: str, why: str) -> TieoutError:
        return TieoutError(
            what=f"{self.url_of(path)} is not a file of ours",
            where=self.url_of(path),
            why=why,
            next_step="find out who put it there, take it away, and run the same again",
        )

    def other_content(self, path: str, present: bytes, sha256: str) -> TieoutError:
        """Return the error that says another file lies where one of this hash belongs."""
        return TieoutError(
            what=f"{self.url_of(path)} exists with other content",
            where=self.url_of(path),
            why=(
                f"sha256 {hashlib.sha256(present).hexdigest()[:16]} there, {sha256[:16]} of ours; "
                "a file that may have been sent is never replaced"
            ),
            next_step="find out which of the two the bank has, then remove the other by hand",
        )

    def prepare(self, path: str, content: bytes) -> None:
        """Write the bytes under the hidden name of ``path``; `put_out` gives them theirs."""
        self.write_hidden(path, content)

    def prepared(self, path: str) -> bytes | None:
        """Return what lies under the hidden name of ``path``, or None."""
        return self.whole(store.hidden(path))

    def drop_prepared(self, path: str) -> None:
        """Remove what was prepared for ``path``, where there is something."""
        if self.prepared(path) is not None:
            self.remove(store.hidden(path))

    def replace(self, path: str, content: bytes) -> None:
        """Write ``path`` whatever is there, whole or not at all."""
        if self.whole(path) != content:
            self.write(path, content)
        else:
            self.make_private(path)
