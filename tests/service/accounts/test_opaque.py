"""Secrets that we give out: their form, and what is seen of a wrong one."""

from __future__ import annotations

import pytest

from tunery.service.accounts.secrets import Prefix, digest, is_well_formed, new_secret


@pytest.mark.parametrize("prefix", list(Prefix))
def test_a_new_secret_has_its_form(prefix: Prefix) -> None:
    """Prefix, 43 characters for 256 bits, checksum; and no two are equal."""
    secret = new_secret(prefix)

    assert is_well_formed(secret, prefix)
    assert len(secret) == len(prefix) + 49
    assert secret != new_secret(prefix)


def test_a_typing_mistake_is_seen_without_a_table() -> None:
    """Each single changed character breaks the checksum."""
    secret = new_secret(Prefix.KEY)

    for place in range(len(Prefix.KEY), len(secret)):
        changed = secret[:place] + ("A" if secret[place] != "A" else "B") + secret[place + 1 :]
        assert not is_well_formed(changed, Prefix.KEY)


@pytest.mark.parametrize(
    "text", ["", "tny_k_", "x" * 55, "tny_k_" + "é" * 49, new_secret(Prefix.ACCESS) + "\n"], ids=range(5)
)
def test_other_texts_are_no_secrets(text: str) -> None:
    """Nor is a secret with another prefix."""
    assert not is_well_formed(text, Prefix.KEY, Prefix.ACCESS)
    assert not is_well_formed(new_secret(Prefix.REFRESH), Prefix.KEY, Prefix.ACCESS)


def test_what_is_kept_is_a_sha256() -> None:
    """64 hexadecimal digits that say nothing of the secret."""
    assert len(digest(new_secret(Prefix.KEY))) == 64
