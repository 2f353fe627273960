"""Backups: everything needed is in them, and damaged files get neither in nor out."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.samples import a_curve, claimed, tuned
from tunery.errors import AlreadyExists, DataLoss, FailedPrecondition, NotFound, ResourceExhausted
from tunery.service.backup import MANIFEST, back_up, restore
from tunery.service.database import connection
from tunery.service.library import Library
from tunery.service.tuning import Progress
from tunery.types import Phase, State


def edited(archive: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Rewrite a backup with other parts."""
    with tarfile.open(archive) as tar:
        parts = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    change(parts)
    with tarfile.open(archive, "w") as tar:
        for name, content in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def archive(library: Library, home: Path, tmp_path: Path) -> Path:
    """Return a backup of a library with the tuned model `one`, taken while its folder is owned."""
    tuned(library, id="one")
    back_up(home, tmp_path / "backup.tar")
    return tmp_path / "backup.tar"


def test_a_library_comes_back(library: Library, home: Path, archive: Path, tmp_path: Path) -> None:
    """Model, curve, examples, owner and adapter are the same in another data folder."""
    contents = restore(archive, tmp_path / "other")

    assert (contents.tuned_models, contents.adapters) == (1, 1)
    with Library.open(tmp_path / "other") as other:
        before, after = library.get("one"), other.get("one")
        assert after == before
        assert other.examples(after) == library.examples(before)
        assert other.sharing.of_model("one") == library.sharing.of_model("one")
        files = [path.relative_to(home) for path in library.adapter_folder(before).rglob("*") if path.is_file()]
        assert files
        for path in files:
            assert (tmp_path / "other" / path).read_bytes() == (home / path).read_bytes()
        other.adapter_folder(after)


def test_a_backup_is_for_its_user_only(archive: Path) -> None:
    """Other users of the machine cannot read it."""
    assert archive.stat().st_mode & 0o077 == 0


def test_unfinished_tasks_begin_again(library: Library, home: Path, tmp_path: Path) -> None:
    """A running task is in the backup as one waiting at its first step, and continues undisturbed in its library."""
    task = claimed(library, id="running")
    library.heartbeat(task, Phase.RUNNING, Progress(step=7, checkpoint_step=5, snapshots=a_curve(7)))

    back_up(home, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "other")

    assert library.get("running").task.completed_steps == 7
    with Library.open(tmp_path / "other") as other:
        found = other.get("running").task
    assert (found.phase, found.completed_steps, found.checkpoint_step) == (Phase.QUEUED, 0, 0)
    assert found.snapshots == ()


