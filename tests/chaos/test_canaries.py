"""Canaries in prompts, examples, passwords, keys and tokens (B-9), and where they must never appear."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.served import Served, family, of_living, proof, wait_until
from tests.engine.tiny_bases import make_folder
from tunery.engine.catalog import Catalog

pytestmark = pytest.mark.full

ASK = {"generationConfig": {"maxOutputTokens": 3}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """Return a server as users start it, with a tiny base."""
    home = tmp_path / "home"
    Catalog(home).add(str(make_folder(tmp_path / "base")), "tiny")
    with Served.real(home, {"TUNERY_BASE": "tiny"}) as server:
        yield server


def test_fifty_canaries_are_seen_nowhere(server: Served) -> None:
    """Texts appear in no log, error, metric or process list; secrets also appear in the database in no form."""
    texts = [f"canary{number}rq7" for number in range(34)]
    prompts, examples, passwords, strangers = texts[:14], texts[14:24], texts[24:28], texts[28:]
    secrets = _issued(server, "tokens", 8) + _issued(server, "keys", 8)
    assert len(texts) + len(secrets) == 50
    errors: list[object] = []

    _tune_and_ask(server, examples, prompts, secrets, errors)
    _sign_in(server, passwords, errors)
    for stranger in strangers:
        errors.append(server.ask("GET", "tunedModels", headers={"Authorization": f"Bearer {stranger}"})[1])
        errors.append(server.ask("GET", f"models?key={stranger}", headers={"Authorization": ""})[1])
        errors.append(server.ask("POST", f"tunedModels?key={stranger}", b'{"displayName": "' + stranger.encode())[1])

    said, figures, processes = server.said, _metrics(server), _command_lines(server)
    assert "ListModels" in said
    assert "tunery_requests_total" in figures
    for canary in [*texts, *secrets]:
        assert canary not in said
        assert canary not in figures
        assert canary not in processes
        assert canary not in json.dumps(errors)
    server.stop()
    stored = b"".join(path.read_bytes() for path in server.home.glob("tunery.sqlite3*"))
    assert examples[0].encode() in stored  # so the search would have found something
    assert [secret for secret in [*secrets, *passwords] if secret.encode() in stored] == []


def _issued(server: Served, kind: str, count: int) -> list[str]:
    """Return secrets the server has issued."""
    scope = "https://www.googleapis.com/auth/generative-language.tuning"
    body = {"tokens": {"days": 1, "scopes": [scope], "name": "c"}, "keys": {"label": "c"}}[kind]
    return [str(server.ask("POST", f"accounts/{kind}", body)[1]["secret"]) for _ in range(count)]


def _tune_and_ask(
    server: Served, examples: list[str], prompts: list[str], secrets: list[str], errors: list[object]
) -> None:
    status, reply = server.create("canaries", examples=[(canary, canary) for canary in examples], epochs=1)
    assert status == 200, reply
    wait_until(lambda: server.phase("canaries") == "SUCCEEDED")
    for prompt in prompts:
        contents = {"contents": [{"parts": [{"text": prompt}]}]}
        assert server.ask("POST", "tunedModels/canaries:generateContent", contents | ASK)[0] == 200
        errors.append(server.ask("POST", "models/tiny:generateContent", contents | {"tools": [{"x": prompt}]})[1])
        errors.append(server.ask("POST", "models/missing:generateContent", contents)[1])
    errors.append(server.create("again", examples=[(canary, "") for canary in examples])[1])
    for secret in secrets:
        errors.append(server.ask("DELETE", "tunedModels/missing", headers={"Authorization": f"Bearer {secret}"})[1])
        server.ask("GET", f"models?key={secret}", headers={"Authorization": ""})


def _sign_in(server: Served, passwords: list[str], errors: list[object]) -> None:
    for password in passwords:
        body = json.dumps({"user": "local", "password": password}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/signin", body, {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            errors.append(error.read().decode())


def _metrics(server: Served) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/metrics", headers=proof(server.home))
    with urllib.request.urlopen(request) as reply:
        return str(reply.read().decode())


def _command_lines(server: Served) -> str:
    told = of_living(family(server.pid), lambda process: f"{' '.join(process.cmdline())}\n{process.environ()}")
    return "\n".join(told)
