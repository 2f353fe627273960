"""Reports of any kind: made one after the other in a child, whatever happens to a child or a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.served import wait_until
from tests.service.report_work import CommandWork
from tests.service.samples import tuned
from tunery.engine.catalog import Catalog
from tunery.errors import ResourceExhausted
from tunery.service.library import Library
from tunery.service.reports import Progress, Reports
from tunery.types import TunedModel


class Asked(Reports):
    """Reports whose child follows a command."""

    kind, title = "ASKED", "question"
    max_open, niceness = 2, 0

    def ask(self, model: TunedModel, work: str) -> Progress:
        return self._put(model, CommandWork(work))


@pytest.fixture
def asked(library: Library) -> Iterator[Asked]:
    """Return started reports."""
    asked = Asked(library, Catalog(library.folder.path))
    asked.start()
    yield asked
    asked.stop()


def state(asked: Asked, model: TunedModel) -> str | None:
    progress = asked.progress(model)
    return None if progress is None else progress.state


def ended(asked: Asked, model: TunedModel) -> None:
    wait_until(lambda: state(asked, model) != "RUNNING")


def test_the_document_is_kept_with_its_time(library: Library, asked: Asked) -> None:
    """And nothing is known of its progress any more."""
    model = tuned(library, id="one")

    asked.ask(model, "end")
    ended(asked, model)

    report = asked.report(model)
    assert report is not None
    assert (report["work"], set(report)) == ("end", {"work", "create_time", "served_epoch"})
    assert asked.progress(model) is None


@pytest.mark.parametrize(
    ("work", "message"),
    [
        ("err", "It cannot be found out."),
        ("break", "Something went wrong: RuntimeError('a mistake of ours')."),
        ("die", "The question was interrupted. Start it again."),
    ],
)
def test_a_failure_is_told_and_the_next_goes_on(library: Library, asked: Asked, work: str, message: str) -> None:
    """The error of the child, or that it died; asked again it is forgotten."""
    model = tuned(library, id="one")

    asked.ask(model, work)
    ended(asked, model)

    progress = asked.progress(model)
    assert progress is not None
    assert (progress.state, str(progress.error)) == ("FAILED", message)
    asked.ask(model, "end")
    ended(asked, model)
    assert asked.report(model) is not None
    assert asked.progress(model) is None


def test_an_error_of_the_server_does_not_end_the_thread(
    library: Library, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that could not be written is a failure, and the next one is written."""
    first, second = tuned(library, id="one"), tuned(library, id="two")
    put_report = Library.put_report

    def breaking(self: Library, model: TunedModel, *arguments: Any) -> None:
        if model.id == "one":
            raise OSError("no such disk")
        put_report(self, model, *arguments)

    monkeypatch.setattr(Library, "put_report", breaking)
    asked.ask(first, "end")
    asked.ask(second, "end")
    ended(asked, second)

    assert state(asked, first) == "FAILED"
    assert asked.report(second) is not None


def test_one_runs_and_others_wait_until_there_is_no_room(library: Library, asked: Asked, tmp_path: Path) -> None:
    """The same question again is the one that runs; progress is that of the child."""
    models = [tuned(library, id=name) for name in ("one", "two", "three")]
    asked.ask(models[0], f"wait {tmp_path / 'go'}")
    wait_until(lambda: asked.progress(models[0]) == Progress("RUNNING", 1, 2))

    assert asked.ask(models[0], "end") == Progress("RUNNING", 1, 2)
    assert asked.ask(models[1], "end") == Progress("RUNNING")
    with pytest.raises(ResourceExhausted, match=r"limit of open questions has been reached \(2\)"):
        asked.ask(models[2], "end")
    (tmp_path / "go").touch()
    ended(asked, models[1])

    assert asked.ask(models[2], "end").state == "RUNNING"


def test_a_model_that_takes_the_id_of_a_deleted_one_gets_no_report_of_it(
    library: Library, asked: Asked, tmp_path: Path
) -> None:
    """What was found out about the one that is gone is dropped."""
    model = tuned(library, id="one")
    asked.ask(model, f"wait {tmp_path / 'go'}")
    wait_until(lambda: asked.progress(model) == Progress("RUNNING", 1, 2))

    library.delete("one")
    again = tuned(library, id="one")
    (tmp_path / "go").touch()
    ended(asked, model)

    assert (asked.progress(model), asked.progress(again), asked.report(again)) == (None, None, None)


def test_one_that_runs_is_cancelled_and_the_next_goes_on(library: Library, asked: Asked, tmp_path: Path) -> None:
    """Nothing is known of it at once, nothing is kept, its process is gone; it may be asked for again."""
    first, second = tuned(library, id="one"), tuned(library, id="two")
    asked.ask(first, f"wait {tmp_path / 'never'}")
    asked.ask(second, "end")
    wait_until(lambda: asked.progress(first) == Progress("RUNNING", 1, 2))

    asked.cancel(first)

    assert asked.progress(first) is None
    ended(asked, second)
    assert (asked.report(first), asked.report(second) is not None) == (None, True)
    asked.ask(first, "end")
    ended(asked, first)
    assert asked.report(first) is not None


def test_one_that_waits_is_cancelled_and_makes_room(library: Library, asked: Asked, tmp_path: Path) -> None:
    """It leaves no report, not even when it is asked for again and cancelled again; what runs goes on."""
    first, second, third = (tuned(library, id=name) for name in ("one", "two", "three"))
    asked.ask(first, f"wait {tmp_path / 'go'}")
    for _ in range(2):
        asked.ask(second, "end")
        asked.cancel(second)
    asked.ask(third, "end")
    (tmp_path / "go").touch()
    ended(asked, third)

    assert asked.report(second) is None
    assert asked.report(first) is not None


def test_cancelling_what_has_ended_changes_nothing(library: Library, asked: Asked) -> None:
    """Neither a report nor a failure is forgotten."""
    good, bad = tuned(library, id="one"), tuned(library, id="two")
    asked.ask(good, "end")
    asked.ask(bad, "err")
    ended(asked, bad)

    asked.cancel(good)
    asked.cancel(bad)

    assert asked.report(good) is not None
    assert state(asked, bad) == "FAILED"


def test_stopping_ends_what_runs(library: Library, tmp_path: Path) -> None:
    """Nothing is kept of it, and its process is gone."""
    asked = Asked(library, Catalog(library.folder.path))
    asked.start()
    model = tuned(library, id="one")
    asked.ask(model, f"wait {tmp_path / 'never'}")
    wait_until(lambda: asked.progress(model) == Progress("RUNNING", 1, 2))

    asked.stop()

    assert asked.child_pid is None
    assert asked.report(model) is None
