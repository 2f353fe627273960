"""The quick starts of docs/clients.md, each run as it is printed against a running server."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.clients import environments
from tests.acceptance.clients.conftest import Served
from tests.acceptance.clients.quick_starts import COMMANDS, quick_starts, run
from tests.needs import missing

ASKED = "next-number"  # what the clients that cannot tune ask
ALWAYS = ("curl", "google-generativeai", "google-genai 1.47 and newer", "OpenAI")
OTHERS = [heading for heading in COMMANDS if heading not in ALWAYS]


def call(served: Served, method: str, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {served.token}"}
    request = urllib.request.Request(f"{served.url}/v1beta/{path}", data, headers, method=method)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def exists(served: Served) -> bool:
    try:
        call(served, "GET", f"tunedModels/{ASKED}")
    except urllib.error.HTTPError:
        return False
    return True


def make(served: Served) -> None:
    examples = [{"textInput": str(n), "output": str(n + 1)} for n in range(4)]
    task = {"trainingData": {"examples": {"examples": examples}}, "hyperparameters": {"epochCount": 1}}
    body = {"displayName": "next number", "baseModel": "models/gemini-1.5-flash-001-tuning", "tuningTask": task}
    call(served, "POST", f"tunedModels?tunedModelId={ASKED}", body)
    give_up = time.monotonic() + 300
    while call(served, "GET", f"tunedModels/{ASKED}")["state"] == "CREATING":
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_every_heading_has_a_client() -> None:
    """A quick start that nobody runs cannot be added to the page."""
    assert list(quick_starts()) == list(COMMANDS)


@pytest.mark.parametrize("heading", [*ALWAYS, *(pytest.param(other, marks=pytest.mark.full) for other in OTHERS)])
def test_a_quick_start_runs(served: Served, client_environment: dict[str, str], tmp_path: Path, heading: str) -> None:
    """It ends well and prints an answer."""
    if heading == "curl":  # which makes the model
        if exists(served):
            call(served, "DELETE", f"tunedModels/{ASKED}")
    elif not exists(served):
        make(served)

    try:
        done = run(heading, tmp_path, served.url, client_environment)
    except environments.Unavailable as why:
        missing(f"the environment of {heading} could not be made: {why}")

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip()
