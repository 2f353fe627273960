"""
The local proof: a file that only the user of this machine can read, with a token that is good while the server runs.

Who can read it could change the data folder anyway. Knows the file; the server holds a hash of the token, in memory.
"""

from __future__ import annotations

import contextlib
import hmac
import os
from pathlib import Path

from tunery.service.accounts.opaque import Prefix, digest, is_well_formed, new_secret
from tunery.service.folder import DataFolder


class LocalProof:
    """The proof of one running server; none until it is started."""

    def __init__(self) -> None:
        self._sha256: str | None = None

    def start(self, folder: DataFolder) -> Path:
        """Write a new token into the data folder, readable for its user only, and return the file."""
        token = new_secret(Prefix.LOCAL)
        path = folder.local_token
        new = path.with_suffix(f".{os.getpid()}")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token)
        new.replace(path)
        self._sha256 = digest(token)
        return path

    def matches(self, token: str) -> bool:
        """Say whether this is the token in the file."""
        if self._sha256 is None or not is_well_formed(token, Prefix.LOCAL):
            return False
        return hmac.compare_digest(self._sha256, digest(token))

    def stop(self, folder: DataFolder) -> None:
        """Take the token back."""
        self._sha256 = None
        with contextlib.suppress(OSError):
            folder.local_token.unlink(missing_ok=True)
