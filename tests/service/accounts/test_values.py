"""Secrets: their format, and how malformed ones are recognized."""

from __future__ import annotations

import pytest

from tunery.service.accounts.values import TokenKind, digest, kind_of, new_secret


@pytest.mark.parametrize("kind", list(TokenKind))
def test_a_new_secret_has_the_format_of_its_kind(kind: TokenKind) -> None:
    """A secret is its prefix, 43 characters for 256 bits and a checksum; no two are equal."""
    secret = new_secret(kind)

    assert kind_of(secret) is kind
    assert secret.startswith(kind)
    assert len(secret) == len(kind) + 49
    assert secret != new_secret(kind)


def test_a_typing_mistake_is_seen_without_a_table() -> None:
    """Every single changed character breaks the checksum."""
    secret = new_secret(TokenKind.KEY)

    for place in range(len(TokenKind.KEY), len(secret)):
        changed = secret[:place] + ("A" if secret[place] != "A" else "B") + secret[place + 1 :]
        assert kind_of(changed) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tny_k_",
        "x" * 55,
        "tny_k_" + "é" * 49,
        new_secret(TokenKind.ACCESS) + "\n",
        new_secret(TokenKind.REFRESH).replace("tny_r_", "tny_k_"),
    ],
    ids=range(6),
)
def test_other_texts_are_not_secrets(text: str) -> None:
    """A secret with another prefix is not one either."""
    assert kind_of(text) is None


def test_what_is_kept_is_a_sha256() -> None:
    """Only 64 hexadecimal digits are kept, which reveal nothing about the secret."""
    assert len(digest(new_secret(TokenKind.KEY))) == 64
