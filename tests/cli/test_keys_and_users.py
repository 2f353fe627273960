"""`tunery keys` and `tunery users`: on the data folder, and by the server that owns it, with the same result."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.server.running import running_server
from tunery.service.accounts.accounts import Accounts
from tunery.service.library import Library


@pytest.fixture(params=["folder", "server"])
def owner(home: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Return who owns the data folder while the command runs: no process, or a server."""
    if request.param == "folder":
        yield "folder"
        return
    with running_server(home):
        yield "server"


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Pipe a line to the next command."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text + "\n"))


@pytest.mark.usefixtures("owner")
def test_an_api_key_is_made_listed_and_revoked(run: Run) -> None:
    """The secret is printed once and is not in the list."""
    secret = run("keys", "create", "--label", "phone").output.strip()
    listed = json.loads(run("keys", "list", "--json").output)

    assert secret.startswith("tny_k_")
    assert [(key["kind"], key["label"]) for key in listed] == [("API key", "phone")]
    assert secret not in json.dumps(listed)
    assert run("keys", "revoke", listed[0]["id"]).status == 0
    assert "There are no keys" in run("keys", "list").said


@pytest.mark.usefixtures("owner")
def test_a_key_file_is_private_and_revocable(run: Run, tmp_path: Path) -> None:
    """The private half is in the file only."""
    path = tmp_path / "ci.json"

    done = run("keys", "create", "--service-account", path)

    document = json.loads(path.read_text())
    listed = json.loads(run("keys", "list", "--json").output)
    assert done.output == f"export GOOGLE_APPLICATION_CREDENTIALS={path}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (listed[0]["kind"], listed[0]["id"], listed[0]["address"]) == (
        "key file",
        document["private_key_id"],
        document["client_email"],
    )
    assert run("keys", "revoke", listed[0]["id"]).status == 0
    assert run("keys", "create", "--service-account", path).status == 13  # the file is there already


@pytest.mark.usefixtures("owner")
def test_a_key_that_is_not_there_cannot_be_revoked(run: Run) -> None:
    """One sentence, status of NOT_FOUND."""
    done = run("keys", "revoke", "nothing")

    assert done.status == 15
    assert "There is no key nothing" in done.said


@pytest.mark.usefixtures("owner")
def test_a_user_is_added_listed_and_locked_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password comes through a pipe, never as an argument."""
    typed(monkeypatch, "correct horse battery")
    assert run("users", "add", "Ann@Example.com", "--password", "--admin").status == 0
    typed(monkeypatch, "another long password")
    assert run("users", "password", "ann@example.com").status == 0

    listed = json.loads(run("users", "list", "--json").output)

    assert [(user["id"], user["is_admin"], user["has_password"]) for user in listed] == [
        ("ann@example.com", True, True),
        ("local", True, False),
    ]
    assert run("users", "disable", "ann@example.com").status == 0
    assert "disabled" in run("users", "list").output
    assert run("users", "enable", "ann@example.com").status == 0
    assert run("users", "disable", "local").status == 19


def test_a_user_without_a_password_gets_a_link(run: Run, home: Path, owner: str) -> None:  # noqa: ARG001
    """The link leads to the server; without a server the command says how to get it."""
    done = run("users", "add", "ann@example.com")

    if owner == "server":
        assert "/setup?token=tny_u_" in done.output
        assert "/setup?token=tny_u_" in run("users", "link").output
    else:
        assert "tunery users link ann@example.com" in done.said
        assert run("users", "link").status == 19


@pytest.mark.parametrize(
    ("password", "said"), [("short", "at least 8"), ("password123", "easy to guess"), ("", "Pipe")]
)
@pytest.mark.usefixtures("owner")
def test_a_bad_password_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch, password: str, said: str) -> None:
    """The message says why, and does not repeat it."""
    typed(monkeypatch, password)

    done = run("users", "add", "ann@example.com", "--password")

    assert done.status == 13
    assert said in done.said


def test_a_folder_that_a_command_uses_is_left_alone(run: Run, home: Path) -> None:
    """While a command tunes, accounts cannot be changed."""
    with Library.own(home):
        done = run("keys", "list")

    assert done.status == 19
    assert "data folder" in done.said


def test_what_a_command_made_works_on_the_server(run: Run, home: Path) -> None:
    """Keys created on the folder work on a server started later."""
    secret = run("keys", "create").output.strip()

    with Library.own(home) as library:
        assert Accounts(library.database, library.folder).caller_of_key(secret).has_key


@pytest.mark.usefixtures("owner")
def test_the_audit_log(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read while a server owns the folder, too: the oldest line first, all of it or one user's."""
    assert "Nothing is recorded" in run("users", "log", "--by", "nobody@example.com").said
    typed(monkeypatch, "a good password")
    run("users", "add", "ann@example.com", "--password")
    run("users", "disable", "ann@example.com")

    lines = run("users", "log", "--limit", "2").output.splitlines()
    events = json.loads(run("users", "log", "--by", "local", "--json").output)

    assert lines[0].split("  ")[0] == "TIME (UTC)"
    assert ["CreateUser" in lines[1], "DisableUser" in lines[2], len(lines)] == [True, True, 3]
    assert [event["action"] for event in events][:2] == ["DisableUser", "CreateUser"]
    assert events[0]["resource"] == "users/ann@example.com"
