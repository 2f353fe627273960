"""Tuning several times on parts of a dataset: data curves, and the folds of a data check."""

from __future__ import annotations

from pathlib import Path

import pytest

import tunery
from tests.fakes import counting_examples, write_learnable_base
from tunery import resampling
from tunery.data.dataset import as_dataset
from tunery.engine.catalog import Catalog
from tunery.engine.resident import resident_base
from tunery.errors import InvalidArgument
from tunery.resampling import Repeated
from tunery.types import Hyperparameters, TuningExample


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder of its own with a tiny base, kept in memory for one test."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    Catalog(tmp_path / "home").add(str(write_learnable_base(tmp_path / "weights")), "tiny")
    resident_base.cache_clear()


def test_what_is_measured_is_the_tuned_model() -> None:
    """Where the first letter says the label, a model tuned on enough rows answers rows right that it has not seen."""
    rows = [TuningExample(f"{'ab'[n % 2] * 4} {n}", ("yes", "no")[n % 2]) for n in range(40)]
    how = Repeated("tiny", Hyperparameters(epoch_count=10, learning_rate=0.01))

    growth = tunery.data_curve(rows, repeated=how)

    assert [(one.rows, one.tested) for one in growth.measured] == [(7, 12), (14, 12), (28, 12)]
    assert growth.measured[-1].score == 1
    assert len(growth.promises) == 3


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least 40 rows, not 12"):
        tunery.data_curve(counting_examples(12))


def test_folds_of_a_data_check_are_tuned_for_at_most_three_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit holds for any settings; a smaller number of epochs stays."""
    epochs: list[int] = []

    def recording(how: Repeated, *_arguments: object) -> None:
        epochs.append(how.hyperparameters.epoch_count)
        raise InvalidArgument("Enough.")

    monkeypatch.setattr(Repeated, "tune", recording)
    monkeypatch.setattr(resampling, "fitting", lambda dataset, _base: as_dataset(dataset))
    of_ten, of_two = (Repeated("tiny", Hyperparameters(epoch_count=count)) for count in (10, 2))
    for how in (of_ten, of_two, None):
        with pytest.raises(InvalidArgument, match=r"Enough\."):
            resampling.surgery(counting_examples(12), folds=2, repeated=how)

    assert epochs == [3, 2, 3]
