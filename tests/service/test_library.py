"""My Library on a real data folder: creating, finding, changing and listing tuned models, by one process and many."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.service.samples import EXAMPLES, a_curve, a_request, claimed, made_checkpoint, tuned
from tunery.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    FolderLocked,
    InvalidArgument,
    NotFound,
)
from tunery.service.library import Library
from tunery.types import Phase, State


def test_what_is_created_is_found_as_it_was_asked_for(library: Library) -> None:
    """A new model is CREATING and queued, with the settings, data facts and examples of its request."""
    request = a_request(id="numbers", description="adds one", held_out=EXAMPLES[:2], seed=7)

    model = library.create(request)

    assert (model.name, model.display_name, model.description) == ("tunedModels/numbers", "Next number", "adds one")
    assert (model.state, model.task.phase, model.artifact) == (State.CREATING, Phase.QUEUED, None)
    assert (model.task.hyperparameters, model.task.data) == (request.hyperparameters, request.data)
    assert (model.task.seed, model.task.held_out_rows, model.task.total_steps) == (7, 2, 19)
    assert model.task.start_time is None
    assert library.examples(model) == (EXAMPLES, EXAMPLES[:2])
    assert library.get("numbers") == model


def test_a_loss_of_labels_is_kept_without_a_column(library: Library) -> None:
    """It is among the settings from the start, belongs to the inputs of the task, and makes another request."""
    plain = a_request(id="numbers")
    shared = replace(plain, id="shared", hyperparameters=replace(plain.hyperparameters, label_share=0.5))

    model = library.create(shared)

    task = library.claim("a test", task_id=model.task.id)
    assert task is not None
    assert (task.hyperparameters, task.settings) == (shared.hyperparameters, {"label_share": 0.5})
    assert library.inputs(model, task)[0] == EXAMPLES
    assert library.create(plain).task.settings == {}
    assert replace(shared, id="numbers").sha256() != plain.sha256()
    with pytest.raises(DataLoss):
        library.inputs(model, replace(task, hyperparameters=plain.hyperparameters))


def test_without_an_id_one_is_made_of_the_display_name(library: Library) -> None:
    """A model without id gets one derived from its display name; one without display name is called by its id."""
    assert library.create(a_request()).id.startswith("next-number-")
    assert library.create(a_request(id="plain", display_name=None)).display_name == "plain"


def test_a_taken_id_is_refused_and_changes_nothing(library: Library) -> None:
    """The second create with an id raises AlreadyExists, and the first model stays unchanged."""
    first = library.create(a_request(id="taken"))

    with pytest.raises(AlreadyExists, match="'taken'"):
        library.create(a_request(id="taken", display_name="Other"))

    assert library.list() == (first,)


def test_the_list_has_the_newest_first(library: Library) -> None:
    """Models are listed newest first, also after one was deleted."""
    for model_id in ("one", "two", "three"):
        library.create(a_request(id=model_id))
    library.delete("three")
    library.create(a_request(id="four"))

    assert [model.id for model in library.list()] == ["four", "two", "one"]


@pytest.mark.parametrize(
    ("words", "found"), [("ticket", ["b"]), ("ÄPFEL", ["a"]), ("100%", ["c"]), ("_", []), ("'; --", []), ("", "cba")]
)
def test_the_list_is_filtered_by_words_as_they_stand(library: Library, words: str, found: list[str]) -> None:
    """Words are searched in name and description, ignoring case in any alphabet; no character is special."""
    library.create(a_request(id="a", display_name="Äpfel zählen"))
    library.create(a_request(id="b", display_name="x", description="Support TICKETS"))
    library.create(a_request(id="c", display_name="100% sure"))

    assert [model.id for model in library.list(words)] == list(found)


def test_curves_are_listed_only_if_asked_for(library: Library) -> None:
    """The list omits the snapshots unless requested; a single model has them."""
    tuned(library, id="done")

    assert library.list()[0].task.snapshots == ()
    assert library.list(with_snapshots=True)[0].task.snapshots == a_curve(19)
    assert library.get("done").task.snapshots == a_curve(19)


@pytest.mark.parametrize("name", ["tunedModels/numbers", "numbers", "Next number"])
def test_a_model_is_found_by_each_of_its_names(library: Library, name: str) -> None:
    """The full name, the id and the display name all find it."""
    library.create(a_request(id="numbers"))

    assert library.get(name).id == "numbers"


def test_a_display_name_that_two_models_have_is_refused(library: Library) -> None:
    """An ambiguous display name raises an error that lists the ids to choose from."""
    for model_id in ("one", "two"):
        library.create(a_request(id=model_id))

    with pytest.raises(InvalidArgument, match="two, one"):
        library.get("Next number")


def test_an_unknown_name_is_answered_with_those_that_come_near(library: Library) -> None:
    """A misspelt name raises NotFound with similar ids; for an empty library the error says that it is empty."""
    with pytest.raises(NotFound, match="My Library is empty"):
        library.get("tickets")
    library.create(a_request(id="support-tickets"))

    with pytest.raises(NotFound, match="Did you mean support-tickets"):
        library.get("tunedModels/suport-ticket")
    with pytest.raises(NotFound, match="Did you mean support-tickets"):
        library.get("next numbr")
    with pytest.raises(NotFound, match="no tuned model 'zzz'"):
        library.get("zzz")


def test_names_can_be_changed(library: Library) -> None:
    """Display name and description change one by one; the rest and the creation time stay."""
    model = library.create(a_request(id="numbers", description="old"))

    changed = library.update("numbers", display_name="New name")

    assert (changed.display_name, changed.description) == ("New name", "old")
    assert changed.update_time > model.update_time
    assert changed.create_time == model.create_time
    with pytest.raises(InvalidArgument):
        library.update("numbers", display_name="x" * 41)


def test_the_next_owner_sweeps_what_nobody_names(home: Path) -> None:
    """Adapters and checkpoints without a task are removed when the folder is owned again; those in use stay."""
    with Library.own(home) as library:
        model = tuned(library)
        (library.folder.models / "unknown" / "1").mkdir(parents=True)
        (library.folder.path / str(model.artifact)).with_name(".2.partial").mkdir()
        (library.folder.checkpoints / "unknown").mkdir()
        waiting = claimed(library)
        made_checkpoint(library, waiting)

    with Library.own(home) as library:
        assert {path.name for path in library.folder.models.iterdir()} == {model.task.id}
        assert {path.name for path in library.folder.checkpoints.iterdir()} == {waiting.id}
        assert library.adapter_folder(model)


_LIST = """
import sys
from pathlib import Path
from tunery.errors import FolderLocked
from tunery.service.library import Library
with Library.open(Path(sys.argv[1])) as library:
    print([model.id for model in library.list()], library.adapter_folder(library.get("numbers")).name)
