"""Tuning jobs whose disk is full or cannot be written to."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Command, adapter_bytes
from tunery.service.library import Library
from tunery.types import State

Start = Callable[..., Command]


def _mount(*arguments: str) -> None:
    """Mount, or skip the test if that is not allowed."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a file system, and only Linux has tmpfs")
    tried = subprocess.run(["mount", *arguments], stderr=subprocess.PIPE, text=True)
    if tried.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {tried.stderr.strip()}")


@pytest.fixture
def small_home(template: Path, tmp_path: Path) -> Iterator[Path]:
    """Return a data folder with the base `tiny` on a disk of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk))
    yield shutil.copytree(template, disk / "home")
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def read_only_home(home: Path) -> Iterator[Path]:
    """Return a data folder that has become read-only."""
    _mount("--bind", str(home), str(home))
    _mount("-o", "remount,bind,ro", str(home))
    yield home
    subprocess.run(["umount", str(home)], check=True)


def test_a_full_disk_keeps_the_checkpoint_and_the_same_command_goes_on(
    start: Start, home: Path, small_home: Path, data: Path
) -> None:
    """A disk that fills up ends the job with 18 and how to resume; with space again it gives the undisturbed bytes."""
    tune = ["tune", data, "--no-verdict", "--base-model", "tiny", "--id", "numbers", "--epochs", "15"]
    command = start(small_home, *tune)
    command.wait_until(lambda: command.has_checkpoint)
    filler = small_home.parent / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass

    assert command.wait() == 18, command.said
    assert "The disk is full" in command.said
    assert "The same command resumes numbers at step" in command.said
    assert "Traceback" not in command.said
    assert command.has_checkpoint
    filler.unlink()
    again = start(small_home, *tune)
    assert again.wait() == 0, again.said
    assert "from the checkpoint" in again.said
    assert start(home, *tune).wait() == 0
    assert adapter_bytes(small_home, "numbers") == adapter_bytes(home, "numbers")


def test_a_read_only_data_folder_is_one_sentence(start: Start, read_only_home: Path, data: Path) -> None:
    """Tuning into a folder that cannot be written to ends with 19 and names the folder; listing it works."""
    command = start(read_only_home, "tune", data, "--no-verdict", "--base-model", "tiny")

    assert command.wait() == 19
    assert f"The data folder {read_only_home} cannot be written to" in command.said
    assert start(read_only_home, "models", "list").wait() == 0


def test_a_second_writer_is_refused_and_readers_are_not(start: Start, home: Path, data: Path) -> None:
    """During a job, tuning and deleting end with 19 and name the process; listing and showing work."""
    command = start(home, "tune", data, "--no-verdict", "--base-model", "tiny", "--id", "first", "--epochs", "2000")
    command.wait_until(lambda: "  loss" in command.said)

    second = start(home, "tune", data, "--no-verdict", "--base-model", "tiny", "--id", "second")
    assert second.wait() == 19
    assert f"Process {command.pid} is using the data folder" in second.said
    assert start(home, "models", "delete", "first", "--yes").wait() == 19
    listing, showing = start(home, "models", "list"), start(home, "models", "show", "first")
    assert (listing.wait(), showing.wait()) == (0, 0)
    assert "CREATING" in listing.result
    command.kill()
    command.wait()
    with Library.open(home) as library:
        assert [model.state for model in library.list()] == [State.CREATING]
