"""Damaged bases: a flipped bit in any file is found before anything counts, even if its time is the same."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.tiny_bases import make_folder, make_gguf
from tunery.engine import integrity
from tunery.engine.catalog import Catalog
from tunery.engine.integrity import BaseCheck, require_whole
from tunery.engine.pull import pull
from tunery.engine.resident import loaded_base, resident_base
from tunery.errors import DataLoss, TuneryError

Harm = Callable[[Path], object]


@pytest.fixture(autouse=True)
def nothing_in_memory() -> Iterator[None]:
    resident_base.cache_clear()
    yield
    resident_base.cache_clear()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a data folder with the base `tiny`, used where it is, and `pulled`, converted from GGUF."""
    catalog = Catalog(tmp_path / "home")
    catalog.add(str(make_folder(tmp_path / "base")), "tiny")
    catalog.add(str(make_gguf(tmp_path / "tiny.gguf")), "pulled")
    pull("pulled", tmp_path / "home")
    return tmp_path / "home"


def flip(path: Path, at: int = -100) -> None:
    """Flip a bit of a file and leave its time as it is, as a failing disk does."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 64
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "way_back"), [("tiny", "tunery bases add .*base --name tiny"), ("pulled", "manifest.json and run: tunery")]
)
def test_every_file_of_a_base_is_checked(home: Path, name: str, way_back: str) -> None:
    """Weights, settings and tokenizer: each is named, with the way back, when the base is loaded."""
    files = list(integrity.expected_files(Catalog(home), name))
    assert {path.suffix for path in files} >= {".safetensors", ".json"}
    for path in files:
        content, status = path.read_bytes(), path.stat()
        flip(path, len(content) // 2)
        with pytest.raises(DataLoss, match=f"{path} is not the file that was added.*{way_back}"):
            loaded_base(name, home)
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    loaded_base(name, home).require_whole()


def test_the_way_back_works(home: Path) -> None:
    """With its manifest deleted, a damaged base is pulled again and is whole; the record of its origin stays."""
    flip(home / "bases" / "pulled" / "model.safetensors")
    with pytest.raises(DataLoss):
        require_whole(Catalog(home), "pulled")

    (home / "bases" / "pulled" / "manifest.json").unlink()
    pull("pulled", home)

    require_whole(Catalog(home), "pulled")


def test_a_base_that_was_replaced_after_it_was_loaded_is_found(home: Path) -> None:
    """Its weights may be read from the file at any time; other bytes under it are damage."""
    resident = resident_base("pulled", home)
    weights = home / "bases" / "pulled" / "model.safetensors"
    weights.touch()
    resident.require_whole()

    weights.write_bytes(bytes(weights.stat().st_size))
    with pytest.raises(DataLoss):
        resident.require_whole(waits=False)
    with pytest.raises(TuneryError):  # and it is not kept in memory for the next one
        resident_base("pulled", home)


def test_a_large_base_answers_while_it_is_checked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading does not wait for the check; waiting for it finds the damage."""
    monkeypatch.setattr(integrity, "WAITED_BYTES", 0)
    real = integrity.is_file
    gate = threading.Event()

    def slow(path: Path, sha256: str) -> bool:
        gate.wait()
        return real(path, sha256)

    monkeypatch.setattr(integrity, "is_file", slow)
    flip(home / "bases" / "pulled" / "model.safetensors")

    resident = loaded_base("pulled", home)
    gate.set()

    with pytest.raises(DataLoss):
        resident.require_whole()


def test_a_file_that_cannot_be_opened_for_a_moment_is_not_damaged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files: the error is that, and the next look finds the base whole."""
    real, times = integrity.is_file, iter([1, 2])

    def failing(path: Path, sha256: str) -> bool:
        if next(times, None):
            raise OSError(errno.EMFILE, "Too many open files", str(path))
        return real(path, sha256)

    monkeypatch.setattr(integrity, "is_file", failing)
    check = BaseCheck(Catalog(home), "pulled")
    with pytest.raises(OSError, match="Too many open files"):
        check.require(waits=True)

    check.require(waits=True)
