"""Adapters and checkpoints in an object store: an S3 server, and a folder that several machines mount."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.s3 import serving_s3
from tests.service.samples import a_request, claimed, made_checkpoint, tuned, write_adapter
from tunery.config import Shared
from tunery.errors import DataLoss, FailedPrecondition, Unavailable
from tunery.files import open_published, publish
from tunery.service import store as module
from tunery.service.library import Library
from tunery.service.store import CHECKPOINT, Store
from tunery.types import Phase


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Return the URL of a bucket on an S3 server in this process."""
    with serving_s3() as bucket:
        yield bucket


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty store."""
    if request.param == "folder":
        return (tmp_path / "store").as_uri()
    return f"{request.getfixturevalue('s3')}/{tmp_path.name}"


def made(folder: Path) -> str:
    """Publish an adapter at a folder and return the digest of its manifest."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return publish(folder, write_adapter)


def test_a_store_is_tried_out(url: str) -> None:
    """An object is written, read and deleted again."""
    store = Store(url)
    store.try_out()

    assert store._names("tunery-doctor") == []


def test_a_folder_is_fetched_as_it_was_published(url: str, tmp_path: Path) -> None:
    """On another machine it has the same files; it is fetched once, then it is there."""
    digest = made(tmp_path / "here/task/1")
    Store(url).put_folder("models/task/1", tmp_path / "here/task/1")

    there = tmp_path / "there/models/task/1"
    assert Store(url).fetch_folder("models/task/1", there, digest)
    assert not Store(url).fetch_folder("models/task/1", there, digest)

    open_published(there, digest)
    assert (there / "epochs/1.safetensors").read_bytes() == (tmp_path / "here/task/1/epochs/1.safetensors").read_bytes()


def test_what_is_written_twice_must_be_equal(url: str, tmp_path: Path) -> None:
    """The same claim may try again after a cut; another adapter never replaces the one that is there."""
    made(tmp_path / "task/1")
    store = Store(url)
    for _ in range(2):
        store.put_folder("models/task/1", tmp_path / "task/1")

    (tmp_path / "task/1/adapter_config.json").write_text("[]")
    with pytest.raises(DataLoss, match="another file"):
        store.put_folder("models/task/1", tmp_path / "task/1")


def test_a_changed_or_missing_object_is_never_used(url: str, tmp_path: Path) -> None:
    """The digest of the row decides; nothing is left in the cache."""
    digest = made(tmp_path / "task/1")
    store = Store(url)
    store.put_folder("models/task/1", tmp_path / "task/1")
    store._api.put(store._store, "models/task/1/adapter_config.json", b"[]")

    for name in ("models/task/1", "models/task/2"):
        with pytest.raises(DataLoss):
            store.fetch_folder(name, tmp_path / "there" / name, digest)
        assert not (tmp_path / "there" / name).exists()


def test_many_that_wait_for_a_cold_adapter_load_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 that want it at the same moment, one fetches and the others wait for it."""
    url, loads = (tmp_path / "store").as_uri(), []
    digest = made(tmp_path / "task/1")
    Store(url).put_folder("models/task/1", tmp_path / "task/1")
    fetch = Store._fetch

    def counted(store: Store, name: str, path: Path) -> None:
        loads.append(name)
        fetch(store, name, path)

    monkeypatch.setattr(Store, "_fetch", counted)
    barrier, there = threading.Barrier(20), tmp_path / "there/models/task/1"

    def want(_: int) -> bool:
        barrier.wait()
        return Store(url).fetch_folder("models/task/1", there, digest)

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(want, range(20))) == 1
    assert len(loads) == len(set(loads)) == 2


def test_the_cache_keeps_what_was_used_last_within_its_bound(tmp_path: Path) -> None:
    """The adapter used longest ago goes first; one that may still be in use stays even beyond the bound."""
    models = tmp_path / "models"
    for age, name in enumerate(("new", "old", "older")):
        made(models / name / "1")
        os.utime(models / name / "1/manifest.json", (time.time() - age * module.IN_USE_SECONDS * 2,) * 2)
    size = sum(path.stat().st_size for path in (models / "new/1").rglob("*") if path.is_file())
    kept = lambda: sorted(path.parent.name for path in models.glob("*/1"))  # noqa: E731

    Store((tmp_path / "store").as_uri(), cache_bytes=round(size * 2 / (1 - module.LOOK_SHARE)) + 1).trim(models)
    assert kept() == ["new", "old"]
    Store((tmp_path / "store").as_uri(), cache_bytes=0).trim(models)
    assert kept() == ["new"]


def test_the_whole_cache_is_looked_at_from_time_to_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once at first, then whenever a twentieth of its bound was added: a look reads every folder in it."""
    made(tmp_path / "models/task/1")
    size, looks = module._size(tmp_path / "models/task/1"), list[Path]()
    store = Store((tmp_path / "store").as_uri(), cache_bytes=100 * size)
    monkeypatch.setattr(Store, "trim", lambda _, models: looks.append(models))

    counts = []
    for _ in range(14):
        store.note_added(tmp_path / "models/task/1", tmp_path / "models")
        counts.append(len(looks))

    assert counts == [*6 * [1], *6 * [2], *2 * [3]]


