"""The system account of the embedded server where we are root: nothing else runs as it.

PostgreSQL refuses to run as root. Whoever shares the account it runs as reaches its files through
`/proc/<pid>/cwd`, whatever folders lie above, and is its superuser; `nobody`, which many services
share, is therefore no account for it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NAME", "Account", "AccountError", "server_account", "take_over", "why_shared"]

NAME = "tieout-pg"
COMMENT = "Tieout embedded PostgreSQL"
TOOLS_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
NO_LOGIN_SHELLS = ("/usr/sbin/nologin", "/sbin/nologin", "/usr/bin/false", "/bin/false")
# Who ran the server in versions before, and owns the data folders they left.
NOBODY = 65534
TIMEOUT_SECONDS = 60


class AccountError(Exception):
    """There is no account of its own for the server; the text says why."""


@dataclass(frozen=True, slots=True)
class Account:
    """User and group id of the server."""

    uid: int
    gid: int


def server_account() -> Account:
    """Return the server's account; make it when it is missing. For root only.

    Raises:
        AccountError: it cannot be made, or others share it.
    """
    entry = _entry() or _made()
    reason = why_shared(entry, pwd.getpwall())
    if reason is not None:
        raise AccountError(f"the account {NAME} {reason}")
    return Account(entry.pw_uid, entry.pw_gid)


def why_shared(entry: pwd.struct_passwd, everybody: Sequence[pwd.struct_passwd]) -> str | None:
    """Say why an account is not the server's alone, or None."""
    others = [
        other.pw_name
        for other in everybody
        if other.pw_uid == entry.pw_uid and other.pw_name != entry.pw_name
    ]
    if others:
        return f"shares its uid {entry.pw_uid} with {', '.join(sorted(others))}"
    if entry.pw_uid in {0, NOBODY} or entry.pw_gid == 0:
        return f"has the uid {entry.pw_uid} and gid {entry.pw_gid}, which are others'"
    if entry.pw_shell not in NO_LOGIN_SHELLS:
        return f"can log in: its shell is {entry.pw_shell or 'the default'}"
    return None


def _entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        return None


def _made() -> pwd.struct_passwd:
    """Make the account by the machine's own program; a racer may be first."""
    shell = next((path for path in NO_LOGIN_SHELLS if Path(path).exists()), NO_LOGIN_SHELLS[0])
    said = ""
    for command in _commands(shell):
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"PATH": TOOLS_PATH, "LC_ALL": "C"},
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
    entry = _entry()
    if entry is None:
        raise AccountError(f"the account {NAME} could not be made: {said or 'nothing was said'}")
    return entry


def _commands(shell: str) -> list[list[str]]:
    if useradd := shutil.which("useradd", path=TOOLS_PATH):
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        return [[useradd, *options, "--shell", shell, "--comment", COMMENT, NAME]]
    adduser, addgroup = (shutil.which(tool, path=TOOLS_PATH) for tool in ("adduser", "addgroup"))
    if adduser and addgroup:  # busybox
        options = ["-S", "-D", "-H", "-h", "/nonexistent", "-s", shell, "-g", COMMENT]
        return [[addgroup, "-S", NAME], [adduser, *options, "-G", NAME, NAME]]
    raise AccountError(f"there is no account {NAME}, and no useradd or adduser to make it")


def take_over(data_dir: Path, account: Account) -> bool:
    """Give a stopped server's data folder of an older version to its account; False when it is.

    Links are not followed. The folder itself comes last, so that what was cut off is done again.

    Raises:
        AccountError: the folder, or something in it, belongs to somebody else.
    """
    owner = data_dir.lstat().st_uid
    if owner == account.uid:
        return False
    former = {0, NOBODY, _nobody()}
    if owner not in former:
        raise AccountError(f"{data_dir} belongs to uid {owner}, neither to {NAME} nor to nobody")
    for _, folders, files, descriptor in os.fwalk(data_dir, follow_symlinks=False):
        for name in (*folders, *files):
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid
            if found not in former | {account.uid}:
                raise AccountError(f"{name} in {data_dir} belongs to uid {found}")
            os.chown(name, account.uid, account.gid, dir_fd=descriptor, follow_symlinks=False)
    os.chown(data_dir, account.uid, account.gid, follow_symlinks=False)
    return True


def _nobody() -> int:
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return NOBODY
