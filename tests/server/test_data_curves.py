"""Data curves over HTTP, on a running server with a tiny base: what more rows would bring to a tuned model."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.live import MAX_WAIT_SECONDS, Live, make_home, serving


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server with two tuned models that have rows enough for a curve, and one that has not."""
    with serving(make_home(tmp_path_factory.mktemp("curves")), evaluates=False) as live, live.client() as client:
        live.tune(client, "large", rows=48, batchSize=8)
        live.tune(client, "other", rows=48, batchSize=8)
        live.tune(client, "small", rows=39, batchSize=8)
        yield live


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


def test_few_rows_are_refused_at_once(client: httpx2.Client) -> None:
    """The number that is needed is said."""
    reply = client.post("/v1beta/tunedModels/small:dataCurve")

    assert reply.status_code == 400
    assert "at least 40 rows; small has 39" in reply.json()["error"]["message"]


def test_a_curve_is_drawn_while_others_are_refused(client: httpx2.Client) -> None:
    """Three sizes are measured; the same call is no second curve, that of another model is 429; no file is left."""
    assert client.get("/v1beta/tunedModels/large/dataCurves").json() == {}
    assert client.get("/v1beta/tunedModels/large:dataCurve").status_code == 404

    found = client.post("/v1beta/tunedModels/large:dataCurve").json()
    again, other = (client.post(f"/v1beta/tunedModels/{name}:dataCurve") for name in ("large", "other"))
    assert (found["state"], again.json()["state"], other.status_code) == ("RUNNING", "RUNNING", 429)
    seen, give_up = set(), time.monotonic() + MAX_WAIT_SECONDS
    while found["state"] == "RUNNING":
        assert time.monotonic() < give_up, found
        seen.add((found["tuning"], found["tunings"]))
        time.sleep(0.05)
        found = client.get("/v1beta/tunedModels/large:dataCurve").json()

    assert found["state"] == "SUCCEEDED", found
    report = found["report"]
    assert [one["rows"] for one in report["measured"]] == [8, 17, 34]
    assert [one["tested"] for one in report["measured"]] == [14, 14, 14]
    assert (report["rows"], report["metric"]) == (48, "exact_match")
    assert [promise["rows"] for promise in report["promises"]] == [84, 68, 136]
    assert report["promises"][0]["text"].startswith("50 more rows: about")
    assert seen <= {(0, 0), (1, 3), (2, 3), (3, 3)}
    assert client.get("/v1beta/tunedModels/large/dataCurves").json() == {"dataCurves": [found]}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_a_curve_that_breaks_off_leaves_no_files(
    live: Live, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A child that is killed is a failure that says what to do, and its checkpoints are gone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client.post("/v1beta/tunedModels/other:dataCurve")
    give_up = time.monotonic() + MAX_WAIT_SECONDS
    while (pid := live.services.data_curves.child_pid) is None:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    while (found := client.get("/v1beta/tunedModels/other:dataCurve").json())["state"] == "RUNNING":
        assert time.monotonic() < give_up, found
        time.sleep(0.05)

    assert found["state"] == "FAILED"
    assert "The data curve was interrupted. Start it again." in found["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_curve_is_cancelled(client: httpx2.Client) -> None:
    """A report that there was stays, none that was not comes, and another curve may be drawn at once."""

    def known(name: str) -> tuple[list[str], list[object]]:
        curves = client.get(f"/v1beta/tunedModels/{name}/dataCurves").json().get("dataCurves", [])
        return [curve["state"] for curve in curves], [curve["report"] for curve in curves if "report" in curve]

    for name in ("large", "other"):  # the second would be 429 while the first goes on
        _, reports = known(name)
        assert client.post(f"/v1beta/tunedModels/{name}:dataCurve").json()["state"] == "RUNNING"
        assert client.post(f"/v1beta/tunedModels/{name}:cancelDataCurve").json() == {}

        assert known(name) == (["SUCCEEDED"] * len(reports), reports)


def test_deleting_a_model_ends_its_curve(live: Live, client: httpx2.Client) -> None:
    """Nothing is known of it at once: another curve may be drawn, though this one was only begun."""
    live.tune(client, "short-lived", rows=48, batchSize=8)
    model = live.services.library.find("short-lived")
    assert client.post("/v1beta/tunedModels/short-lived:dataCurve").json()["state"] == "RUNNING"
    assert live.services.data_curves.progress(model) is not None

    assert client.delete("/v1beta/tunedModels/short-lived").status_code == 200

    assert live.services.data_curves.progress(model) is None
    assert client.post("/v1beta/tunedModels/large:dataCurve").json()["state"] == "RUNNING"
    assert client.post("/v1beta/tunedModels/large:cancelDataCurve").json() == {}
