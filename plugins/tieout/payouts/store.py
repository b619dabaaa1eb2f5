"""Payment files, statements and reports in a store: what is written never replaces another's file.

Secrets stay in the environment's connections, never in a URL that is shown or kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from tieout.core.errors import TieoutError
from tieout.core.progress import say
from tieout.files import store, store_urls
from tieout.files.store import Entry, IrregularFileError, Reading

# Far above any file of ours: 3,000 payments are 3 MB.
BYTES_MAX = 64 * 1024**2


class StoreError(TieoutError):
    """A store on another machine did not answer, or refused us: nothing was handed over by it."""


class Store(store.Store):
    """The outbox, the bank's own place of payment files, or the bank's folders of the inbox.

    What cannot be reached is told as a `StoreError`: the libraries behind it have errors of their
    own, whose texts may hold a login.
    """

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
            with self._reaching(path):
                return self.read(path, bytes_max)
        except FileNotFoundError:
            return None

    def look(self, path: str) -> Entry | None:
        """Return what lies at a path; None where there is nothing."""
        with self._reaching(path):
            return super().look(path)

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of the files directly in a folder, sorted; none where it is missing."""
        with self._reaching(folder):
            return super().names(folder)

    def write(self, path: str, content: bytes) -> None:
        """Write a file whatever is there, whole or not at all."""
        with self._reaching(path, writes=True):
            super().write(path, content)

    def remove(self, path: str) -> None:
        """Remove a file."""
        with self._reaching(path):
            super().remove(path)

    def put_out(self, path: str) -> None:
        """Give the hidden file of ``path`` its name: from now on it may be fetched."""
        with self._reaching(path, writes=True):
            super().put_out(path)

    @contextmanager
    def _reaching(self, path: str, *, writes: bool = False) -> Iterator[None]:
        """Say in our words what a library raises that does not reach its store.

        That nothing lies at a path is an answer where it is read, and none where it is written.
        """
        is_open = False
        try:
            is_open = self.file_system is not None
            yield
        except (TieoutError, IrregularFileError):
            raise
        except Exception as error:
            # Before it is open, what is missing is a key of ours.
            is_answer = isinstance(error, FileNotFoundError) and is_open and not writes
            if is_answer or not store_urls.is_elsewhere(self._url):
                raise
            # A connection that broke is kept by its library: the next call makes a new one.
            lost = self.__dict__.pop("file_system", None)
            if lost is not None:
                type(lost).clear_instance_cache()
            raise StoreError(
                what="a store of payment files is not reached",
                where=self.url_of(path),
                why=store_urls.why_not_reached(error),
                next_step=(
                    "see that the server answers, that its key is in TIEOUT_SSH_KNOWN_HOSTS and "
                    "that our login may write there, then run the same again: what was not handed "
                    "over is handed over then, once"
                ),
            ) from None

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
        with self._reaching(path, writes=True):
            self.write_hidden(path, content)

    def prepared(self, path: str) -> bytes | None:
        """Return what lies under the hidden name of ``path``, or None."""
        return self.whole(store.hidden(path))

    def drop_prepared(self, path: str) -> None:
        """Remove what was prepared for ``path``, where there is something."""
        if self.prepared(path) is not None:
            self.remove(store.hidden(path))

    def hand_over(self, path: str, sha256: str, about: str, *, is_first: bool) -> bool:
        """Give a file on record its name, unless it had it before; return whether that was now.

        While the hidden name is there the file was never put out, where a move is one step;
        elsewhere that is known in the run that prepared it only. What is not there at all is told
        and not written again: the bank may have it.

        Args:
            path: the file's own name.
            sha256: of its bytes, as it is on record.
            about: what the file holds, such as payments.
            is_first: this run prepared it.

        Raises:
            TieoutError: another file lies under the hidden name, or under its own.
        """
        present = self.whole(path)
        if present is not None:
            if hashlib.sha256(present).hexdigest() != sha256:
                raise self.other_content(path, present, sha256)
            self.drop_prepared(path)
            return False
        prepared = self.prepared(path)
        if prepared is None or not (is_first or self.moves_in_one_step):
            say(
                f"{self.url_of(path)} is on record and not in the outbox: the bank may have "
                f"fetched it, so it is not written again; without an answer its {about} become "
                "unknown"
            )
            return False
        if hashlib.sha256(prepared).hexdigest() != sha256:
            raise TieoutError(
                what=f"{self.url_of(path)} is not put out",
                where=self.url_of(path),
                why="what was prepared is not what is on record",
                next_step="do not send it; remove the prepared file and run the same again",
            )
        self.put_out(path)
        return True

    def replace(self, path: str, content: bytes) -> None:
        """Write ``path`` whatever is there, whole or not at all."""
        if self.whole(path) != content:
            self.write(path, content)
        else:
            self.make_private(path)
