"""The place where commands work: the data folder, and what a server sends."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

import tunery
from tests.fakes import counting_examples
from tests.live import BASE, make_home
from tunery.cli.client import unpack
from tunery.cli.workplace import Here
from tunery.errors import FolderLocked, Unavailable
from tunery.service.library import Library


def packed(*members: tuple[str, bytes | None]) -> io.BytesIO:
    """Return a tar file with these contents; None is a link to /etc."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            if content is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
            else:
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content or b""))
    return file


def test_files_of_an_export_are_written(tmp_path: Path) -> None:
    """With their folders, which have no entries of their own."""
    unpack(packed(("a.txt", b"1"), ("inner/deep/b.txt", b"")), tmp_path)

    assert {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.txt")} == {
        "a.txt": b"1",
        "inner/deep/b.txt": b"",
    }


@pytest.mark.parametrize(
    "members",
    [[("../a.txt", b"1")], [("/tmp/a.txt", b"1")], [("in/../../a.txt", b"1")], [("link", None), ("link/a.txt", b"1")]],
)
def test_nothing_is_written_elsewhere(tmp_path: Path, members: list[tuple[str, bytes | None]]) -> None:
    """Paths that lead out of the folder, and links, are refused by name."""
    folder = tmp_path / "export"
    folder.mkdir()

    with pytest.raises(Unavailable, match="which does not belong in an export"):
        unpack(packed(*members), folder)

    assert [path for path in tmp_path.rglob("*") if path != folder] == []


def test_an_export_that_was_cut_off(tmp_path: Path) -> None:
    """Also between two files, where a tar file does not look broken."""
    whole = packed(("a.txt", b"1"), ("b.txt", b"2")).getvalue()

    for size in (0, 512, 1024, len(whole) - 1024 * 9):
        with pytest.raises(Unavailable, match="cut off on its way"):
            unpack(io.BytesIO(whole[:size]), tmp_path)


def test_no_server_can_start_while_the_verdict_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would evaluate the model a second time; the folder is free again afterwards, and has the report."""
    monkeypatch.setenv("TUNERY_HOME", str(home := make_home(tmp_path)))
    rows = counting_examples(6)
    tunery.tune(rows, base_model=BASE, id="numbers", epoch_count=1, hold_out=2, progress=False)
    place, refused = Here(), []

    def try_to_own(_done: int, _total: int) -> None:
        try:
            with Library.own(home):
                pass
        except FolderLocked as error:
            refused.append(error)

    found = place.verdict(place.get("numbers"), lambda _number, _snapshot: None, try_to_own)

    assert found is not None
    assert refused
    with Library.own(home) as library:
        report = library.report(library.get("numbers"), "EVALUATION")
    assert report is not None
    assert report["rows"] == found.rows == 2
