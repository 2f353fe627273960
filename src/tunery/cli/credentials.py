"""
Files that google-auth reads: the one of a login, and key files for machines.

Readable for their user only. Knows what google-auth expects of them; nothing of how the secrets in them were made.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from tunery.errors import FailedPrecondition

LOGIN_FILE = "credentials.json"

# A domain of our own that leads nowhere: with Google's, google-auth 2.62 shows the user's signed token to Google.
UNIVERSE_DOMAIN = "tunery.invalid"


def login_document(address: str, client_id: str, client_secret: str, refresh_token: str) -> dict[str, str]:
    """Return what `google.auth.default()` reads of a login; it renews the login by itself."""
    return {
        "type": "external_account_authorized_user",
        "audience": f"{address}/",  # anything but a workforce pool: for these, google-auth calls Google
        "client_id": client_id,
        "client_secret": client_secret,
        "refresh_token": refresh_token,
        "token_url": f"{address}/oauth/token",
        "token_info_url": f"{address}/oauth/introspect",
        "revoke_url": f"{address}/oauth/revoke",
    }


def key_document(address: str, email: str, key_id: str, private_key: str) -> dict[str, str]:
    """Return a key file: its holder signs tokens himself, without asking anybody."""
    return {
        "type": "service_account",
        "project_id": "tunery",
        "private_key_id": key_id,
        "private_key": private_key,
        "client_email": email,
        "client_id": key_id,
        "auth_uri": f"{address}/oauth/authorize",
        "token_uri": f"{address}/oauth/token",
        "universe_domain": UNIVERSE_DOMAIN,
    }


def new_key_pair() -> tuple[str, str]:
    """Return a private and a public RSA key as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def write_private(path: Path, document: Mapping[str, str]) -> None:
    """Write a file that only its user can read, whole or not at all; raises FailedPrecondition."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise FailedPrecondition(f"{path} cannot be written ({error.strerror}).") from error


def read_login(path: Path) -> dict[str, str] | None:
    """Return the login in a file, None if there is none that can be read."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and "refresh_token" in document else None


def export_line(path: Path) -> str:
    """Return the line that lets Google's libraries find a file."""
    return f"export GOOGLE_APPLICATION_CREDENTIALS={shlex.quote(str(path))}"
