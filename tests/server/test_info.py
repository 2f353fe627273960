"""serverInfo, health, readiness and metrics."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from tests.live import BASE, TUNED, Live
from tests.server.api import Api, called
from tunery import __version__
from tunery.server import monitoring
from tunery.server.monitoring import step_rate
from tunery.service.access import CLOUD_PLATFORM
from tunery.service.database import accounts as rows
from tunery.types import TuningSnapshot

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def anonymous(live: Live) -> httpx2.Client:
    return httpx2.Client(base_url=live.address, trust_env=False)


def sample(text: str, name: str) -> float:
    """Return the value of a sample by its name with labels."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def test_a_known_caller_learns_what_the_server_is(live: Live) -> None:
    """Version, device, limits, queue, features, and the weights behind API names."""
    with live.client() as client:
        info = client.get("/v1beta/serverInfo").json()

    assert info["version"] == __version__
    assert info["device"]["cores"] >= 1
    assert info["device"]["memoryBytes"] > info["device"]["freeMemoryBytes"] > 0
    assert info["limits"]["requestBytes"] == 4_194_304
    assert info["defaultBase"]["name"] == f"models/{BASE}"
    assert info["queueLength"] == 0
    assert {"datasets.parse", "openai"} <= set(info["features"])
    assert "hourlyPrice" not in info


def test_a_stranger_learns_how_to_sign_in_only(live: Live) -> None:
    """Without credentials: version, features, ways to sign in and the public defaults of a tuning task."""
    with anonymous(live) as client:
        info = client.get("/v1beta/serverInfo").json()

    assert set(info) == {"version", "signInModes", "features", "tuningDefaults"}


def test_health_and_readiness(live: Live) -> None:
    """A server that works is healthy and ready, without credentials."""
    with anonymous(live) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ok", "database": True, "worker": True, "answering": True}


def test_requests_tasks_and_tokens_are_counted(live: Live) -> None:
    """Metrics count requests by method and status, tasks by phase and tokens, and name no model and no prompt."""
    question = {"contents": [{"parts": [{"text": "secretword"}]}], "generationConfig": {"maxOutputTokens": 5}}
    with live.client() as client:
        before = client.get("/metrics").text
        client.post(f"/v1beta/tunedModels/{TUNED}:generateContent", json=question)
        client.get("/v1beta/tunedModels/secretmodel")
        client.get("/secretpath")
        after = client.get("/metrics").text

    answered = 'tunery_requests_total{method="GenerateContentTuned",status="200"}'
    missing = 'tunery_requests_total{method="GetTunedModel",status="404"}'
    assert sample(after, answered) >= 1
    assert sample(after, missing) >= 1
    assert sample(after, 'tunery_request_seconds_count{method="unknown"}') >= 1
    assert sample(after, 'tunery_tasks{phase="SUCCEEDED"}') >= 1
    assert sample(after, "tunery_queue_length") == 0
    assert sample(after, "tunery_answers_running") == 0
    tokens = "tunery_generated_tokens_total"
    assert sample(after, tokens) - sample(before, tokens) >= 1
    assert not re.search(f"secret|{TUNED}|{BASE}", after)


def test_metrics_are_not_for_strangers_behind_a_proxy(live: Live) -> None:
    """A request that a proxy passed on does not count as one of this machine."""
    with anonymous(live) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 403


@pytest.mark.parametrize("what", ["a password", "a public address", "neither"])
def test_a_secured_server_shows_metrics_to_administrators_only(
    api: Api, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A proxy on this machine may add no header: with a password or public address, being here is not enough."""
    monkeypatch.setattr(monitoring, "generate_latest", lambda _: b"")
    if what == "a password":
        monkeypatch.setattr(api.accounts.users, "have_passwords", lambda: True)
    elif what == "a public address":
        monkeypatch.setattr(api.services, "address", "https://tunery.example")
    administrator = api.client("admin@example.com", CLOUD_PLATFORM).headers["authorization"]
    with api.library.database.writing() as connection:
        rows.change_user(connection, "admin@example.com", is_admin=True)

    statuses = [
        asyncio.run(called(api.app, "GET", "/metrics", headers)).status
        for headers in ({}, {"authorization": api.web.headers["authorization"]}, {"authorization": administrator})
    ]

    assert statuses == ([200] * 3 if what == "neither" else [403, 403, 200])


@pytest.mark.parametrize(("age", "rate"), [(0, 2.0), (3600, 0.0)])
def test_steps_per_second(age: int, rate: float) -> None:
    """The rate is that of the last steps, and 0 once they are long ago."""
    curve = tuple(TuningSnapshot(n, 0, 1.0, NOW + timedelta(seconds=n / 2)) for n in range(1, 40))

    assert step_rate(curve, NOW + timedelta(seconds=20 + age)) == rate
    assert step_rate(curve[:1], NOW) == 0.0


def test_limits_and_defaults_of_a_form_are_those_of_a_tuning_task(live: Live) -> None:
    """The longest name, the pattern of an ID, and the settings of a task that names none."""
    with live.client() as client:
        info = client.get("/v1beta/serverInfo").json()

    assert info["limits"]["displayNameCharacters"] == 40
    pattern = re.compile(info["limits"]["idPattern"])
    assert [bool(pattern.fullmatch(text)) for text in ("a", "a-1", "a" * 40, "a" * 41, "1a", "a-", "A")] == [
        *(True, True, True),
        *(False, False, False, False),
    ]
    assert info["tuningDefaults"] == {"epochCount": 5, "batchSize": 4, "learningRate": 0.001, "seed": 0}
