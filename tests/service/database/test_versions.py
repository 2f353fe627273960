"""Two versions of the program on one PostgreSQL database: this one, and one with more migrations, in a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.versions import ADDS, DROPS, later_version
from tests.service.samples import a_request, claimed, tuned
from tunery.config import Shared
from tunery.errors import FailedPrecondition
from tunery.service.database import connection as schema
from tunery.service.library import Library
from tunery.types import State

# opens a library, creates a model there, and prints the revision and the models with their phases
SCRIPT = """
import sys
from pathlib import Path
from tests.service.samples import a_request
from tunery.config import Shared
from tunery.service.database.connection import revision
from tunery.service.library import Library

with Library.own(Path(sys.argv[1]), None, Shared(sys.argv[2])) as library:
    library.create(a_request(id=sys.argv[3], user_id="local"))
    print(revision(library.database), *sorted(f"{model.id}:{model.task.phase}" for model in library.list()))
"""


def run(program: Path, home: Path, url: str, model_id: str) -> subprocess.CompletedProcess[str]:
    """Have another version of the program create a model."""
    environment = {**os.environ, "PYTHONPATH": f"{program}{os.pathsep}{Path.cwd()}"}
    command = [sys.executable, "-c", SCRIPT, str(home), url, model_id]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_both_go_on_while_a_team_upgrades(database_url: str, tmp_path: Path) -> None:
    """What one creates, the other sees; this one is opened again on the other's tables, until a step breaks with it."""
    later = later_version(tmp_path / "later", *ADDS)
    breaking = later_version(tmp_path / "breaking", *DROPS, of=later, is_breaking=True)
    shared, newest = Shared(database_url), int(schema.REVISION)
    with Library.own(tmp_path / "here", None, shared) as library:
        task = claimed(library, id="before", user_id="local")

        upgraded = run(later, tmp_path / "there", database_url, "theirs")
        assert upgraded.stdout.split() == [f"{newest + 1:04}", "before:PREPARING", "theirs:QUEUED"], upgraded.stderr
        library.renew(task)
        library.create(a_request(id="ours", user_id="local"))
        assert library.claim("here") is not None

        refused = run(breaking, tmp_path / "there", database_url, "never")
        assert "have to change in a way that earlier versions of tunery cannot work with" in refused.stderr

    with Library.own(tmp_path / "here", None, shared) as library:
        assert tuned(library, id="again", user_id="local").state == State.ACTIVE
    last = run(breaking, tmp_path / "there", database_url, "last")
    assert last.stdout.split()[0] == f"{newest + 2:04}", last.stderr
    assert {one.partition(":")[0] for one in last.stdout.split()[1:]} == {"before", "theirs", "ours", "again", "last"}
    with (
        pytest.raises(FailedPrecondition, match="was made by a newer tunery"),
        Library.own(tmp_path / "here", None, shared),
    ):
        pass
