"""The drop's SFTP server: one user with keys, two folders, nothing else.

OpenSSH locks a user into a folder only where it runs as root. This one runs as the user Tieout
runs as, and what lies beside the drop (its own host key) is kept from clients by the names it
answers to: every name counts from the drop, and no link is made or followed out of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import asyncssh

DROP = Path("/srv/drop")
HOST_KEY = Path("/srv/sftp-keys/ssh_host_ed25519_key")
AUTHORIZED_KEYS = Path("/run/secrets/sftp_authorized_keys")
USER = "drop"
PORT = 2222


class Login(asyncssh.SSHServer):
    """Lets the one user in with a listed key; the list is read at each login."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Keep the connection: it is told whose keys count."""
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        """Ask everybody for a key; only the drop's user has any."""
        if username == USER:
            self._connection.set_authorized_keys(str(AUTHORIZED_KEYS))
        return True

    def password_auth_supported(self) -> bool:
        """No passwords."""
        return False


class Drop(asyncssh.SFTPServer):
    """The files of the drop."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(channel, chroot=os.fsencode(DROP))

    def map_path(self, path: bytes) -> bytes:
        """Return the local name; refuse one that leads out of the drop."""
        local = super().map_path(path)
        if not Path(os.fsdecode(local)).resolve().is_relative_to(DROP):
            raise asyncssh.SFTPPermissionDenied("it leads out of the drop")
        return local

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """Refuse: nothing that is delivered is a link."""
        raise asyncssh.SFTPPermissionDenied("no links")

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        """Refuse: nothing that is delivered is a link."""
        raise asyncssh.SFTPPermissionDenied("no links")


def host_key() -> asyncssh.SSHKey:
    """Return the host key; make it once (it lives in a volume)."""
    if not HOST_KEY.is_file():
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_public_key(str(HOST_KEY.with_suffix(".pub")))
        making = HOST_KEY.with_suffix(".making")
        key.write_private_key(str(making))
        making.replace(HOST_KEY)
    return asyncssh.read_private_key(str(HOST_KEY))


async def serve() -> None:
    """Serve until told to stop."""
    # Deliveries and payment files hold card and account numbers in the clear.
    os.umask(0o077)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await asyncssh.create_server(
        Login,
        "",
        PORT,
        server_host_keys=[host_key()],
        sftp_factory=Drop,
        allow_scp=False,
        agent_forwarding=False,
        x11_forwarding=False,
        login_timeout=30,
        keepalive_interval=60,
    )
    async with server:
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(serve())
