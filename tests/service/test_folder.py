"""The data folder and its lock, with real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service.samples import a_request
from tunery.errors import FailedPrecondition, FolderLocked, Unavailable
from tunery.service import folder as folder_module
from tunery.service.folder import DataFolder, Holder
from tunery.service.library import Library
from tunery.service.process import machine_start
from tunery.service.tuning import Loss
from tunery.types import Phase

_OWN_AND_WAIT = """
import sys
from pathlib import Path
from tunery.service.folder import DataFolder
with DataFolder(Path(sys.argv[1])).own(sys.argv[2] or None):
    print("owned", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _another_owner(home: Path, address: str = "") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _OWN_AND_WAIT, str(home), address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_an_open_folder_is_closed_to_others(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder of mode 755 with a database of mode 644 becomes 700 and 600, whatever the umask, and the log says so."""
    home.mkdir(mode=0o755)
    (home / "tunery.sqlite3").touch(mode=0o644)
    home.chmod(0o755)
    (home / "tunery.sqlite3").chmod(0o644)

    with DataFolder(home).own():
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "tunery.sqlite3").stat().st_mode) == 0o600

    assert "was accessible to other users (mode 755)" in caplog.text


def test_a_new_database_is_for_its_user_only(home: Path) -> None:
    """Whatever the umask, in a folder that was there before."""
    home.mkdir(mode=0o700)
    before = os.umask(0)
    try:
        with Library.own(home):
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir() if path.is_file()}
    finally:
        os.umask(before)

    assert modes["tunery.sqlite3"] == 0o600
    assert not any(mode & 0o077 for mode in modes.values()), modes


def test_a_new_folder_is_for_its_user_only(home: Path) -> None:
    """Owning a missing folder creates it with mode 0700, with its subfolders."""
    folder = DataFolder(home)

    with folder.own():
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert all(place.is_dir() for place in (folder.bases, folder.models, folder.checkpoints))


def test_the_second_process_learns_who_holds_the_folder(home: Path) -> None:
    """A folder owned by a server is refused with the server's process id and address."""
    folder = DataFolder(home)

    with _another_owner(home, "http://127.0.0.1:8000") as process, pytest.raises(FolderLocked) as refused, folder.own():
        pass

    assert f"Process {process.pid} is using the data folder {home}" in str(refused.value)
    assert folder.holder() == Holder(process.pid, "http://127.0.0.1:8000")


def test_one_process_cannot_own_a_folder_twice(home: Path) -> None:
    """A second owner within the same process is refused too."""
    folder = DataFolder(home)

    with folder.own(), pytest.raises(FolderLocked, match=f"Process {os.getpid()}"), folder.own():
        pass


def test_a_dead_holder_leaves_no_lock(home: Path) -> None:
    """After kill -9 of the owner the folder can be owned at once."""
    with _another_owner(home) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()

    with DataFolder(home).own():
        assert json.loads((home / "lock").read_text())["pid"] == os.getpid()


def test_the_folder_is_free_after_the_block_and_after_an_error(home: Path) -> None:
    """The lock ends with the block, also when the block raises."""
    folder = DataFolder(home)

    with pytest.raises(ZeroDivisionError), folder.own():
        raise ZeroDivisionError
    with folder.own():
        pass

    assert folder.holder() is None


_FORK_AND_DIE = """
import os, sys, time
from pathlib import Path
from tunery.service.folder import DataFolder
with DataFolder(Path(sys.argv[1])).own():
    child = os.fork()
    if child == 0:
        os.close(1)
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_keep_the_lock(home: Path) -> None:
    """A child that outlives its owner process does not hold the folder."""
    forked = subprocess.run([sys.executable, "-c", _FORK_AND_DIE, str(home)], stdout=subprocess.PIPE, text=True)
    child = int(forked.stdout)

    try:
        with DataFolder(home).own():
            os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


_COMPETE = """
import random, sys, time
from pathlib import Path
from tunery.errors import FolderLocked
from tunery.service.folder import DataFolder
folder, inside = DataFolder(Path(sys.argv[1])), Path(sys.argv[1]) / "inside"
won, give_up = 0, time.monotonic() + 30
while won < 50 and time.monotonic() < give_up:
    time.sleep(random.random() / 1000)
    try:
        with folder.own():
            inside.touch(exist_ok=False)
            won += 1
            inside.unlink()
    except FolderLocked:
        pass
print(won)
"""


def test_two_competing_processes_are_never_inside_together(home: Path) -> None:
    """Two processes own and leave a folder 50 times each: never both at once, and each succeeds every time."""
    command = [sys.executable, "-c", _COMPETE, str(home)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]

    wins = [int(process.communicate()[0]) for process in processes]

    assert [process.returncode for process in processes] == [0, 0]
    assert wins == [50, 50]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A data folder below a regular file raises one clear error with its path and what to do."""
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"

    with (
        pytest.raises(FailedPrecondition, match=r"cannot be written to .* another TUNERY_HOME") as refused,
        DataFolder(home).own(),
    ):
        pass

    assert str(home) in str(refused.value)


@pytest.mark.parametrize("name", ["lock", "tunery.sqlite3"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_an_owner_whose_files_are_taken_away_writes_no_more(home: Path, name: str, is_replaced: bool) -> None:
    """A lock or database that a sync tool removed or replaced: reading goes on, writing names the file."""
    with Library.own(home) as library:
        library.create(a_request(id="one"))
        if is_replaced:
            shutil.copy2(home / name, home / "copy")
            (home / "copy").replace(home / name)
        else:
            (home / name).unlink()

        with pytest.raises(Unavailable, match=rf"home/{name} was (removed|replaced).*Start tunery again"):
            library.create(a_request(id="two"))
        assert [model.id for model in library.list()] == ["one"]


def test_two_owners_after_a_lost_lock_do_not_take_each_others_job(home: Path) -> None:
    """The second has its job to itself, and the first one's death is counted nowhere."""
    with Library.own(home) as first:
        first.create(a_request(id="one"))
        assert first.claim("first", machine_start=machine_start()) is not None
        (home / "lock").unlink()

        with Library.own(home) as second:
            task = second.claim("second", machine_start=machine_start())
            assert task is not None
            with pytest.raises(Unavailable):
                first.take_back_lost_tasks(Loss.ERROR)
            assert not second.heartbeat(task, Phase.RUNNING)
            with second.database.reading() as connection:
                assert connection.exec_driver_sql("SELECT max(deaths) FROM server_deaths").scalar() == 0


def test_a_lock_removed_while_it_is_taken_is_noticed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that locked a file which is no longer there does not own the folder."""
    real = folder_module._try_to_lock

    def locked_too_late(lock: int) -> bool:
        (home / "lock").unlink()
        return real(lock)

    monkeypatch.setattr(folder_module, "_try_to_lock", locked_too_late)
    with pytest.raises(Unavailable), DataFolder(home).own():
        pass
