"""What tests of several packages share: one server for all of them, started when the first asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import TUNED, Live, make_home, serving


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a running server with the base `tiny` and its tuned model `numbers`."""
    with serving(make_home(tmp_path_factory.mktemp("live"))) as live:
        with live.client() as client:
            live.tune(client, TUNED)
        yield live
