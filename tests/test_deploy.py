"""The files of deploy/: valid, of one piece with the program, and their commands really start."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.engine.tiny_bases import make_folder
from tests.live import BASE, MAX_WAIT_SECONDS, Live, Server
from tunery import __version__
from tunery.engine.catalog import Catalog

DEPLOY = Path(__file__).parents[1] / "deploy"
HOST = "tunery.example.com"


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def test_the_compose_file_is_valid() -> None:
    """By the schema of the Compose specification; every variable it needs is in the example."""
    text = (DEPLOY / "compose.yaml").read_text()
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())

    jsonschema.validate(yaml.safe_load(text), schema)

    named = {line.partition("=")[0] for line in (DEPLOY / "example.env").read_text().splitlines() if "=" in line}
    assert set(re.findall(r"(?<!\$)\$\{(\w+)(?:\}|:\?)", text)) == named


@pytest.mark.parametrize("version", ["1.29", "1.34"])
def test_the_kubernetes_files_are_valid(version: str) -> None:
    """Each by the schema of its kind, and kustomization.yaml names them all."""
    folder = DEPLOY / "kubernetes"
    [kustomization] = documents(folder / "kustomization.yaml")
    rest = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}

    assert set(kustomization["resources"]) == rest
    for name in rest:
        for document in documents(folder / name):
            kubernetes_validate.validate(document, version, strict=True)


def test_one_version_everywhere() -> None:
    """The tag of the image is that of the program."""
    tags = re.findall(r"(?:tunery:|newTag: )([0-9.]+)", "".join(p.read_text() for p in DEPLOY.rglob("*.yaml")))

    assert len(tags) == 3  # compose.yaml and both kustomization.yaml
    assert {*tags} == {__version__}


def test_alerts_and_dashboard_read_metrics_that_exist(live: Live) -> None:
    """By their names, and methods by those of the API."""
    with live.client() as client:
        known = set(re.findall(r"^(tunery_\w+)", client.get("/metrics").text, re.MULTILINE))
        methods = set(re.findall(r'"operationId":\s*"(\w+)"', client.get("/openapi.json").text))
    text = "".join((DEPLOY / "monitoring" / name).read_text() for name in ("alerts.yml", "grafana-tunery.json"))
    known |= {"tunery_prompt_differences_total"}  # has no sample before the first difference

    assert set(re.findall(r"tunery_\w+", text)) <= known
    assert set(re.findall(r'method=\\?"(\w+)', text)) <= methods


@pytest.fixture
def team(database_url: str, tmp_path: Path) -> dict[str, str]:
    """Return the settings of compose.yaml with a database and a store on this machine."""
    return {
        "TUNERY_DATABASE_URL": database_url,
        "TUNERY_STORE_URL": (tmp_path / "store").as_uri(),
        "TUNERY_BASE": BASE,
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def container(command: list[str], settings: dict[str, str], home: Path, base: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the command of a container with a data folder of its own, and stop it as an orchestrator does."""
    Catalog(home).add(str(base), BASE)
    environment = {**os.environ, **settings, "TUNERY_HOME": str(home), "FORWARDED_ALLOW_IPS": "*"}
    program = [sys.executable, "-m", *command]
    with subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.terminate()
            rest = running.communicate()[1]
    assert running.returncode == 0, rest


def said(running: subprocess.Popen[str], words: str) -> str:
    assert running.stderr is not None
    lines = []
    for line in iter(running.stderr.readline, ""):
        lines.append(line)
        if words in line:
            return line
    raise AssertionError("".join(lines))


def test_the_commands_of_the_containers_work_together(team: dict[str, str], tmp_path: Path) -> None:
    """A server for other machines and a worker, as in compose.yaml: what is sent to one is tuned by the other."""
    services = documents(DEPLOY / "compose.yaml")[0]["services"]
    serve = [part.replace("${TUNERY_HOST:?set it in deploy/.env}", HOST) for part in services["api"]["command"]]
    base = make_folder(tmp_path / "base", max_position_embeddings=512)
    environment = {**os.environ, **team, "TUNERY_HOME": str(tmp_path / "setup")}
    added = subprocess.run(
        [sys.executable, "-m", "tunery", "users", "password", "local"],
        env=environment, input="a long pass phrase of the owner\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert added.returncode == 0, added.stderr

    with (
        container([*serve, "--port=0"], team, tmp_path / "api", base) as server,
        container(services["worker"]["command"], team, tmp_path / "worker", base) as worker,
    ):
        said(server, "Serving at")
        said(worker, "Working")
        port = port_of(server.pid)
        with client_of(port, tmp_path / "api") as client:
            by_address = {"host": f"10.0.0.5:{port}"}
            statuses = [
                client.get(path, headers=by_address).status_code for path in ("/healthz", "/readyz", "/metrics")
            ]
            elsewhere = client.get("/v1beta/tunedModels", headers=by_address).status_code
            Server(tmp_path / "api", "").tune(client, "numbers")

    assert statuses == [200, 200, 200]
    assert elsewhere == 403


def client_of(port: int, home: Path) -> httpx2.Client:
    token = (home / "local-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Host": HOST, "X-Forwarded-Proto": "https"}
    return httpx2.Client(
        base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=MAX_WAIT_SECONDS, trust_env=False
    )


def port_of(pid: int) -> int:
    import psutil

    return next(c.laddr.port for c in psutil.Process(pid).net_connections("inet") if c.status == "LISTEN")
