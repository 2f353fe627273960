"""Google's own client with the file of `tunery login`: it renews access tokens that expire at once by itself (B-3)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sqlalchemy import text

from tests import backend
from tests.acceptance.clients import environments
from tests.acceptance.clients.conftest import Served
from tests.acceptance.clients.matrix import SCRIPTS
from tests.needs import missing

CLIENT = "google-generativeai-0.8.6"


def test_two_processes_in_turn_go_on_after_the_token_expired(
    served: Served, client_environment: dict[str, str], tmp_path: Path
) -> None:
    """Both processes are answered each time, one login is left, and no other host is reached."""
    try:
        python = environments.python_of(CLIENT)
    except environments.Unavailable as why:
        missing(f"the environment of {CLIENT} could not be made: {why}")
    file = log_in(served)
    let_access_tokens_expire_at_once(served.home)
    environment = client_environment | {"GOOGLE_APPLICATION_CREDENTIALS": str(file), "NO_PROXY": "127.0.0.1"}
    for _ in range(2):
        for _ in range(2):
            done = subprocess.run(
                [python, SCRIPTS / "login.py"], env=environment, cwd=tmp_path, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            lines = done.stdout.splitlines()
            assert sum(line.startswith("answered") and line.endswith("models/tiny") for line in lines) == 3
            assert {line for line in lines if line.startswith("reached")} == {f"reached {served.host}"}
    with backend.engine_of(served.home).connect() as database:
        alive = database.scalar(text("SELECT count(*) FROM tokens WHERE kind = 'REFRESH' AND revoke_time IS NULL"))
        made = database.scalar(text("SELECT count(*) FROM tokens WHERE kind = 'ACCESS'"))
    assert (alive, made >= 2 * 2 * 3) == (1, True)


def log_in(served: Served) -> Path:
    """Return the file that `tunery login` writes."""
    environment = os.environ | {"TUNERY_HOME": str(served.home)}
    subprocess.run([sys.executable, "-m", "tunery", "login"], env=environment, check=True, capture_output=True)
    return served.home / "credentials.json"


def let_access_tokens_expire_at_once(home: Path) -> None:
    """Have the login's access tokens live a second; google-auth renews what has less than minutes left."""
    with backend.engine_of(home).begin() as database:
        changed = database.execute(
            text("UPDATE oauth_clients SET access_seconds = 1 WHERE access_seconds > 1")
        ).rowcount
    assert changed
