"""Where the simulated world writes its files: a local folder, or any fsspec URL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec


@dataclass(frozen=True)
class Store:
    """A folder of files named by paths relative to it, with forward slashes."""

    filesystem: Any
    root: str

    def write(self, path: str, content: bytes) -> None:
        """Write one whole file; readers of a local folder never see half of it."""
        target = f"{self.root}/{path}"
        self.filesystem.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        if "file" in self.filesystem.protocol:
            partial = f"{target}.partial"
            Path(partial).write_bytes(content)
            Path(partial).replace(target)
        else:
            self.filesystem.pipe_file(target, content)

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        content: bytes = self.filesystem.cat_file(f"{self.root}/{path}")
        return content

    def exists(self, path: str) -> bool:
        """Say whether the file is there."""
        return bool(self.filesystem.exists(f"{self.root}/{path}"))


def open_store(location: Path | str) -> Store:
    """Return the store at a folder's path or URL (``file://…``, ``sftp://…``, ``memory://…``)."""
    if isinstance(location, Path) or "://" not in location:
        return Store(fsspec.filesystem("file"), str(Path(location).absolute()))
    if location.startswith("file://"):
        local = Path(unquote(urlsplit(location).path)).absolute()
        return Store(fsspec.filesystem("file"), str(local))
    filesystem, root = fsspec.core.url_to_fs(location)
    return Store(filesystem, str(root).rstrip("/"))
