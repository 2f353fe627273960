"""Log lines of requests: what they contain, and what they never contain."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.live import TUNED, Live
from tunery.server.monitoring import start_logging, user_hash

CANARY = "canary-7f3a"


@pytest.fixture
def lines(live: Live) -> Iterator[io.StringIO]:
    """Return what the server logs as JSON lines, once the lines of earlier requests are written."""
    library = live.services.library
    library.adapter_folder(library.find(TUNED))  # from a store it is fetched once, which has a line of its own
    logger = logging.getLogger("tunery")
    kept = (list(logger.handlers), logger.level, logger.propagate)
    written = io.StringIO()
    start_logging("json", written)
    with live.client() as client:
        client.get("/healthz", headers={"X-Request-Id": "the-first"})
    while "the-first" not in written.getvalue():
        time.sleep(0.01)
    time.sleep(0.05)
    written.seek(0)
    written.truncate()
    yield written
    logger.handlers, logger.level, logger.propagate = kept[0], kept[1], kept[2]


def written(lines: io.StringIO, count: int) -> str:
    """Return the log once it has this many lines: a reply may arrive before its line is written."""
    give_up = time.monotonic() + 30
    while lines.getvalue().count("\n") < count and time.monotonic() < give_up:
        time.sleep(0.01)
    return lines.getvalue()


def logged(lines: io.StringIO, count: int) -> list[dict[str, object]]:
    return [json.loads(line) for line in written(lines, count).splitlines()]


def test_a_line_per_request(live: Live, lines: io.StringIO) -> None:
    """Method, status, duration, the user as a hash, and the id in the reply."""
    with live.client() as client:
        reply = client.get(f"/v1beta/tunedModels/{TUNED}")

    (line,) = logged(lines, 1)
    assert (line["method"], line["status"]) == ("GetTunedModel", 200)
    assert float(str(line["duration_ms"])) > 0
    assert line["request_id"] == reply.headers["x-request-id"]
    assert line["user"] == user_hash("local")
    assert set(line) == {"time", "level", "logger", "method", "status", "duration_ms", "user", "request_id"}


def test_an_id_that_was_given_is_kept(live: Live) -> None:
    """A client's own id comes back, unless it could break a line."""
    with live.client() as client:
        assert client.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
        assert client.get("/healthz", headers={"X-Request-Id": "a b"}).headers["x-request-id"] != "a b"


def test_nothing_of_what_was_sent_is_written(live: Live, lines: io.StringIO) -> None:
    """Keys in queries, paths, prompts, bodies and headers leave no trace, also when the request is refused."""
    question = {"contents": [{"parts": [{"text": CANARY}]}], "generationConfig": {"maxOutputTokens": 2}}
    with live.client() as client:
        client.post(f"/v1beta/tunedModels/{TUNED}:generateContent", params={"key": CANARY}, json=question)
        client.post(
            "/openai/v1/chat/completions", json={"model": CANARY, "messages": [{"role": "user", "content": "x"}]}
        )
        client.post("/v1beta/datasets:parse", params={"fileName": CANARY}, content=CANARY)
        client.get(f"/v1beta/tunedModels/{CANARY}", headers={"X-Api-Key": CANARY})
        client.get(f"/{CANARY}")
    with live.client(CANARY) as stranger:
        stranger.get("/v1beta/tunedModels")
        stranger.get("/openai/v1/models")

    assert len(logged(lines, 7)) == 7
    assert CANARY not in lines.getvalue()


def test_what_the_guards_refuse_is_written(live: Live, lines: io.StringIO) -> None:
    """A foreign name or page leaves a line, with the id that its reply has."""
    with live.client() as client:
        by_name = client.get("/healthz", headers={"Host": "evil.test"})
        by_page = client.post("/v1beta/tunedModels", headers={"Origin": "http://evil.test"}, json={})

    first, second = logged(lines, 2)
    assert (first["status"], second["status"]) == (403, 403)
    assert first["request_id"] == by_name.headers["x-request-id"]
    assert second["request_id"] == by_page.headers["x-request-id"]


def test_refused_callers_are_written(live: Live, lines: io.StringIO) -> None:
    """A bad token and a caller without access leave lines with method, status and, if there is one, user."""
    with live.client("nonsense") as stranger:
        stranger.get(f"/v1beta/tunedModels/{TUNED}")
    with live.client() as client:
        client.get("/v1beta/tunedModels/not-there")

    first, second = logged(lines, 2)
    assert (first["method"], first["status"], first["user"]) == ("GetTunedModel", 401, None)
    assert (second["method"], second["status"], second["user"]) == ("GetTunedModel", 404, user_hash("local"))


def test_sign_ins_are_written(live: Live, lines: io.StringIO) -> None:
    """A wrong password and a link that is used are lines; the second has its user."""
    secret = live.services.accounts.sessions.new_setup_link()
    with live.client() as client:
        client.post("/signin", data={"user": "local", "password": "wrong"})
        client.post("/setup", data={"token": secret}, headers={"Origin": live.address})

    wrong, right = logged(lines, 2)
    assert (wrong["method"], wrong["status"], wrong["user"]) == ("sign_in", 401, None)
    assert (right["method"], right["status"], right["user"]) == ("set_up", 303, user_hash("local"))


def test_a_key_is_nobody(live: Live, lines: io.StringIO) -> None:
    """A caller with a key alone has no hash."""
    with live.client(live.key) as client:
        client.get("/openai/v1/models")

    assert logged(lines, 1)[0]["user"] is None


def test_plain_lines(live: Live, lines: io.StringIO) -> None:
    """As text a line has the method, the status and the time."""
    start_logging("text", lines)

    with live.client() as client:
        client.get("/healthz")

    line = written(lines, 1)
    assert "INFO GetHealth 200 in " in line
    time_of_line = datetime.fromisoformat(line.split(" ")[0])
    assert abs((datetime.now(UTC) - time_of_line).total_seconds()) < 3600


def test_other_lines_have_a_message(lines: io.StringIO) -> None:
    """What else is logged is one object per line too, with its traceback."""
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("tunery.server").exception("It broke")

    (line,) = logged(lines, 1)
    assert (line["level"], line["message"]) == ("ERROR", "It broke")
    assert "ValueError: no" in str(line["exception"])
