"""Disks that are full or read-only, where the machine allows a test to create one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.samples import EXAMPLES, a_request, claimed, tuned, write_adapter
from tunery.errors import FailedPrecondition, ResourceExhausted
from tunery.service.library import Library
from tunery.types import Phase, TuningExample


def _mount(*arguments: str) -> None:
    """Mount, or skip the test where that is not allowed."""
    tried = subprocess.run(["mount", *arguments], stderr=subprocess.PIPE, text=True)
    if tried.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {tried.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return the root of a file system of 1 MB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system, and only Linux has tmpfs")
    disk = tmp_path / "disk"
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def read_only_home(home: Path) -> Iterator[Path]:
    """Return a read-only data folder with one tuned model."""
    with Library.own(home) as library:
        tuned(library, id="numbers")
    if sys.platform == "linux" and os.geteuid() == 0:  # to whom permissions say nothing
        _mount("--bind", str(home), str(home))
        _mount("-o", "remount,bind,ro", str(home))
        yield home
        subprocess.run(["umount", str(home)], check=True)
    else:
        for path in (*home.rglob("*"), home):
            path.chmod(0o500 if path.is_dir() else 0o400)
        yield home
        for path in (home, *home.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)


def test_a_full_disk_refuses_a_new_model_and_keeps_the_others(small_disk: Path) -> None:
    """Models are created until the disk is full; the one that does not fit raises an error, the others all remain."""
    large = tuple(TuningExample(example.text_input + "x" * 5000, example.output) for example in EXAMPLES)
    created = []

    with Library.own(small_disk / "home") as library:
        with pytest.raises(ResourceExhausted, match="The disk is full"):
            created += (library.create(a_request(examples=large)).id for _ in range(100))
        assert library.list()

    with Library.own(small_disk / "home") as library:
        assert [len(library.examples(model)[0]) for model in library.list()] == [15] * len(library.list())


def test_an_adapter_that_does_not_fit_can_be_published_later(small_disk: Path) -> None:
    """A publish that fills the disk gives the space back; once there is enough space, the same claim publishes."""
    with Library.own(small_disk / "home") as library:
        task = claimed(library)
        library.heartbeat(task, Phase.PUBLISHING)

        with pytest.raises(ResourceExhausted, match="2 MB are needed"):
            library.folder.publish(task, lambda folder: _write_large(folder / "adapter"), needed_bytes=2_000_000)

        assert list(library.folder.models.glob("*/*")) == []
        model = library.finish(task, Phase.SUCCEEDED, published=library.folder.publish(task, write_adapter))
        assert library.adapter_folder(model)


def _write_large(path: Path) -> None:
    path.write_bytes(bytes(2_000_000))


def test_a_read_only_library_can_be_read(read_only_home: Path) -> None:
    """Models of a read-only data folder are listed, shown and opened."""
    with Library.open(read_only_home) as library:
        model = library.get("numbers")

        assert library.list()
        assert library.adapter_folder(model)


def test_a_read_only_library_cannot_be_owned(read_only_home: Path) -> None:
    """Owning a read-only folder raises one clear error with its path."""
    with pytest.raises(FailedPrecondition, match="cannot be written to") as refused, Library.own(read_only_home):
        pass

    assert str(read_only_home) in str(refused.value)


@pytest.mark.parametrize("opens", [Library.open, Library.own])
def test_a_folder_that_cannot_be_there_is_named(tmp_path: Path, opens: object) -> None:
    """A data folder below a regular file raises one clear error, for reading and for owning."""
    (tmp_path / "file").touch()
    assert callable(opens)

    with (
        pytest.raises(FailedPrecondition, match=r"file/home cannot be written to"),
        opens(tmp_path / "file" / "home"),
    ):
        pass
