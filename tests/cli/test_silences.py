"""The script that measures silences: it runs every command, and hears when something is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import silences
from tests.cli.silences import Case, Listener
from tests.engine.tiny_bases import make_folder

SLICE = (("bases", "add"), ("bases", "list"), ("data", "check"), ("users", "list"))
QUIET = "import time; time.sleep(0.5)"


def test_every_command_is_listened_to(tmp_path: Path) -> None:
    """Whatever the help pages list is run by the script."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "local-token").write_text("token")
    cases = [
        *silences.commands(tmp_path, 10),
        *silences.served_commands(tmp_path, 10, "http://127.0.0.1:1"),
        *silences.shared_commands(None, tmp_path),
    ]

    heard = {" ".join(case.parts[:words]) for case in cases for words in (1, 2)}

    assert silences.every_command() - heard == set()


@pytest.mark.parametrize("in_terminal", [True, False])
def test_quick_commands_do_what_the_script_expects(tmp_path: Path, *, in_terminal: bool) -> None:
    """A slice of the measurement: the first commands on ten rows, in a terminal and in a pipe."""
    make_folder(tmp_path / "base")
    silences.write_rows(tmp_path / "10.csv", 10)
    listener = Listener(tmp_path, "tiny", 10, in_terminal, seconds=60)

    cases = [case for case in silences.commands(tmp_path, 10) if case.parts[:2] in SLICE]
    found = [listener.heard(case) for case in cases]

    assert [one.text for one in found if not one.is_as_expected] == []
    assert len(found) == len(SLICE)


@pytest.mark.parametrize("in_terminal", [True, False])
def test_a_quiet_program_is_heard_to_be_silent(tmp_path: Path, *, in_terminal: bool) -> None:
    """Its silence is as long as it sleeps, at least."""
    heard = Listener(tmp_path, "tiny", 0, in_terminal, seconds=60).heard(Case(("python",), python=QUIET))

    assert (heard.status, heard.text) == (0, "")
    assert heard.silence >= 0.5
