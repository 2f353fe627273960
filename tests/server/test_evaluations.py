"""Evaluations over HTTP, on a running server with a tiny base."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.live import MAX_WAIT_SECONDS, TUNED, Live, make_home, serving


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server that evaluates when it is asked, with one tuned model that has held-out rows."""
    home = make_home(tmp_path_factory.mktemp("evaluations"))
    with serving(home, evaluates=False) as live, live.client() as client:
        examples = [{"textInput": str(n), "output": str(n + 1)} for n in range(16)]
        task = {
            "trainingData": {"examples": {"examples": examples}},
            "hyperparameters": {"epochCount": 1},
            "holdOut": "6",
        }
        body = {"baseModel": "models/tiny", "displayName": TUNED, "tuningTask": task}
        reply = client.post("/v1beta/tunedModels", params={"tunedModelId": TUNED}, json=body)
        assert reply.status_code == 200, reply.text
        live.wait_until_done(client, reply.json()["name"])
        yield live


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


def evaluated(client: httpx2.Client, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for an evaluation and wait for its end."""
    reply = client.post(f"/v1beta/tunedModels/{TUNED}:evaluate", json=body)
    assert reply.status_code == 200, reply.text
    found, give_up = reply.json(), time.monotonic() + MAX_WAIT_SECONDS
    while found["state"] == "RUNNING":
        assert time.monotonic() < give_up, found
        time.sleep(0.05)
        found = client.get(f"/v1beta/tunedModels/{TUNED}:evaluation").json()
    return dict(found)


def test_there_is_none_before_it_is_asked_for(client: httpx2.Client) -> None:
    """404, with what to call."""
    reply = client.get(f"/v1beta/tunedModels/{TUNED}:evaluation")

    assert reply.status_code == 404
    assert ":evaluate" in reply.json()["error"]["message"]


def test_held_out_rows_are_answered_by_everybody(client: httpx2.Client) -> None:
    """The report has all contenders, the sentence and the rows, and stays for the next look."""
    found = evaluated(client, {})

    report = found["report"]
    assert (found["state"], report["rows"], report["source"]) == ("SUCCEEDED", 6, "held-out rows")
    names = [one["name"] for one in report["contenders"]]
    assert names == ["majority", "similar", "base", "base_examples", "tuned"]
    assert report["verdict"]["kind"] == "TOO_FEW_ROWS"
    assert report["worstRows"][0]["answers"].keys() == set(names)
    assert client.get(f"/v1beta/tunedModels/{TUNED}:evaluation").json() == found


def test_examples_that_are_sent_take_the_place_of_held_out_rows(client: httpx2.Client) -> None:
    """With recorded answers of another model beside them."""
    examples = [{"textInput": str(n), "output": str(n + 1)} for n in range(100, 121)]
    recorded = {"title": "old", "answers": [str(n + 1) for n in range(100, 121)]}

    report = evaluated(client, {"examples": {"examples": examples}, "source": "new.csv", "recorded": recorded})[
        "report"
    ]

    assert (report["rows"], report["source"]) == (21, "new.csv")
    old = next(one for one in report["contenders"] if one["name"] == "recorded")
    assert (old["title"], old["figures"][0]["value"]) == ("old", 1.0)


def test_wrong_requests_are_refused_at_once(client: httpx2.Client) -> None:
    """Recorded answers without their rows, and a number of rows that makes no sense."""
    rows = client.post(f"/v1beta/tunedModels/{TUNED}:evaluate", json={"recorded": {"answers": []}})
    wrong = client.post(f"/v1beta/tunedModels/{TUNED}:evaluate", json={"maxRows": 0})

    assert (rows.status_code, wrong.status_code) == (400, 400)
    assert "goes with the examples" in rows.json()["error"]["message"]
    assert "maxRows must be between 1 and 500" in wrong.json()["error"]["message"]
