"""`tunery rescue` against endpoints in both styles, and what it makes of their failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.cli.conftest import Run
from tunery.cli.old_model import Endpoint, OldModel, Style
from tunery.errors import InvalidArgument, PermissionDenied

KEY = "k-123"


class Provider(BaseHTTPRequestHandler):
    """Answers a number with the next one, or with the next planned failure."""

    failures: ClassVar[list[tuple[int, dict[str, str]]]] = []
    asked: ClassVar[list[tuple[str, dict[str, str], dict[str, Any]]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, {name.lower(): text for name, text in self.headers.items()}, body))
        if self.failures:
            status, headers = self.failures.pop(0)
            self._reply(status, headers, {"error": "planned"})
        elif "messages" in body:
            text = str(int(body["messages"][0]["content"]) + 1)
            self._reply(200, {}, {"choices": [{"message": {"content": text}}]})
        else:
            text = str(int(body["contents"][0]["parts"][0]["text"]) + 1)
            is_blocked = text == "4"
            self._reply(200, {}, {"candidates": [] if is_blocked else [{"content": {"parts": [{"text": text}]}}]})

    def _reply(self, status: int, headers: dict[str, str], value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {**headers, "content-length": str(len(data))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a provider."""
    Provider.failures, Provider.asked = [], []
    monkeypatch.setenv("RESCUE_API_KEY", KEY)
    server = HTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_answers_are_recorded_in_openai_style(run: Run, data: Path, address: str) -> None:
    """A line for each row, with what the file expects and what the model said."""
    done = run("rescue", data, "--endpoint", address, "--model", "old", "--per-minute", 100_000)

    recorded = data.with_name("numbers.answers.jsonl")
    assert done.status == 0, done.said
    assert done.output.strip() == str(recorded)
    assert lines(recorded)[3] == {"row": 4, "text_input": "3", "output": "4", "answer": "4", "model": "old"}
    path, headers, body = Provider.asked[0]
    assert (path, headers["authorization"], body["model"]) == ("/v1/chat/completions", f"Bearer {KEY}", "old")


def test_a_prompt_without_an_answer_is_kept_as_such(run: Run, data: Path, address: str) -> None:
    """In Gemini's style, with the key in its header; a blocked row has an error and is not asked again."""
    options = ("--endpoint", address, "--style", "gemini", "--model", "tunedModels/x", "--per-minute", 100_000)

    found = json.loads(run("rescue", data, *options, "--json").output)

    assert (found["rows"], found["without_answer"]) == (20, 1)
    assert lines(Path(found["file"]))[3]["error"] == "The model gave no text."
    path, headers, _ = Provider.asked[0]
    assert (path, headers["x-goog-api-key"]) == ("/v1/tunedModels/x:generateContent", KEY)


def test_the_same_command_goes_on_where_it_stopped(run: Run, data: Path, address: str) -> None:
    """Whole lines are kept, a line that was cut off is asked again; answers of another model are not mixed in."""
    options = ("--endpoint", address, "--per-minute", 100_000)
    run("rescue", data, *options, "--model", "old")
    recorded = data.with_name("numbers.answers.jsonl")
    whole = recorded.read_text()
    recorded.write_text("".join(whole.splitlines(keepends=True)[:18]) + '{"row": 19, "te')
    Provider.asked.clear()

    again = run("rescue", data, *options, "--model", "old")
    other = run("rescue", data, *options, "--model", "another")

    assert again.status == 0, again.said
    assert (recorded.read_text(), len(Provider.asked)) == (whole, 2)
    assert "holds answers of old, not of another" in other.said


def test_limits_and_failures_are_waited_out(address: str) -> None:
    """As long as the endpoint asks for, else longer each time."""
    waited: list[float] = []
    Provider.failures = [(429, {"retry-after": "7"}), (500, {}), (503, {})]
    old = OldModel(Endpoint(address, Style.OPENAI, "old", KEY, "K"), 1e9, sleep=waited.append)

    answer = old.ask("1")
    old.close()

    assert (answer, [wait for wait in waited if wait > 0.5]) == ("2", [7.0, 2.0, 4.0])


def test_a_refused_key_ends_it_with_the_name_of_its_variable(address: str) -> None:
    """Trying again would not help; the key itself is not shown."""
    Provider.failures = [(401, {})]
    old = OldModel(Endpoint(address, Style.OPENAI, "old", KEY, "MY_KEY"), 1e9)

    with pytest.raises(PermissionDenied, match=r"the key in \$MY_KEY") as raised:
        old.ask("1")
    old.close()

    assert KEY not in str(raised.value)


def test_a_key_is_not_sent_unencrypted() -> None:
    """Plain HTTP is for this machine only."""
    with pytest.raises(InvalidArgument, match="unencrypted"):
        Endpoint("http://example.com/v1", Style.OPENAI, "old", KEY, "K")


def test_without_a_key_nothing_is_asked(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that is missing is named."""
    monkeypatch.delenv("RESCUE_API_KEY", raising=False)

    done = run("rescue", data, "--endpoint", "http://127.0.0.1:9/v1", "--model", "old")

    assert done.status == 26
    assert "$RESCUE_API_KEY" in done.said
