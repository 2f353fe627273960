"""Publishing, opening and sweeping adapter folders, with real files."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.samples import write_adapter
from tunery.errors import DataLoss, ResourceExhausted, TuneryError, Unavailable, as_tunery_error
from tunery.files import MANIFEST, all_below, open_published, publish, sweep, temporary_folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return an empty folder for adapters."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_what_was_written_is_published_whole(models: Path) -> None:
    """The published folder has every file and a manifest with size and digest of each; no temporary folder remains."""
    digest = publish(models / "task" / "1", write_adapter)

    folder = open_published(models / "task" / "1", digest)
    assert (folder / "adapter_config.json").read_text() == "{}"
    assert set(json.loads((folder / MANIFEST).read_bytes())["files"]) == {
        "adapter_config.json",
        "epochs/1.safetensors",
    }
    assert [path.name for path in (models / "task").iterdir()] == ["1"]


@pytest.mark.parametrize("name", ["adapter_config.json", "epochs/1.safetensors", MANIFEST])
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_file_is_found_when_it_is_opened(models: Path, name: str, damage: str) -> None:
    """A changed, truncated or missing file raises a DataLoss that names it."""
    digest = publish(models / "task" / "1", write_adapter)
    path = models / "task" / "1" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-1] + (b"\x07" if damage == "changed" else b""))

    with pytest.raises(DataLoss) as lost:
        open_published(models / "task" / "1", digest)

    assert str(path) in str(lost.value)


def test_nothing_is_visible_before_all_is_written(models: Path) -> None:
    """While the files are being written there is no published folder, and none after the writing failed."""
    target = models / "task" / "1"

    def write_half(folder: Path) -> None:
        (folder / "adapter_config.json").write_text("{}")
        assert not target.exists()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        publish(target, write_half)

    assert list((models / "task").iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc to tell which file a descriptor is of")
def test_everything_is_on_the_disk_before_it_becomes_visible(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power loss nothing is half visible: files and folders are synced before the rename, the parent after."""
    sync, rename = os.fsync, os.rename
    happened: list[str] = []

    def note_sync(descriptor: int) -> None:
        happened.append(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(models).as_posix())
        sync(descriptor)

    def note_rename(source: Path, target: Path) -> None:
        happened.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    publish(models / "task" / "1", write_adapter)

    temporary = "task/.1.partial"
    files = ["adapter_config.json", "epochs", "epochs/1.safetensors", MANIFEST]
    assert happened == [".", *(f"{temporary}/{name}" for name in files), temporary, "rename", "task"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_with_what_was_needed(models: Path, code: int) -> None:
    """A full disk or quota raises ResourceExhausted with the size and the folder; nothing is visible."""

    def fill_up(folder: Path) -> None:
        (folder / "adapter_config.json").write_text("{}")
        raise OSError(code, os.strerror(code))

    with pytest.raises(ResourceExhausted, match=r"The disk is full: 12 MB are needed in .*task"):
        publish(models / "task" / "1", fill_up, needed_bytes=11_500_000)

    assert list((models / "task").iterdir()) == []


@pytest.mark.parametrize("failing_call", range(1, 7))
@pytest.mark.parametrize(("code", "error"), [(errno.EIO, Unavailable), (errno.ENOSPC, ResourceExhausted)])
def test_a_disk_that_fails_at_any_sync_publishes_nothing_half(
    models: Path, monkeypatch: pytest.MonkeyPatch, failing_call: int, code: int, error: type[TuneryError]
) -> None:
    """If the n-th fsync fails, the error is clear, nothing half-written is visible, and trying again works."""
    sync, calls = os.fsync, 0

    def fail_once(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing_call:
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_once)
    with pytest.raises(error):
        publish(models / "task" / "1", write_adapter)

    visible = [path.name for path in (models / "task").iterdir()]
    assert not [name for name in visible if name.endswith(".partial")]
    digest = publish(models / "task" / "1", write_adapter)
    assert open_published(models / "task" / "1", digest)


_PUBLISH_LIMITED = """
import resource, sys
from pathlib import Path
from tunery.errors import ResourceExhausted
from tunery.files import publish
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    publish(Path(sys.argv[1]), lambda folder: (folder / "adapter").write_bytes(bytes(6000)) and None)
except ResourceExhausted as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_file_over_the_limit_of_the_process_is_a_full_disk(models: Path) -> None:
    """A real write that the system refuses is reported as a full disk, and leaves nothing visible."""
    command = [sys.executable, "-c", _PUBLISH_LIMITED, str(models / "task" / "1")]

    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)

    assert result.stdout.startswith("The disk is full: more space is needed")
    assert list((models / "task").iterdir()) == []


def test_the_sweeper_removes_what_was_never_whole_and_names_the_rest(models: Path) -> None:
    """Unfinished folders of no kept claim are gone; published ones that no row names are returned and stay."""
    for name in ("known/1", "known/2", "known/.2.partial", "known/.3.partial", "unknown/1", "gone/.1.partial"):
        (models / name).mkdir(parents=True)

    unnamed = sweep(models, {"known": {2}})

    assert {path.relative_to(models).as_posix() for path in unnamed} == {"known/1", "unknown"}
    assert {path.name for path in (models / "known").iterdir()} == {"1", "2", ".2.partial"}
    assert {path.name for path in models.iterdir()} == {"known", "unknown"}


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published or exported never leaves a file out because a folder failed for a moment."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").touch()
    assert all_below(tmp_path) == [tmp_path / "inner", tmp_path / "inner" / "file"]

    real = os.scandir
    inner = str(tmp_path / "inner")

    def refusing(place: str) -> object:
        if str(place) == inner:
            raise PermissionError(errno.EACCES, "Permission denied", inner)
        return real(place)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError):
        all_below(tmp_path)


def test_a_temporary_folder_that_cannot_be_opened_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tempfile calls itself for ever then; the work in the folder counts all the same."""

    def refusing(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    with temporary_folder(place=tmp_path) as folder:
        (folder / "inner").mkdir()
        monkeypatch.setattr(os, "open", refusing)
    monkeypatch.undo()

    assert folder.exists()
    with temporary_folder(place=tmp_path) as folder:
        (folder / "inner").mkdir()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), ResourceExhausted, "The disk is full: .* in x"),
        (OSError(errno.EIO, "Input/output error", "x"), Unavailable, r"x could not be .* \(Input/output error\)"),
        (OSError(errno.EMFILE, "Too many open files"), Unavailable, "A file could not be .* Too many|Too many"),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]), ResourceExhausted, "The disk is full"),
        (OSError("odd"), TuneryError, "Something went wrong"),
    ],
)
def test_errors_of_the_system_say_what_to_do(error: Exception, kind: type[TuneryError], words: str) -> None:
    """Wherever they come up: in commands, children and the server; others are our own mistake."""
    named = as_tunery_error(error)

    assert type(named) is kind
    assert re.search(words, str(named))
