"""The Python library in My Library: what `tunery.tune` keeps, what an interrupted call leaves, what `load` finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tunery
from tests.engine.tiny_bases import make_gguf
from tests.fakes import counting_examples, write_learnable_base
from tunery.engine.catalog import Catalog
from tunery.engine.resident import resident_base
from tunery.errors import FolderLocked, InvalidArgument, NotFound, TuningRuined
from tunery.service.library import Library
from tunery.types import Phase, State, TuningSnapshot


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a data folder with a tiny base that an adapter can teach."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    Catalog(tmp_path / "home").add(str(write_learnable_base(tmp_path / "weights")), "tiny")
    resident_base.cache_clear()


def rows(path: Path) -> tunery.Dataset:
    lines = "".join(f"{example.text_input},{example.output}\n" for example in counting_examples())
    path.write_text(f"text_input,output\n{lines}")
    return tunery.Dataset.read(path)


def test_a_tuned_model_is_kept_in_my_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named after its file, with curve, card and served epoch; loaded again by id, display name and epoch."""
    model = tunery.tune(rows(tmp_path / "numbers.csv"), base_model="tiny", epoch_count=3, hold_out=3)

    with Library.open(tmp_path / "home") as library:
        (kept,) = library.list(with_snapshots=True)
    assert (kept.id, kept.display_name, kept.state) == (model.id, "numbers", State.ACTIVE)
    assert kept.task.snapshots == model.snapshots
    assert (model.card().name, model.served_epoch, model.advice) == (kept.name, kept.served_epoch, kept.task.advice)
    assert (len(model.examples), len(model.held_out)) == (9, 3)
    answer = model.generate("7", max_output_tokens=4)
    assert tunery.load(kept.id).generate("7", max_output_tokens=4) == answer
    assert tunery.load("numbers").generate("7", max_output_tokens=4) == answer
    assert tunery.load(f"{kept.id}@epoch-1").served_epoch == 1
    assert "step 7/7  100%  epoch 3/3" in capsys.readouterr().err


def test_a_call_that_was_interrupted_is_resumed(tmp_path: Path) -> None:
    """The same call continues after the last checkpoint, under the same id, and ends as one that nothing disturbed."""

    def stop(snapshot: TuningSnapshot) -> None:
        if snapshot.step == 4:
            raise KeyboardInterrupt

    data = rows(tmp_path / "numbers.csv")
    with pytest.raises(KeyboardInterrupt):
        tunery.tune(data, base_model="tiny", epoch_count=3, on_snapshot=stop)
    seen: list[TuningSnapshot] = []

    model = tunery.tune(data, base_model="tiny", epoch_count=3, on_snapshot=seen.append)

    assert [snapshot.step for snapshot in seen] == [5, 6, 7, 8, 9]
    with Library.open(tmp_path / "home") as library:
        assert [(one.id, one.task.phase) for one in library.list()] == [(model.id, Phase.SUCCEEDED)]
    whole = tunery.tune(data, base_model="tiny", epoch_count=3, library=False)
    assert [s.mean_loss for s in whole.snapshots] == [s.mean_loss for s in model.snapshots]


def test_a_job_resumes_with_the_weights_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that stayed in 4 bits since little memory was free do so when more is, and give the same bytes."""

    def stop(snapshot: TuningSnapshot) -> None:
        if snapshot.step == 4:
            raise KeyboardInterrupt

    Catalog(tmp_path / "home").add(str(make_gguf(tmp_path / "q.gguf", scale=0.3)), "small")
    data = rows(tmp_path / "numbers.csv")
    asked: dict[str, Any] = {"base_model": "small", "epoch_count": 3}
    monkeypatch.setattr("tunery.engine.base.available_memory", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        tunery.tune(data, on_snapshot=stop, **asked)
    monkeypatch.undo()
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    resident_base.cache_clear()
    model = tunery.tune(data, **asked)

    with Library.open(tmp_path / "home") as library:
        task = library.get("numbers").task
    assert task.settings["weights"] == "4bit"
    assert model.card().settings["in_force"]["weights"] == "4bit"
    whole, full = (tunery.tune(data, **asked, weights=weights, library=False) for weights in ("4bit", "full"))
    saved = [_saved(one, tmp_path / str(number)) for number, one in enumerate((model, whole, full))]
    assert saved[0] == saved[1] != saved[2]


def test_a_job_resumes_with_the_rounding_it_began_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A base that came full is rounded to 4 bits if asked, and it says so; resumed, the bytes are the same."""

    def stop(snapshot: TuningSnapshot) -> None:
        if snapshot.step == 4:
            raise KeyboardInterrupt

    data = rows(tmp_path / "numbers.csv")
    asked: dict[str, Any] = {"base_model": "tiny", "epoch_count": 3, "weights": "4bit"}
    with pytest.raises(KeyboardInterrupt):
        tunery.tune(data, on_snapshot=stop, **asked)
    resident_base.cache_clear()
    model = tunery.tune(data, **asked)

    assert "The weights of the base are rounded to 4 bits; tuning sees the rounded ones." in capsys.readouterr().err
    with Library.open(tmp_path / "home") as library:
        task = library.get("numbers").task
    assert (task.hyperparameters.weights, task.settings["weights"]) == ("4bit", "4bit")
    assert "weights of the base 4bit" in model.card().markdown()
    whole, full = (tunery.tune(data, **asked | {"weights": one}, library=False) for one in ("4bit", "full"))
    saved = [_saved(one, tmp_path / str(number)) for number, one in enumerate((model, whole, full))]
    assert saved[0] == saved[1] != saved[2]


def _saved(model: tunery.Model, folder: Path) -> bytes:
    model.save(folder)
    return (folder / "adapter_model.safetensors").read_bytes()


def test_outside_my_library_nothing_is_kept(tmp_path: Path) -> None:
    """With `library=False`; a recipe of one's own needs that."""
    data = rows(tmp_path / "numbers.csv")

    assert tunery.tune(data, base_model="tiny", epoch_count=1, library=False).id is None
    with pytest.raises(InvalidArgument, match="Add library=False"):
        tunery.tune(data, base_model="tiny", recipe=tunery.Recipe(rank=8))

    with Library.open(tmp_path / "home") as library:
        assert library.list() == ()


def test_a_data_folder_in_use_is_named(tmp_path: Path) -> None:
    """With what to do: nothing is tuned behind the back of a server."""
    with Library.own(tmp_path / "home"), pytest.raises(FolderLocked, match="add library=False"):
        tunery.tune(rows(tmp_path / "numbers.csv"), base_model="tiny")


def test_an_unknown_name_is_nowhere(tmp_path: Path) -> None:
    """Neither in My Library, nor a folder, nor a base."""
    with Library.own(tmp_path / "home"):
        pass

    with pytest.raises(NotFound, match=r"Nor is there a folder of an adapter\. There is no base model with"):
        tunery.load("nothing-here")


@pytest.mark.parametrize("library", [True, False])
def test_a_ruined_run_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: bool) -> None:
    """Outside of My Library as inside, instead of a model that answers nonsense and advice to go on."""
    monkeypatch.setattr("tunery.engine.tuner.RUINED_FACTOR", 0.0)  # a tiny base is hard to ruin
    monkeypatch.setattr("tunery.engine.tuner.RUINED_NATS", 0.0)
    data = rows(tmp_path / "numbers.csv")

    with pytest.raises(TuningRuined, match="learning rate"):
        tunery.tune(data, base_model="tiny", epoch_count=1, batch_size=12, library=library, progress=False)
