"""Polling: as in the library, cached in between, and only for callers with access."""

from __future__ import annotations

import pytest

from tests.service.samples import a_curve, a_request, claimed
from tunery.errors import NotFound, PermissionDenied
from tunery.service.access import CLOUD_PLATFORM, Action, Seen
from tunery.service.library import Library
from tunery.service.tuning import Progress
from tunery.types import Caller, Phase

OWNER = Caller("local", frozenset({CLOUD_PLATFORM}))
STRANGER = Caller("stranger@example.com", frozenset({CLOUD_PLATFORM}))


def seen(library: Library, model_id: str = "numbers", caller: Caller = OWNER) -> Seen:
    return library.polling.get(caller, Action.READ, model_id)


def test_it_is_kept_until_something_is_written(library: Library) -> None:
    """Two polls get the same object; after a heartbeat the next one has the new step."""
    task = claimed(library, id="numbers")
    first = seen(library)

    assert seen(library) is first
    library.heartbeat(task, Phase.RUNNING, Progress(step=3, snapshots=a_curve(3)))
    assert seen(library).model.task.completed_steps == 3


def test_the_place_in_the_queue_moves_up(library: Library) -> None:
    """A waiting task shows how many are before it; a claim moves it up, and the claimed task has no place."""
    for number in range(3):
        library.create(a_request(id=f"numbers-{number}"))
    assert seen(library, "numbers-2").waiting_before == 2

    library.claim("a test")

    assert seen(library, "numbers-2").waiting_before == 1
    assert seen(library, "numbers-0").waiting_before is None


def test_only_who_may_see_it_does(library: Library) -> None:
    """A stranger is refused even if the owner has just polled, and a deleted model is gone at once."""
    library.create(a_request(id="numbers"))
    seen(library)

    with pytest.raises(PermissionDenied):
        seen(library, caller=STRANGER)
    library.delete("numbers")
    with pytest.raises(NotFound):
        seen(library)
