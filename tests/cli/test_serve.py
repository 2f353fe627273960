"""`tunery serve`: at a terminal Enter opens the Studio in the browser; what options switch off; a second server."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

from tests.cli.conftest import Run
from tests.live import BASE, MAX_WAIT_SECONDS, Live, make_home
from tunery.service.library import Library


def test_enter_opens_the_studio_signed_in(tmp_path: Path) -> None:
    """Each Enter opens the browser with a new link that signs in."""
    home, opened, browser = make_home(tmp_path), tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o755)
    keyboard, terminal = pty.openpty()
    environment = {**os.environ, "TUNERY_HOME": str(home), "TUNERY_BASE": BASE, "BROWSER": str(browser)}
    command = [sys.executable, "-m", "tunery", "serve", "--port", "0"]
    with subprocess.Popen(command, stdin=terminal, stderr=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stderr is not None
            assert any("Press Enter" in line for line in iter(server.stderr.readline, ""))
            links = [_pressed(keyboard, opened, number) for number in (1, 2)]
        finally:
            server.terminate()
    os.close(keyboard)
    os.close(terminal)

    assert all("/setup?token=" in link for link in links)
    assert links[0] != links[1]


def test_your_own_server_is_named(run: Run, home: Path) -> None:
    """A second one on the same data folder, on whatever port, says where the first one is, and loads nothing."""
    with Library.own(home, "http://127.0.0.1:8123"):
        done = run("serve", "--port", "8124")

    assert done.status == 19
    assert f"Your server already serves the data folder {home} at http://127.0.0.1:8123 (process {os.getpid()})" in (
        done.said
    )
    assert "`tunery users link` prints a link" in done.said


def test_a_port_that_is_taken_is_refused_with_its_user(run: Run, home: Path) -> None:
    """Another program; nothing is loaded, and no data folder is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", port)

    assert done.status == 19
    assert done.said == f"Error: Port {port} is in use by another program. Choose another: tunery serve --port N\n"
    assert not home.exists()


def test_evaluations_nobody_asked_for_can_be_switched_off(tmp_path: Path) -> None:
    """With --no-evaluation a model with held-out rows is tuned, and not evaluated."""
    home = make_home(tmp_path)
    environment = {**os.environ, "TUNERY_HOME": str(home), "TUNERY_BASE": BASE}
    command = [sys.executable, "-m", "tunery", "serve", "--port", "0", "--no-evaluation"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            assert server.stderr is not None
            address = next(line.split()[-1] for line in iter(server.stderr.readline, "") if "Serving at" in line)
            live = Live(home, address, cast(Any, None))
            with live.client() as client:
                live.tune(client, "first", rows=12, hold_out="4")
                live.tune(client, "second", rows=6)  # by its end the first would be under evaluation
                evaluations = client.get("/v1beta/tunedModels/first/evaluations").json()
                held_out = client.get("/v1beta/tunedModels/first/examples", params={"heldOut": "true"}).json()
        finally:
            server.terminate()

    assert (evaluations, held_out["totalSize"]) == ({}, 4)


def _pressed(keyboard: int, opened: Path, number: int) -> str:
    """Press Enter and return the n-th link that was opened."""
    os.write(keyboard, b"\n")
    give_up = time.monotonic() + MAX_WAIT_SECONDS
    while not opened.exists() or len(lines := opened.read_text().splitlines()) < number:
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return lines[number - 1]
