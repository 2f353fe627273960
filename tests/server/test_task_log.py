"""tunedModels/{id}:log: the last lines of a task, for its readers."""

from __future__ import annotations

import re

import httpx2

from tests.live import TUNED, Live


def test_a_reader_sees_what_the_task_said(live: Live) -> None:
    """Lines begin with their time, from the claim on, and hold no text of the examples."""
    with live.client() as client:
        lines = client.get(f"/v1beta/tunedModels/{TUNED}:log").json()["lines"]

    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in lines)
    assert "Claimed by" in lines[0]
    assert any("Phase PREPARING" in line for line in lines)
    assert len(lines) <= 200


def test_others_do_not(live: Live) -> None:
    """A key is 403 and an unknown model 404."""
    with httpx2.Client(base_url=live.address, trust_env=False) as client:
        assert client.get(f"/v1beta/tunedModels/{TUNED}:log", headers={"x-goog-api-key": live.key}).status_code == 403
    with live.client() as client:
        assert client.get("/v1beta/tunedModels/nothing:log").status_code == 404
