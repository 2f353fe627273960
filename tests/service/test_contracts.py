"""Contracts in the library: learned with the model, kept as reports, learned again for older models."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.service.samples import a_request, tuned
from tunery.data.outputs import Contracts
from tunery.service import folder as epochs
from tunery.service.contracts import contracts_of
from tunery.service.library import Library
from tunery.service.tuning import OUTPUT_CONTRACT, PROMPT_CONTRACT

RELEASED = sorted((Path(__file__).parent / "database" / "released").glob("*.sql"))


def test_a_new_model_has_its_contracts(library: Library) -> None:
    """Both are stored as reports when the model is created, and describe its examples."""
    model = library.create(a_request())

    assert {PROMPT_CONTRACT, OUTPUT_CONTRACT} <= set(library.reports(model))
    assert contracts_of(library, model) == Contracts.learn(a_request().examples)
    assert contracts_of(library, model).output.kind == "NUMBER"


@pytest.mark.parametrize("dump", RELEASED, ids=lambda path: path.stem)
def test_models_from_before_have_contracts_too(dump: Path, tmp_path: Path) -> None:
    """A library of any released version returns the contracts of its models, from the stored examples."""
    (tmp_path / "home").mkdir()
    with sqlite3.connect(tmp_path / "home" / "tunery.sqlite3") as connection:
        connection.executescript(dump.read_text())
    connection.close()

    with Library.own(tmp_path / "home") as library:
        for model in library.list():
            used, _ = library.examples(model)
            assert contracts_of(library, model) == Contracts.learn(used)


def test_an_old_folder_without_epochs_is_served_as_it_is(library: Library) -> None:
    """An adapter published before epochs were kept is served, and no other epoch is listed."""
    model = tuned(library, lambda folder: (folder / "adapter_config.json").write_text("{}") and None)
    published, _ = library.artifact(model)

    assert epochs.kept_epochs(published) == []
    assert epochs.epoch_folder(published, None) == published


def test_names_of_epochs() -> None:
    """`x@epoch-3` is epoch 3 of x; anything else is a plain name."""
    assert epochs.split_epoch("x@epoch-3") == ("x", 3)
    assert epochs.split_epoch("tunedModels/x@epoch-12") == ("tunedModels/x", 12)
    assert epochs.split_epoch("x@epoch-") == ("x@epoch-", None)
    assert epochs.split_epoch("x-epoch-3") == ("x-epoch-3", None)