def test_a_cache_that_cannot_be_trimmed_disturbs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fetched or published counts; the next look is a minute later, however little is added."""
    made(tmp_path / "models/task/1")
    store, looks = Store((tmp_path / "store").as_uri()), list[Path]()

    def failing(_: Store, models: Path) -> bool:
        looks.append(models)
        raise PermissionError

    monkeypatch.setattr(Store, "trim", failing)
    for _ in range(3):
        store.note_added(tmp_path / "models/task/1", tmp_path / "models")
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + module.LOOK_AGAIN_SECONDS))
    store.note_added(tmp_path / "models/task/1", tmp_path / "models")

    assert len(looks) == 2


def test_what_is_tuned_here_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker fetches nothing, but its own adapters stay in its cache; it is kept within its bound all the same."""
    with Library.own(tmp_path / "home", shared=Shared(store_url=(tmp_path / "store").as_uri())) as library:
        monkeypatch.setattr(library.store, "_cache_bytes", 1)
        old = library.artifact(tuned(library, id="old"))[0]
        os.utime(old / "manifest.json", (0, 0))

        new = library.artifact(tuned(library, id="new"))[0]

        assert (old.exists(), new.exists()) == (False, True)
        assert library.adapter_folder(library.get("old")) == old  # fetched again


def test_a_checkpoint_follows_its_task_to_another_machine(url: str, tmp_path: Path) -> None:
    """The newest one is fetched with its epochs, those before it are gone, and all go with the end of the task."""
    with Library.own(tmp_path / "one", shared=Shared(store_url=url)) as one:
        task = claimed(one)
        folder = made_checkpoint(one, task)
        for text in ("first", "second"):
            (folder / f"epochs-{text}").mkdir()
            (folder / f"epochs-{text}/adapter").write_text(text)
            (folder / CHECKPOINT).write_text(text)
            one.keep_checkpoint(task)
            (folder / CHECKPOINT).unlink()
        there = tmp_path / "there"
        there.mkdir()
        Store(url).fetch_checkpoint(task.id, there)

        assert (there / CHECKPOINT).read_text() == "second"
        assert [path.parent.name for path in sorted(there.rglob("adapter"))] == ["epochs-first", "epochs-second"]
        assert sum(name.endswith(".safetensors") for name in Store(url)._names("checkpoints")) == 1
        one.finish(task, Phase.FAILED, error=DataLoss("a test"))
        assert Store(url)._names("checkpoints") == []


def test_an_adapter_is_in_the_store_before_its_row_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that cannot be reached leaves the task unfinished, to be tried again."""
    with Library.own(tmp_path / "home", shared=Shared(store_url=(tmp_path / "store").as_uri())) as library:

        def cut(*_: Any) -> None:
            raise Unavailable("The store cannot be reached.")

        put_folder = Store.put_folder
        monkeypatch.setattr(Store, "put_folder", cut)
        with pytest.raises(Unavailable):
            tuned(library, id="cut")
        monkeypatch.setattr(Store, "put_folder", put_folder)
        assert library.get("cut").task.phase is Phase.PUBLISHING
        assert library.adapter_folder(tuned(library, id="kept")).exists()


def test_a_url_of_something_else_is_refused(tmp_path: Path) -> None:
    """The message says what it must look like."""
    with pytest.raises(FailedPrecondition, match="s3://BUCKET/PREFIX"):
        Store("nonsense")
    with pytest.raises(FailedPrecondition, match="TUNERY_STORE_URL"), Library.own(tmp_path, None, Shared(None, "x:/y")):
        pass


def test_a_deleted_model_leaves_nothing_in_the_store(url: str, tmp_path: Path) -> None:
    """Neither adapter nor checkpoint."""
    with Library.own(tmp_path / "home", shared=Shared(store_url=url)) as library:
        model = tuned(library, id="numbers")
        library.create(a_request(id="other"))
        assert Store(url)._names("models")

        library.delete(model.id)

        assert Store(url)._names("models") == []
