"""Creation of a tuned model: what is refused before anything is written, and which requests are repetitions."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.engine.tiny_bases import make_folder
from tests.service.samples import CountingHere, a_request, claimed, tuned
from tunery.engine.catalog import Catalog
from tunery.errors import (
    AlreadyExists,
    DatasetInvalid,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from tunery.service import creation as module
from tunery.service.answering import Answering
from tunery.service.creation import Creation, CreationRequest
from tunery.service.library import Library
from tunery.types import Hyperparameters

ROWS = [(str(number), str(number + 1)) for number in range(20)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def creation(library: Library, base: Path) -> Creation:
    catalog = Catalog(library.folder.path)
    catalog.add(str(base), "tiny")
    return Creation(library, catalog, cast(Answering, CountingHere(library.folder.path)))


def wanted(**changes: Any) -> CreationRequest:
    return replace(
        CreationRequest("local", ROWS, Hyperparameters(), base_model="models/tiny", display_name="Numbers"), **changes
    )


def test_a_creation_request_becomes_a_tuning_request(creation: Creation) -> None:
    """The request has base, settings and rows; held-out rows are separate."""
    request = creation.checked(wanted(hold_out=5, temperature=0.5, id="numbers"))

    assert (request.base_model, request.base_name_asked, request.id) == ("tiny", "tiny", "numbers")
    assert (len(request.examples), len(request.held_out)) == (15, 5)
    assert (request.temperature, request.top_p, request.top_k) == (0.5, 0.95, 64)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"display_name": None}, InvalidArgument, "tuned_model_id or display_name"),
        ({"display_name": "a\0"}, InvalidArgument, r"control character \(U\+0000\) at position 2"),
        ({"base_model": None}, InvalidArgument, "Exactly one of base_model and tuned_model_source"),
        ({"source_tuned_model": "x"}, InvalidArgument, "Exactly one of base_model and tuned_model_source"),
        ({"base_model": "models/none"}, NotFound, "models/none is not found for CREATE TUNED MODEL"),
        ({"base_model": None, "source_tuned_model": "tunedModels/none"}, NotFound, "tunedModels/none"),
        ({"examples": []}, InvalidArgument, "there are no examples"),
        ({"examples": [("a", "b"), ("a\0", "b")]}, DatasetInvalid, r"examples\[1\]\.textInput"),
        ({"examples": [("a", "")]}, DatasetInvalid, r"examples\[0\]\.output"),
        (
            {"examples": [("a", "b"), ("c", "b" * 200)], "hold_out": 1},
            DatasetInvalid,
            r"examples\[1\]\.output: 2\d\d tokens with the chat template, limit 128",
        ),
    ],
)
def test_an_impossible_request_is_refused(
    creation: Creation, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    """The error names what is missing, unknown or not text as the caller wrote it."""
    with pytest.raises(error, match=said):
        creation.checked(wanted(**changes))


def test_only_a_usable_model_is_tuned_further(creation: Creation, library: Library) -> None:
    """A source still being tuned is refused; an ACTIVE one provides the base and the sampling defaults."""
    claimed(library, id="creating", base_model="tiny")
    with pytest.raises(FailedPrecondition, match="tunedModels/creating is CREATING"):
        creation.checked(wanted(base_model=None, source_tuned_model="tunedModels/creating"))

    tuned(library, id="active", base_model="tiny", temperature=0.7)
    request = creation.checked(wanted(base_model=None, source_tuned_model="tunedModels/active"))

    assert (request.base_model, request.source_tuned_model, request.temperature) == ("tiny", "active", 0.7)


def test_an_unanswered_creation_is_repeated_not_doubled(creation: Creation) -> None:
    """A repeated request gets the same model if the reply was never sent, a new model if it was."""
    first = creation.create(a_request())
    creation.answered(first, was_sent=False)
    second = creation.create(a_request())
    creation.answered(second, was_sent=True)
    third = creation.create(a_request())

    assert second.id == first.id
    assert third.id != first.id


def test_two_equal_creations_at_once_are_two(creation: Creation) -> None:
    """While the first reply is being sent, an equal request makes another model; with the same id it is refused."""
    assert creation.create(a_request()).id != creation.create(a_request()).id

    creation.create(a_request(id="numbers"))
    with pytest.raises(AlreadyExists):
        creation.create(a_request(id="numbers"))


def test_a_key_names_a_creation(creation: Creation) -> None:
    """The same key returns the same model, even after its reply was sent; for another user it makes a new one."""
    first = creation.create(a_request(), "key")
    creation.answered(first, was_sent=True)

    assert creation.create(a_request(), "key").id == first.id
    assert creation.create(a_request(user_id="other@example.com"), "key").id != first.id


def test_a_full_queue_refuses(creation: Creation, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the queue is full, another creation is refused and nothing is written."""
    monkeypatch.setattr(module, "MAX_WAITING_TASKS", 1)
    creation.create(a_request())

    with pytest.raises(ResourceExhausted, match="1 tuning jobs are already waiting"):
        creation.create(a_request(id="numbers"))


def test_one_user_leaves_room_in_the_queue(creation: Creation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the queue is the most of one user; others may still queue."""
    monkeypatch.setattr(module, "MAX_WAITING_OF_USER", 1)
    creation.create(a_request(id="numbers"))

    with pytest.raises(ResourceExhausted, match="1 of your tuning jobs are already waiting; the limit is 1"):
        creation.create(a_request(id="more"))
    creation.create(a_request(id="others", user_id="other@example.com"))


def test_a_disk_below_its_reserve_refuses(
    creation: Creation, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With less free space than the reserve, a creation is refused as unavailable and nothing is written."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage(100 * 10**9, 99.5 * 10**9, 5 * 10**8))

    with pytest.raises(Unavailable, match="500 MB left; 1000 MB must stay free"):
        creation.create(a_request())
    assert library.list() == ()
