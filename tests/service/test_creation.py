"""From a wish to a task: what is refused before anything is written, and which requests are the same one again."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.engine.tiny_bases import make_folder
from tests.service.samples import a_request, claimed, tuned
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
from tunery.service.creation import Creation, Wish
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
    return Creation(library, catalog)


def a_wish(**changes: Any) -> Wish:
    return replace(Wish("local", ROWS, Hyperparameters(), base_model="models/tiny", display_name="Numbers"), **changes)


def test_a_wish_becomes_a_request(creation: Creation) -> None:
    """Base, settings and rows stand in the request; held-out rows are apart."""
    request = creation.checked(a_wish(hold_out=5, temperature=0.5, id="numbers"))

    assert (request.base_model, request.base_name_asked, request.id) == ("tiny", "tiny", "numbers")
    assert (len(request.examples), len(request.held_out)) == (15, 5)
    assert (request.temperature, request.top_p) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"display_name": None}, InvalidArgument, "tuned_model_id or display_name"),
        ({"display_name": "a\0"}, InvalidArgument, "NUL character at place 2"),
        ({"base_model": None}, InvalidArgument, "Exactly one of base_model and tuned_model_source"),
        ({"source_tuned_model": "x"}, InvalidArgument, "Exactly one of base_model and tuned_model_source"),
        ({"base_model": "models/none"}, NotFound, "models/none is not found for CREATE TUNED MODEL"),
        ({"base_model": None, "source_tuned_model": "tunedModels/none"}, NotFound, "tunedModels/none"),
        ({"examples": []}, InvalidArgument, "there are no examples"),
        ({"examples": [("a", "b"), ("a\0", "b")]}, DatasetInvalid, r"examples\[1\]\.textInput"),
        ({"examples": [("a", "")]}, DatasetInvalid, r"examples\[0\]\.output"),
    ],
)
def test_a_wish_that_cannot_be(creation: Creation, changes: dict[str, Any], error: type[Exception], said: str) -> None:
    """What is missing, unknown or not text is refused by the path or name that the caller used."""
    with pytest.raises(error, match=said):
        creation.checked(a_wish(**changes))


def test_only_a_usable_model_is_tuned_further(creation: Creation, library: Library) -> None:
    """A source that is still being tuned is refused; one that is ACTIVE gives base and answer defaults."""
    claimed(library, id="creating", base_model="tiny")
    with pytest.raises(FailedPrecondition, match="tunedModels/creating is CREATING"):
        creation.checked(a_wish(base_model=None, source_tuned_model="tunedModels/creating"))

    tuned(library, id="active", base_model="tiny", temperature=0.7)
    request = creation.checked(a_wish(base_model=None, source_tuned_model="tunedModels/active"))

    assert (request.base_model, request.source_tuned_model, request.temperature) == ("tiny", "active", 0.7)


def test_an_unanswered_creation_is_repeated_not_doubled(creation: Creation) -> None:
    """The same request after a reply that was never sent gets the same model; after one that was sent, another."""
    first = creation.create(a_request())
    creation.answered(first, was_sent=False)
    second = creation.create(a_request())
    creation.answered(second, was_sent=True)
    third = creation.create(a_request())

    assert second.id == first.id
    assert third.id != first.id


def test_two_equal_creations_at_once_are_two(creation: Creation) -> None:
    """While the reply to the first is on its way, an equal request is another one; with the same id it is refused."""
    assert creation.create(a_request()).id != creation.create(a_request()).id

    creation.create(a_request(id="numbers"))
    with pytest.raises(AlreadyExists):
        creation.create(a_request(id="numbers"))


def test_a_key_names_a_creation(creation: Creation) -> None:
    """With the same key the same model comes back, also after its reply was sent, and for another user another."""
    first = creation.create(a_request(), "key")
    creation.answered(first, was_sent=True)

    assert creation.create(a_request(), "key").id == first.id
    assert creation.create(a_request(user_id="other@example.com"), "key").id != first.id


def test_a_full_queue_refuses(creation: Creation, monkeypatch: pytest.MonkeyPatch) -> None:
    """When as many wait as may, a further creation is refused and nothing is written."""
    monkeypatch.setattr(module, "MAX_WAITING_TASKS", 1)
    creation.create(a_request())

    with pytest.raises(ResourceExhausted, match="1 tuning jobs wait already"):
        creation.create(a_request(id="numbers"))


def test_a_disk_below_its_reserve_refuses(
    creation: Creation, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With less free space than the reserve a creation is refused as unavailable and nothing is written."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage(100 * 10**9, 99.5 * 10**9, 5 * 10**8))

    with pytest.raises(Unavailable, match="500 MB left; 1000 MB must stay free"):
        creation.create(a_request())
    assert library.list() == ()
