"""Requests to an old model's endpoint, and its failures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provider import KEY, Provider, providing
from tunery.errors import InvalidArgument, PermissionDenied
from tunery.old_models import Endpoint, OldModel, Style


@pytest.fixture
def address() -> Iterator[str]:
    """Return the address of a provider."""
    with providing() as address:
        yield address


def test_limits_and_failures_are_retried(address: str) -> None:
    """The wait is the one the endpoint requests, otherwise it doubles."""
    waited: list[float] = []
    Provider.failures = [(429, {"retry-after": "7"}), (500, {}), (503, {})]
    old = OldModel(Endpoint(address, Style.OPENAI, "old", KEY, "K"), 1e9, sleep=waited.append)

    answer = old.ask("1")
    old.close()

    assert (answer, [wait for wait in waited if wait > 0.5]) == ("2", [7.0, 2.0, 4.0])


def test_a_refused_key_ends_the_run(address: str) -> None:
    """The message names the environment variable and does not contain the key."""
    Provider.failures = [(401, {})]
    old = OldModel(Endpoint(address, Style.OPENAI, "old", KEY, "MY_KEY"), 1e9)

    with pytest.raises(PermissionDenied, match=r"the key in \$MY_KEY") as raised:
        old.ask("1")
    old.close()

    assert KEY not in str(raised.value)


def test_a_key_is_not_sent_unencrypted() -> None:
    """Plain HTTP is accepted for this machine only."""
    with pytest.raises(InvalidArgument, match="unencrypted"):
        Endpoint("http://example.com/v1", Style.OPENAI, "old", KEY, "K")
