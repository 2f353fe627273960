"""A slice of the faults from outside: flipped bits, and commands and a server whose system calls fail."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.chaos import bit_flips, command_faults, disk_faults
from tests.chaos.served import Served
from tests.chaos.template import in_a_new_home
from tests.needs import missing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor strace")


def test_a_flipped_bit_never_gives_other_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in each kind of file: what is resumed or answered is what it was, or is refused."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path))  # which the script sets
    found = list(bit_flips.flips(bit_flips.make_template(tmp_path), len(bit_flips.KINDS), seed=1))

    assert {kind for kind, _, _ in found} == set(bit_flips.KINDS)
    assert [(where, ended) for _, ended, where in found if ended not in ("same", "refused")] == []
    assert {ended for _, ended, _ in found} == {"same", "refused"}


@pytest.mark.full
def test_commands_go_on_after_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each work once with a full disk and once killed: the same command ends well, with the same bytes."""
    _need_strace()
    monkeypatch.setenv("TUNERY_HOME", os.environ.get("TUNERY_HOME", ""))  # which the script sets
    done = command_faults.suffer(3 * len(command_faults.WORKS), seed=2, folder=tmp_path)

    assert done["what fell"] == []


@pytest.mark.full
def test_a_real_server_lives_through_faults() -> None:
    """A job, an answer, a parsed file and an export, while calls fail and children are killed."""
    _need_strace()
    with in_a_new_home() as home, Served.real(home, {"TUNERY_BASE": "tiny"}) as server:
        found = disk_faults.suffer_really(server, faults=len(disk_faults.FAULTS) + len(disk_faults.KILLS))

    assert found["the same server lives"]
    assert (found["failed"], found["wrong answers"]) == ([], {})
    assert found["different adapters of one number format"] == 0
    assert found["asked at the end"]


def _need_strace() -> None:
    if shutil.which("strace") is None:
        missing("strace is not installed")
