"""Decrypts one OpenPGP message, the file named by the only argument, to standard output; a script.

A process of its own, so that `decryption` can stop a message that grows without end, and a damaged
one cannot take the landing down. Keys come from the environment, never from arguments. Nothing is
written to standard error: what a library says of a damaged message may quote it.

Exit codes: 0 decrypted, 3 no key opens it or it is damaged, 4 no valid signature of a signer,
5 a key cannot be used.
"""

from __future__ import annotations

import os
import re
import sys

KEYS_VARIABLE = "TIEOUT_PGP_KEY"
PASSPHRASE_VARIABLE = "TIEOUT_PGP_PASSPHRASE"  # noqa: S105  a variable's name
SIGNERS_VARIABLE = "TIEOUT_PGP_SIGNERS"
UNOPENED, UNSIGNED, UNUSABLE = 3, 4, 5
BLOCK = re.compile(
    r"-----BEGIN PGP PRIVATE KEY BLOCK-----.+?-----END PGP PRIVATE KEY BLOCK-----", re.DOTALL
)


def main(path: str) -> int:
    """Try each key; one that does not fit writes nothing."""
    from pysequoia import Cert, Tsk, decrypt_file  # noqa: PLC0415  only here

    passphrase = os.environ.get(PASSPHRASE_VARIABLE) or None
    try:
        blocks = BLOCK.findall(os.environ[KEYS_VARIABLE])
        decryptors = [Tsk.from_bytes(block.encode()).decryptor(passphrase) for block in blocks]
        signers = Cert.split_bytes(os.environ.get(SIGNERS_VARIABLE, "").encode() or b"")
    except Exception:
        return UNUSABLE
    known = {signer.fingerprint for signer in signers}
    found = UNUSABLE if not decryptors else UNOPENED
    for decryptor in decryptors:
        try:
            done = decrypt_file(
                path,
                "/dev/stdout",
                decryptor=decryptor,
                store=(lambda _ids: signers) if signers else None,
            )
        except Exception as error:
            if str(error).startswith("Signature verification failed"):
                return UNSIGNED
            continue
        if known and not any(one.certificate in known for one in done.valid_sigs):
            return UNSIGNED
        return 0
    return found


if __name__ == "__main__":
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(main(sys.argv[1]))
