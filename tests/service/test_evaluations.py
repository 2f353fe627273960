"""Evaluations that nobody asked for: when they begin, and when they do not."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from tests.service.samples import tuned
from tunery.engine.catalog import Catalog
from tunery.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from tunery.service.library import Library
from tunery.service.report_child import FoldsWork
from tunery.service.reports import MAX_OPEN, MAX_OPEN_UNASKED, Evaluations, store
from tunery.types import TunedModel, TuningExample

HELD_OUT = (TuningExample("100", "101"), TuningExample("101", "102"))


@pytest.fixture
def evaluations(library: Library) -> Evaluations:
    """Return evaluations that take work and do none: nobody starts them."""
    return Evaluations(library, cast(Any, None), Catalog(library.folder.path))


def model_of(library: Library, model_id: str, *, held_out: tuple[TuningExample, ...] = HELD_OUT) -> TunedModel:
    return tuned(library, id=model_id, held_out=held_out)


def test_a_model_with_held_out_rows_is_taken(library: Library, evaluations: Evaluations) -> None:
    """It is RUNNING, so that who asks afterwards gets the same evaluation."""
    model = model_of(library, "one")

    evaluations.begin(model)

    progress = evaluations.progress(model)
    assert progress is not None
    assert progress.state == "RUNNING"
    assert evaluations.ask(model, evaluations.held_out_work(model)) is progress


def test_settings_are_not_compared_while_an_evaluation_runs(library: Library, evaluations: Evaluations) -> None:
    """The report that comes would lack them; the same comparison, asked for twice, is one."""
    first, second = (model_of(library, name) for name in ("one", "two"))
    evaluations.begin(first)
    how = first.base_model, first.task.hyperparameters, 0, library.folder.path
    work = FoldsWork(*how, HELD_OUT, 2, compare_settings="auto")

    with pytest.raises(FailedPrecondition, match="is being evaluated"):
        evaluations.ask(first, work)

    assert evaluations.ask(second, work) is evaluations.ask(second, work)


@pytest.mark.parametrize("settings", ["page", "auto"])
def test_settings_that_the_model_has_are_refused_at_once(
    library: Library, evaluations: Evaluations, settings: str
) -> None:
    """Not by a job that fails in the end and stands in place of a good report."""
    model = model_of(library, "one")

    with pytest.raises(InvalidArgument, match=f"the {settings} settings are those that the model has"):
        evaluations.folds_work(model, 2, settings)


def test_a_model_without_held_out_rows_is_not(library: Library, evaluations: Evaluations) -> None:
    model = model_of(library, "one", held_out=())

    evaluations.begin(model)

    assert evaluations.progress(model) is None


def test_what_was_asked_for_already_is_not_repeated(library: Library, evaluations: Evaluations) -> None:
    """A report that is there counts, whoever asked for it."""
    model = model_of(library, "one")
    store(library, model, "EVALUATION", {"rows": 2})

    evaluations.begin(model)

    assert evaluations.progress(model) is None


def test_places_are_left_for_who_asks(
    library: Library, evaluations: Evaluations, caplog: pytest.LogCaptureFixture
) -> None:
    """With enough open ones the next is skipped with a log line, and still may be asked for, until all are taken."""
    models = [model_of(library, f"m{number}") for number in range(MAX_OPEN + 1)]
    with caplog.at_level(logging.INFO, "tunery.reports"):
        for model in models[: MAX_OPEN_UNASKED + 1]:
            evaluations.begin(model)

    skipped = models[MAX_OPEN_UNASKED]
    assert evaluations.progress(skipped) is None
    assert "tunedModels/m4 is not evaluated after tuning" in caplog.text
    for model in models[MAX_OPEN_UNASKED:MAX_OPEN]:
        evaluations.ask(model, evaluations.held_out_work(model))
    with pytest.raises(ResourceExhausted, match="limit of open evaluations"):
        evaluations.ask(models[MAX_OPEN], evaluations.held_out_work(models[MAX_OPEN]))


def test_a_new_model_under_an_old_id_has_nothing_of_the_old_one(library: Library, evaluations: Evaluations) -> None:
    """Progress belongs to the task, not to the id."""
    evaluations.begin(model_of(library, "one"))
    library.delete("one")

    assert evaluations.progress(model_of(library, "one", held_out=())) is None