def test_what_is_deleted_meanwhile_is_left_out(
    library: Library, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model deleted between the copy of the database and that of its adapter is not in the backup; others are."""
    tuned(library, id="stays")
    tuned(library, id="goes")
    copy = "tunery.service.backup.database_file.copy_database"

    original = connection.copy_database

    def copy_then_delete(source: Path, target: Path) -> None:
        original(source, target)
        library.delete("goes")

    monkeypatch.setattr(copy, copy_then_delete)

    contents = back_up(home, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "other")

    assert (contents.tuned_models, contents.adapters) == (1, 1)
    with Library.open(tmp_path / "other") as other:
        assert [model.id for model in other.list()] == ["stays"]


@pytest.mark.parametrize(
    "harm", [lambda path: path.write_text("changed"), Path.unlink, lambda p: shutil.rmtree(p.parent)]
)
def test_what_is_damaged_is_named_and_the_rest_is_saved(
    library: Library, home: Path, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    """A model whose files were changed or are gone is in the backup without its adapter, and says why."""
    tuned(library, id="whole")
    broken = tuned(library, id="broken")
    harm(home / str(broken.artifact) / "adapter_config.json")

    contents = back_up(home, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "other")

    assert (contents.tuned_models, contents.adapters, contents.damaged) == (2, 1, ("broken",))
    with Library.open(tmp_path / "other") as other:
        assert other.adapter_folder(other.get("whole"))
        found = other.get("broken")
        assert (found.state, found.task.phase, found.task.error_code) == (State.FAILED, Phase.FAILED, 15)
        assert "In this backup: " in str(found.task.error_message)
        assert other.examples(found) == library.examples(broken)
    assert library.get("broken").state is State.ACTIVE


def test_a_damaged_database_is_not_backed_up(library: Library, home: Path, tmp_path: Path) -> None:
    """One that still opens and lists its models, but fails the check, leaves no file and is named."""
    tuned(library, id="one")
    database = home / "tunery.sqlite3"
    with sqlite3.connect(database) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name LIKE '%auto%models_1'").fetchone()
    connection.close()
    content = bytearray(database.read_bytes())
    content[(page - 1) * 4096 + 3 : (page - 1) * 4096 + 5] = b"\0\0"  # the number of entries of an index
    database.write_bytes(content)

    with pytest.raises(DataLoss, match=rf"{database} is damaged.*tunery restore"):
        back_up(home, tmp_path / "backup.tar")

    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_damaged_weights_of_a_base_are_named(library: Library, home: Path, tmp_path: Path) -> None:
    """With bases asked for, those that are whole are in it, and of the others their record only."""
    del library
    for name in ("good", "bad"):
        (home / "bases" / name).mkdir()
        (home / "bases" / name / "base.json").write_text("{}")
        (home / "bases" / name / "model.safetensors").write_bytes(b"weights")
        facts = {"files": {"model.safetensors": {"size": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}}}
        (home / "bases" / name / "manifest.json").write_text(json.dumps(facts))
    (home / "bases" / "bad" / "model.safetensors").write_bytes(b"weighty")

    contents = back_up(home, tmp_path / "backup.tar", with_bases=True)

    assert (contents.bases, contents.damaged) == (2, ("bad",))
    with tarfile.open(tmp_path / "backup.tar") as tar:
        assert "bases/good/model.safetensors" in tar.getnames()
        assert [name for name in tar.getnames() if name.startswith("bases/bad")] == ["bases/bad/base.json"]


@pytest.mark.parametrize("work", ["back up", "restore"])
def test_a_full_disk_is_one_sentence(
    home: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """While a backup is written or unpacked: what is needed and where, and nothing is left."""
    full = OSError(errno.ENOSPC, "No space left on device")

    def failing(*_: object) -> None:
        raise full

    monkeypatch.setattr(
        "tunery.service.backup.os.fsync" if work == "restore" else "tunery.service.backup.sync", failing
    )

    with pytest.raises(ResourceExhausted, match=r"The disk is full.*[Ff]ree some space"):
        back_up(home, tmp_path / "more.tar") if work == "back up" else restore(archive, tmp_path / "other")

    assert not (tmp_path / "more.tar").exists()
    assert not (tmp_path / "other" / "tunery.sqlite3").exists()
    assert not list(tmp_path.glob("other/models/*"))


def test_a_backup_of_an_older_version_is_restored(archive: Path, tmp_path: Path) -> None:
    """Its tables are brought up to date while they are checked."""

    def older(parts: dict[str, bytes]) -> None:
        path = tmp_path / "older.sqlite3"
        with sqlite3.connect(path) as connection:
            connection.executescript((Path(__file__).parent / "database" / "released" / "0001.sql").read_text())
            connection.execute("UPDATE tuning_tasks SET artifact_epoch = NULL, manifest_sha256 = NULL")
        connection.close()
        content = path.read_bytes()
        facts = {"tunery.sqlite3": {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}}
        manifest = json.loads(parts[MANIFEST]) | {"files": facts}
        parts.clear()
        parts.update({"tunery.sqlite3": content, MANIFEST: json.dumps(manifest).encode()})

    edited(archive, older)

    restored = restore(archive, tmp_path / "other")

    with Library.open(tmp_path / "other") as other:
        assert len(other.list()) == restored.tuned_models > 0


def test_a_backup_comes_back_where_only_the_database_was_lost(home: Path, tmp_path: Path) -> None:
    """What is the same stays, a damaged adapter is replaced, a newer one set aside, an old journal not applied."""
    with Library.own(home) as library:
        same, broken = tuned(library, id="same"), tuned(library, id="broken")
        back_up(home, tmp_path / "backup.tar")
        newer = tuned(library, id="newer")
    (home / str(broken.artifact) / "adapter_config.json").write_text("changed")
    before = (home / str(same.artifact) / "adapter_config.json").stat().st_ino
    (home / "tunery.sqlite3").unlink()
    (home / "tunery.sqlite3-journal").write_bytes(b"of another database" * 100)

    restore(tmp_path / "backup.tar", home)

    with Library.open(home) as library:
        assert all(library.adapter_folder(library.get(name)) for name in ("same", "broken"))
    assert (home / str(same.artifact) / "adapter_config.json").stat().st_ino == before
    aside = {path.name for path in home.glob("set-aside/*/models/*")}
    assert aside == {broken.task.id, newer.task.id}
    assert not (home / "tunery.sqlite3-journal").exists()


def test_records_of_bases_are_in_it_weights_only_if_asked(library: Library, home: Path, tmp_path: Path) -> None:
    """The record of an added base is always in the backup, its files only with_bases; existing files stay."""
    tuned(library, id="one")
    (home / "bases" / "mine").mkdir()
    (home / "bases" / "mine" / "base.json").write_text("{}")
    (home / "bases" / "mine" / "model.safetensors").write_bytes(b"weights")

    back_up(home, tmp_path / "small.tar")
    back_up(home, tmp_path / "large.tar", with_bases=True)

    with tarfile.open(tmp_path / "small.tar") as small, tarfile.open(tmp_path / "large.tar") as large:
        assert set(large.getnames()) - set(small.getnames()) == {"bases/mine/model.safetensors"}
        assert "bases/mine/base.json" in small.getnames()
    (tmp_path / "other" / "bases" / "mine").mkdir(parents=True)
    restore(tmp_path / "large.tar", tmp_path / "other")
    assert not list((tmp_path / "other" / "bases" / "mine").iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda parts: parts.pop(MANIFEST), "its last part, is missing"),
        (lambda parts: parts.pop(next(name for name in parts if name.endswith("1.safetensors"))), "is damaged"),
        (lambda parts: parts.update({next(iter(parts)): b"changed"}), "is damaged"),
        (lambda parts: parts.update({"more": b""}), "is damaged: more"),
        (lambda parts: parts.update({"../outside": b""}), "'../outside'"),
        (lambda parts: parts.update({"/outside": b""}), "'/outside'"),
        (lambda parts: parts.update({"a\\..\\outside": b""}), "outside'"),
        (lambda parts: parts.update({MANIFEST: b"{"}), "not a tunery backup"),
    ],
    ids=["no manifest", "part missing", "part changed", "part added", "upwards", "absolute", "backslash", "no json"],
)
def test_a_damaged_backup_is_refused_whole(
    archive: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], object], words: str
) -> None:
    """Nothing of a changed backup gets into the data folder or anywhere else."""
    edited(archive, change)

    with pytest.raises(DataLoss) as caught:
        restore(archive, tmp_path / "other")

    assert words in str(caught.value)
    assert not (tmp_path / "outside").exists()
    assert not [path for path in (tmp_path / "other").rglob("*") if path.is_file() and path.name != "lock"]


def test_a_cut_file_and_another_file_are_refused(archive: Path, tmp_path: Path) -> None:
    """Half a backup, and a file that is no backup, are refused with the reason."""
    half = tmp_path / "half.tar"
    half.write_bytes(archive.read_bytes()[:3_000])
    (tmp_path / "other.tar").write_bytes(b"no archive" * 100)

    for path in (half, tmp_path / "other.tar"):
        with pytest.raises(DataLoss):
            restore(path, tmp_path / "target")


def test_a_backup_of_a_newer_tunery(archive: Path, tmp_path: Path) -> None:
    """An unknown format is refused with the advice to update."""

    def newer(parts: dict[str, bytes]) -> None:
        parts[MANIFEST] = json.dumps({**json.loads(parts[MANIFEST]), "format": 2, "tunery": "9.0"}).encode()

    edited(archive, newer)

    with pytest.raises(FailedPrecondition, match=r"newer tunery \(9\.0\)"):
        restore(archive, tmp_path / "other")


def test_tables_of_a_newer_tunery_are_not_backed_up(library: Library, home: Path, tmp_path: Path) -> None:
    """One sentence, and no backup that this version could not restore."""
    with library.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(FailedPrecondition, match=r"tunery\.sqlite3 was made by a newer tunery \(revision 9999"):
        back_up(home, tmp_path / "backup.tar")

    assert not (tmp_path / "backup.tar").exists()


def test_tables_of_a_newer_tunery_are_not_restored(
    library: Library, home: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data folder stays empty."""
    with library.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    archive.unlink()
    with monkeypatch.context() as patched:
        # as the newer one would write it
        patched.setattr("tunery.service.backup.database_file.is_current_schema", lambda _: True)
        back_up(home, archive)

    with pytest.raises(FailedPrecondition, match="newer tunery made this backup"):
        restore(archive, tmp_path / "other")

    assert not (tmp_path / "other" / "tunery.sqlite3").exists()


def test_nothing_is_overwritten(library: Library, home: Path, archive: Path, tmp_path: Path) -> None:
    """An existing target, an existing library, a folder in use and missing files are refused."""
    del library
    with pytest.raises(AlreadyExists):
        back_up(home, archive)
    restore(archive, tmp_path / "other")
    with pytest.raises(AlreadyExists):
        restore(archive, tmp_path / "other")
    with pytest.raises(FailedPrecondition):
        restore(archive, home)
    with pytest.raises(NotFound):
        restore(tmp_path / "nothing.tar", tmp_path / "third")
    with pytest.raises(NotFound):
        back_up(tmp_path / "nothing", tmp_path / "b.tar")
    with pytest.raises(FailedPrecondition):
        back_up(home, tmp_path / "no" / "folder" / "b.tar")


@pytest.mark.parametrize("task_id", ["../../../foreign", "/foreign", "..", "not-a-uuid"])
def test_a_job_whose_id_is_a_path_is_refused(
    library: Library, home: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task_id: str
) -> None:
    """A crafted database cannot name folders: nothing is restored, and in place nothing foreign is removed."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with library.database.changing_tables() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        connection.exec_driver_sql("UPDATE tuning_examples SET task_id = ?", (task_id,))
        connection.exec_driver_sql("UPDATE tuning_tasks SET id = ?, artifact_epoch = NULL", (task_id,))
    archive.unlink()
    with monkeypatch.context() as patched:  # a tunery without the check
        patched.setattr("tunery.service.database.models.check_task_id", lambda _: None)
        back_up(home, archive)

    with pytest.raises(DataLoss, match="which tunery never creates"):
        restore(archive, tmp_path / "other")
    with pytest.raises(DataLoss, match="which tunery never creates"):
        library.delete("one")

    assert foreign.is_dir()
    assert not (tmp_path / "other" / "tunery.sqlite3").exists()


def test_a_sparse_part_is_refused_before_it_is_written(archive: Path, tmp_path: Path) -> None:
    """Eleven kilobytes that stand for gigabytes of zeros are not unpacked."""
    header = tarfile.TarInfo("models/x/1/adapter_model.safetensors")
    header.size, header.pax_headers = 512, {"GNU.sparse.map": "0,512", "GNU.sparse.size": str(3 * 2**30)}
    with tarfile.open(archive, "a", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(header, io.BytesIO(bytes(512)))

    with pytest.raises(DataLoss, match="claims to be larger than the backup"):
        restore(archive, tmp_path / "other")


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts.update({MANIFEST: b"[" * 200_000}),
        lambda parts: parts.update({"models": b"x", "models/a": b"y"}),
    ],
)
def test_a_crafted_archive_is_refused_in_a_sentence(
    archive: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], object]
) -> None:
    """Brackets without end and a file that is also a folder."""
    edited(archive, change)

    with pytest.raises(DataLoss, match="backup"):
        restore(archive, tmp_path / "other")
