"""Reading in a child process with limits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import made_workbooks as made
from tunery.data.dataset import Dataset, preview
from tunery.data.sandbox import preview_guarded, read_and_preview_guarded, read_guarded
from tunery.errors import DatasetInvalid, InvalidArgument, NotFound, TuneryError, Unavailable


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    path.write_text("id;text;label\n1;Grüße 🙂;hallo\n2; b;ade\n")
    return path


def test_gives_what_reading_here_gives(tickets: Path) -> None:
    """The child's dataset is equal to the one read in this process."""
    assert read_guarded(tickets) == Dataset.read(tickets)
    assert read_guarded(tickets, input_column=["id", "text"], skip_rows={3}) == Dataset.read(
        tickets, input_column=["id", "text"], skip_rows={3}
    )


def test_previews_are_equal_too(tickets: Path, tmp_path: Path) -> None:
    """Of text files and of workbooks with sheets."""
    book = tmp_path / "book.xlsx"
    book.write_bytes(made.xlsx(("One", [["text", "label"], ["a", 7.5]]), ("Two", [])))

    assert preview_guarded(tickets) == preview(tickets)
    assert preview_guarded(book) == preview(book)


def test_both_from_one_child(tickets: Path) -> None:
    assert read_and_preview_guarded(tickets) == (Dataset.read(tickets), preview(tickets))


def test_errors_come_through(tickets: Path, tmp_path: Path) -> None:
    """Class, message and problems are those of `Dataset.read`."""
    tickets.write_text("text,label\na,\n,b\n")

    with pytest.raises(DatasetInvalid) as here:
        Dataset.read(tickets)
    with pytest.raises(DatasetInvalid) as there:
        read_guarded(tickets)

    assert str(there.value) == str(here.value)
    assert there.value.problems == here.value.problems
    with pytest.raises(NotFound):
        read_guarded(tmp_path / "nothing.csv")
    with pytest.raises(InvalidArgument, match="no text encoding"):
        read_guarded(tickets, encoding="klingon")


def test_memory_is_limited(tmp_path: Path) -> None:
    """A file that takes too much memory ends the child, and this process says so."""
    path = tmp_path / "texts.xls"
    path.write_bytes(made.xls_of_one_text())

    with pytest.raises(DatasetInvalid, match="more than 512 MB of memory and was stopped"):
        read_guarded(path)


def test_processor_time_is_limited(tickets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that takes too long ends the child, and this process says so."""
    monkeypatch.setattr("tunery.data.sandbox.MAX_CPU_SECONDS", 1)
    rows = "".join(
        f"<row><c><v>{n}</v></c><c><v>{n}</v></c><c><v>1</v></c><c><v>2</v></c></row>" for n in range(99_000)
    )
    tickets.write_bytes(made.xlsx_with_sheet(rows))

    with pytest.raises(DatasetInvalid, match="more than 1 seconds and was stopped"):
        read_guarded(tickets)


def test_the_folder_of_the_user_is_not_searched_for_code(tickets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file json.py beside the data is not imported."""
    (tickets.parent / "json.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tickets.parent)

    assert len(read_guarded("tickets.csv")) == 2


def test_the_child_loads_no_heavy_library() -> None:
    """It must start in a fraction of a second."""
    code = "import sys, tunery.data.sandbox; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"torch", "transformers", "numpy", "sqlalchemy", "typer"} & set(loaded)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Traceback\nOSError: [Errno 5] Input/output error: 'tickets.csv'\n", Unavailable),
        ("python: error while loading shared libraries: libpython3.11.so.1.0: cannot open\n", Unavailable),
        ("Traceback\nModuleNotFoundError: No module named 'tunery'\n", Unavailable),
        ("Traceback\nZeroDivisionError: division by zero\n", TuneryError),
    ],
)
def test_a_failing_system_under_the_child_is_no_bug(
    tickets: Path, monkeypatch: pytest.MonkeyPatch, said: str, kind: type[TuneryError]
) -> None:
    """The error of the system is named, with the advice to try again; any other is our own."""
    failed = subprocess.CompletedProcess([], 1, b"", said.encode())
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)

    with pytest.raises(TuneryError) as caught:
        read_guarded(tickets)

    assert type(caught.value) is kind
    assert said.splitlines()[-1] in str(caught.value)
