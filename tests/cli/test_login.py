"""`tunery login`: by local proof, by browser, by device code; what it writes, and that Google's library takes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.cli.conftest import Run
from tests.server.accounts_app import browser, make_app
from tests.server.oauth_flow import hidden
from tests.server.running import Running, running_server
from tunery.cli import login
from tunery.service.access import TUNING

PASSWORD = "correct horse battery"


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Return a server on the data folder of the commands."""
    monkeypatch.delenv("TUNERY_SERVER", raising=False)
    with running_server(home) as running:
        yield running


@pytest.fixture
def visitor(server: Running) -> Iterator[TestClient]:
    """Return a browser in which ann is signed in."""
    server.accounts.users.add("ann@example.com", PASSWORD)
    with browser(make_app(server.accounts, server.address), server.address) as web:
        web.post("/signin", data={"user": "ann@example.com", "password": PASSWORD})
        yield web


def test_a_login_on_this_machine_needs_nothing_but_the_data_folder(run: Run, home: Path, server: Running) -> None:
    """It writes a private file that google-auth renews by itself, and prints its path."""
    done = run("login")

    path = home / "credentials.json"
    document = json.loads(path.read_text())
    assert done.status == 0, done.said
    assert done.output == f"export GOOGLE_APPLICATION_CREDENTIALS={path}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert document["type"] == "external_account_authorized_user"
    assert document["token_url"] == f"{server.address}/oauth/token"
    assert "workforcePools" not in document["audience"]


def test_a_second_login_ends_the_first(run: Run, home: Path, server: Running) -> None:
    """The former login is revoked."""
    run("login")
    first = json.loads((home / "credentials.json").read_text())["refresh_token"]
    run("login")

    assert server.accounts.tokens.find(first) is None
    assert len(server.accounts.tokens.all()) == 1


def test_print_token_gives_a_token_that_opens_the_api(run: Run, home: Path, server: Running) -> None:
    """A plain token, as long as asked for, and no file."""
    done = run("login", "--print-token", "--days", 400)

    caller = server.accounts.caller_of_token(done.output.strip())
    assert (caller.user_id, caller.scopes) == ("local", {TUNING})
    assert not (home / "credentials.json").exists()


def test_print_env_says_nothing_else(run: Run, server: Running) -> None:  # noqa: ARG001
    """Only the export line is printed, fit for `eval`."""
    done = run("login", "--print-env")

    assert done.output.startswith("export GOOGLE_APPLICATION_CREDENTIALS=")
    assert done.said == ""


@pytest.mark.parametrize("days", [0, 91])
def test_a_login_lives_up_to_ninety_days(run: Run, server: Running, days: int) -> None:  # noqa: ARG001
    """Other lifetimes are refused."""
    done = run("login", "--days", days)

    assert done.status == 13
    assert "1 to 90 days" in done.said


