"""Fixtures for the official clients: a served data folder with a base that learns, and what each client saw there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests import backend
from tests.acceptance.clients import environments
from tests.acceptance.clients.matrix import JOURNEYS, RESULTS, Journey
from tests.fakes import write_learnable_base
from tests.needs import missing
from tunery.engine.catalog import Catalog

START_SECONDS = 90
JOURNEY_SECONDS = 400
# what would lead a client elsewhere, or warn about its own age
_HIDDEN = ("AWS_", "GOOGLE_", "GEMINI_", "PYTHON", "RAY_", "TUNERY_")
_HIDDEN += ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")

Outcome = Mapping[str, Any]


@dataclass(frozen=True)
class Served:
    """A running server, and what shows it who calls."""

    url: str
    host: str
    port: int
    token: str
    key: str
    home: Path


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start `tunery serve` with a tiny base that can learn; stop it in the end."""
    folder = tmp_path_factory.mktemp("served")
    home, said = folder / "home", folder / "said"
    Catalog(home).add(str(write_learnable_base(folder / "base")), "tiny")
    with ExitStack() as stack:
        elsewhere = stack.enter_context(backend.tuning_for(home, "tiny"))
        environment = {**os.environ, "TUNERY_HOME": str(home), "TUNERY_BASE": "tiny", "OMP_NUM_THREADS": "1"}
        environment |= elsewhere.environment
        command = [sys.executable, "-m", "tunery", "serve", "--port", "0", *elsewhere.options]
        output = stack.enter_context(said.open("w"))
        process = stack.enter_context(subprocess.Popen(command, stdout=output, stderr=output, env=environment))
        try:
            url = _address(process, said)
            host, _, port = url.removeprefix("http://").rpartition(":")
            token, key = _credentials(home, url)
            yield Served(url, host, int(port), token, key, home)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    assert "Traceback" not in said.read_text("utf-8")


def _credentials(home: Path, url: str) -> tuple[str, str]:
    """Return a token of the user `local` and an API key; the only place that knows how they are made."""
    proof = (home / "local-token").read_text("ascii").strip()

    def made(path: str, body: object) -> str:
        headers = {"Authorization": f"Bearer {proof}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/v1beta/accounts/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as reply:
            return str(json.load(reply)["secret"])

    scope = "https://www.googleapis.com/auth/generative-language.tuning"
    return made("tokens", {"days": 1, "scopes": [scope], "name": "clients"}), made("keys", {"label": "clients"})


def _address(process: subprocess.Popen[bytes], said: Path) -> str:
    give_up = time.monotonic() + START_SECONDS
    while True:
        text = said.read_text("utf-8")
        for line in text.splitlines():
            if line.startswith("Serving at"):
                return line.split()[-1]
        assert process.poll() is None, text
        assert time.monotonic() < give_up, text
        time.sleep(0.1)


@pytest.fixture(scope="session")
def client_environment(served: Served) -> dict[str, str]:
    """Return the environment in which clients run: this server's address and credentials, nothing of other ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_HIDDEN)}
    return kept | {
        "TUNERY_URL": served.url,
        "TUNERY_TOKEN": served.token,
        "TUNERY_KEY": served.key,
        "PYTHONWARNINGS": "ignore",
        "PYTHONDONTWRITEBYTECODE": "",
        "MPLBACKEND": "Agg",
    }


@pytest.fixture(scope="session")
def outcomes_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Outcome]]:
    """
    Return a function that gives what a client saw on its journey, by behaviour.

    A journey is made once, also where several processes run tests; the others wait for it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def outcomes(client: str) -> dict[str, Outcome]:
        file = shared / f"{client}.json"
        with FileLock(shared / f"{client}.lock"):
            if not file.exists():
                # only who makes the journey needs a server
                file.write_text(json.dumps(_made(JOURNEYS[client], request.getfixturevalue("client_environment"))))
        found: dict[str, Outcome] = json.loads(file.read_text())
        if "unavailable" in found:
            missing(f"The environment of {client} could not be made: {found['unavailable']}")
        return found

    return outcomes


@pytest.fixture(scope="session")
def value_of(outcomes_of: Callable[[str], dict[str, Outcome]]) -> Callable[[str, str], Any]:
    """Return a function that gives the value in which a behaviour of a client ended; fails if it raised."""

    def value(client: str, behaviour: str) -> Any:
        outcome = outcomes_of(client)[behaviour]
        if "cannot" in outcome:
            return None
        assert "value" in outcome, outcome.get("traceback")
        return outcome["value"]

    return value


def _made(journey: Journey, environment: dict[str, str]) -> dict[str, Any]:
    try:
        command = command_of(journey.environment, journey.script)
    except environments.Unavailable as error:
        return {"unavailable": str(error)}
    done = subprocess.run(
        [*command, *journey.arguments], env=environment, capture_output=True, text=True, timeout=JOURNEY_SECONDS
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, Any] = json.loads(done.stdout)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{journey.client}.json").write_text(json.dumps(outcomes, indent=1, ensure_ascii=False), "utf-8")
    return outcomes


def command_of(environment: str, script: Path) -> list[str]:
    """Return the command that runs a script inside a client's environment; raises environments.Unavailable."""
    if environment == environments.SYSTEM:
        return [sys.executable, str(script)]
    if script.suffix == ".py":
        return [str(environments.python_of(environment)), str(script)]
    folder = environments.javascript_folder()  # Node looks for packages beside the script
    for file in script.parent.glob("*.mjs"):
        shutil.copy(file, folder)
    return [str(environments.node()), str(folder / script.name)]
