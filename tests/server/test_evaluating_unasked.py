"""A running server evaluates what has just been tuned, without being asked."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2
import pytest

from tests.live import MAX_WAIT_SECONDS, Live, make_home, serving


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server that evaluates by itself, as it does by default."""
    with serving(make_home(tmp_path_factory.mktemp("unasked"))) as live:
        yield live


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


def test_the_verdict_is_there_without_asking(live: Live, client: httpx2.Client) -> None:
    """The report about the held-out rows comes by itself."""
    live.tune(client, "judged", rows=16, hold_out="6")

    give_up = time.monotonic() + MAX_WAIT_SECONDS
    while not (found := client.get("/v1beta/tunedModels/judged/evaluations").json()).get("evaluations") or (
        found["evaluations"][0]["state"] == "RUNNING"
    ):
        assert time.monotonic() < give_up, found
        time.sleep(0.05)

    (evaluation,) = found["evaluations"]
    assert (evaluation["state"], evaluation["report"]["source"], evaluation["report"]["rows"]) == (
        "SUCCEEDED",
        "held-out rows",
        6,
    )


def test_a_model_without_held_out_rows_is_left_alone(live: Live, client: httpx2.Client) -> None:
    """The next model with held-out rows is under evaluation, and this one is not."""
    live.tune(client, "unjudged", rows=16)
    live.tune(client, "next", rows=16, hold_out="4")
    give_up = time.monotonic() + MAX_WAIT_SECONDS
    while not client.get("/v1beta/tunedModels/next/evaluations").json():
        assert time.monotonic() < give_up
        time.sleep(0.05)

    assert client.get("/v1beta/tunedModels/unjudged/evaluations").json() == {}