def test_a_login_through_the_browser(
    run: Run, server: Running, visitor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser opens, ann allows it, and the token is ann's."""
    visits: list[threading.Thread] = []

    def visit(address: str) -> bool:
        visits.append(threading.Thread(target=allow, args=(visitor, address)))
        visits[0].start()
        return True

    monkeypatch.setattr(webbrowser, "open", visit)

    done = run("login", "--server", server.address, "--print-token")

    visits[0].join()
    assert done.status == 0, done.said
    assert server.accounts.caller_of_token(done.output.strip()).user_id == "ann@example.com"


def allow(web: TestClient, address: str) -> None:
    """Act like a user: read the page, press Allow, follow the redirect."""
    page = web.get(address).text
    form = {name: hidden(page, name) for name in ("request", "form_token")}
    back = web.post("/oauth/authorize", data=form | {"decision": "allow"}).headers["location"]
    with pytest.raises(urllib.error.HTTPError):  # what comes without the state is not taken
        urllib.request.urlopen(back.partition("?")[0] + "?code=x&state=y")
    urllib.request.urlopen(back).read()


@pytest.mark.parametrize(("given", "said"), [({}, "another server"), ({"iss": "http://evil.test"}, "another server")])
def test_an_answer_of_another_server_is_not_taken(
    run: Run, server: Running, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    """A missing or foreign issuer ends the login (RFC 9207)."""
    monkeypatch.setattr(webbrowser, "open", lambda _: True)
    monkeypatch.setattr(login._Listener, "wait", lambda _: {"code": "x", **given})

    done = run("login", "--server", server.address)

    assert done.status == 26
    assert said in done.said


def test_a_login_with_a_code_in_another_browser(
    run: Run, server: Running, visitor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--no-browser prints a code, which ann enters in another browser."""
    said: list[str] = []
    monkeypatch.setattr("tunery.cli.terminal.say", said.append)

    def sleep(_seconds: float) -> None:
        token = hidden(visitor.get("/oauth/device").text, "form_token")
        form = {"form_token": token, "user_code": said[0].rpartition(" ")[2], "decision": "allow"}
        assert visitor.post("/oauth/device", data=form).status_code == 200

    monkeypatch.setattr(login.through_device_code, "__defaults__", (sleep,))

    done = run("login", "--no-browser", "--print-token")

    assert server.accounts.caller_of_token(done.output.strip()).user_id == "ann@example.com"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--local"], 19),
        ([], 19),
        (["--server", "http://tunery.example"], 13),
        (["--server", "ftp://127.0.0.1"], 13),
        (["--server", "http://user@127.0.0.1"], 13),
        (["--local", "--server", "https://x.example"], 13),
        (["--server", "http://127.0.0.1:9"], 24),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, home: Path, arguments: list[str], status: int) -> None:  # noqa: ARG001
    """No server, an unencrypted address or conflicting options: one sentence and a status."""
    done = run("login", *arguments)

    assert done.status == status
    assert done.said.count("\n") == 1


# --- Google's own library ---------------------------------------------------------------------------------------------

_PROCESS = """
import os, socket, sys

def audit(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        print("reached", arguments[1] if event == "socket.connect" else arguments[0], file=sys.stderr)

sys.addaudithook(audit)
import google.auth
from google.auth.transport.requests import AuthorizedSession
credentials, _ = google.auth.default()
session = AuthorizedSession(credentials)
for _ in range(2):
    reply = session.get(sys.argv[1] + "/v1beta/whoami")
    print(reply.status_code, reply.json()["user"])
"""


def google_process(address: str, path: Path) -> Any:
    """Run unmodified google-auth in a process of its own."""
    pytest.importorskip("google.auth")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "CLOUDSDK_"))
    } | {"GOOGLE_APPLICATION_CREDENTIALS": str(path), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-W", "ignore", "-c", _PROCESS, address]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def reached(process: Any) -> set[str]:
    """Return the hosts that a process looked up or connected to."""
    lines = [line.removeprefix("reached ") for line in process.stderr.splitlines() if line.startswith("reached")]
    return {line.partition(",")[0].strip("(' ") for line in lines}


def test_google_auth_renews_a_login_in_two_processes_in_turn(run: Run, home: Path, server: Running) -> None:
    """Access tokens expire at once, yet both processes work on, and no other host is reached (B-3)."""
    server.accounts.access_seconds = 1
    run("login")

    for _ in range(2):
        for _ in range(2):
            process = google_process(server.address, home / "credentials.json")
            assert process.stdout == "200 local\n200 local\n", process.stderr
            assert reached(process) == {"127.0.0.1"}
    assert len(server.accounts.tokens.all()) == 1


def test_google_auth_takes_a_key_file(run: Run, tmp_path: Path, server: Running) -> None:
    """The machine acts as its owner, and no other host is reached."""
    path = tmp_path / "ci.json"
    assert run("keys", "create", "--service-account", path, "--label", "CI").status == 0

    for _ in range(2):
        process = google_process(server.address, path)
        assert process.stdout == "200 local\n200 local\n", process.stderr
        assert reached(process) == {"127.0.0.1"}
    assert json.loads(path.read_text())["universe_domain"] != "googleapis.com"
    assert server.accounts.keys.all()[0].user_id == "local"