try:
    with Library.own(Path(sys.argv[1])):
        pass
except FolderLocked as error:
    print(error)
"""


def test_another_process_reads_while_this_one_owns(library: Library, home: Path) -> None:
    """Listing, showing and opening work while another process owns the folder; owning it names that process."""
    tuned(library, id="numbers")

    result = subprocess.run([sys.executable, "-c", _LIST, str(home)], stdout=subprocess.PIPE, text=True, check=True)

    listed, refused = result.stdout.splitlines()
    assert listed == "['numbers'] 1"
    assert refused.startswith(f"Process {os.getpid()} is using the data folder")


def test_opening_a_new_folder_shows_an_empty_library(home: Path) -> None:
    """Reading a missing data folder creates an empty library."""
    with Library.open(home) as library:
        assert library.list() == ()


_OPEN = """
import sys
from pathlib import Path
from tunery.service.library import Library
with Library.open(Path(sys.argv[1])) as library:
    print(len(library.list()))
"""


def test_processes_that_open_a_new_folder_together_wait_for_each_other(home: Path) -> None:
    """Of three processes that open a new folder, one creates the tables and all see an empty library."""
    command = [sys.executable, "-c", _OPEN, str(home)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]

    assert [process.communicate()[0] for process in processes] == ["0\n"] * 3


def test_a_reader_cannot_write(home: Path) -> None:
    """A library opened to read refuses all changes."""
    with Library.open(home) as library, pytest.raises(FailedPrecondition, match="cannot be written to"):
        library.create(a_request())


def test_owning_twice_is_refused(library: Library, home: Path) -> None:
    """A second owner of the same folder is refused, and the first continues."""
    with pytest.raises(FolderLocked), Library.own(home):
        pass

    assert library.create(a_request())


_MODULES = """
import sys
import tunery.service.library
from pathlib import Path
with tunery.service.library.Library.open(Path(sys.argv[1])) as library:
    library.list()
print(sorted({"alembic", "mako", "torch", "transformers", "fastapi"} & set(sys.modules)))
"""


def test_nothing_heavy_is_imported_to_list_models(library: Library, home: Path) -> None:  # noqa: ARG001
    """A library with current tables is opened and listed without Alembic, torch or fastapi."""
    result = subprocess.run([sys.executable, "-c", _MODULES, str(home)], stdout=subprocess.PIPE, text=True, check=True)

    assert result.stdout == "[]\n"
