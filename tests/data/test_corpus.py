"""
The corpus: files as real programs write them, each with the rows that the user of that program means.

`corpus/expected/` says for each file what is right, and nothing else counts as right; `corpus/texts.py` explains the
form.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tunery.data.dataset import Dataset
from tunery.errors import DatasetInvalid, InvalidArgument, Level

CORPUS = Path(__file__).parent / "corpus"
FILES = CORPUS / "files"
EXPECTED: dict[str, dict[str, Any]] = {
    line["file"]: line
    for path in sorted((CORPUS / "expected").glob("*.jsonl"))
    for line in map(json.loads, path.read_text("utf-8").split("\n")[:-1])
}


class Read:
    """How a file was read: its rows, the sentences about it, and the rows with errors."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self.errors: list[str] = []
        self.row_errors: list[int] = []
        self.rows: list[list[str]] = []
        self.words = ""
        try:
            self._take(Dataset.read(FILES / name, **options))
        except DatasetInvalid as error:
            wrong = [problem for problem in error.problems if problem.level is Level.ERROR]
            self.errors = [str(problem) for problem in wrong]
            self.row_errors = sorted({problem.row for problem in wrong if problem.row is not None})
            self._leave_out(name, options)
        except InvalidArgument as error:
            self.errors = [str(error)]

    def _take(self, dataset: Dataset) -> None:
        self.rows = [[example.text_input, example.output] for example in dataset.examples]
        self.words = "\n".join(map(str, dataset.problems))

    def _leave_out(self, name: str, options: dict[str, Any]) -> None:
        """Read again without the rows that have errors."""
        if len(self.errors) != len(self.row_errors):
            return
        try:
            self._take(Dataset.read(FILES / name, **options, skip_rows=self.row_errors))
        except InvalidArgument:
            self.row_errors = []


def differences(read: Read, right: dict[str, Any]) -> list[str]:
    """Return what is wrong about how a file was read, in words; nothing if it is right."""
    if "refused" in right:
        return _not_refused(read, right["refused"])
    found = []
    if read.errors and read.row_errors != right.get("row_errors", []):
        found.append(f"errors: {read.errors[:3]}")
    elif not read.errors and right.get("row_errors"):
        found.append(f"no errors in rows {right['row_errors']}")
    if read.rows != right["rows"]:
        pairs = zip(read.rows, right["rows"], strict=False)
        first = next(([is_, meant] for is_, meant in pairs if is_ != meant), "the rest")
        found.append(f"{len(read.rows)} rows, {len(right['rows'])} meant; first difference: {first}")
    found += [f"not told: {word}" for word in right.get("warns", []) if not re.search(word, read.words, re.IGNORECASE)]
    return found


def _not_refused(read: Read, pattern: str) -> list[str]:
    if not read.errors:
        return [f"not refused: {read.rows[:2]}"]
    if len(read.errors) > 1:
        return [f"{len(read.errors)} sentences: {read.errors[:2]}"]
    return [] if re.search(pattern, read.errors[0], re.IGNORECASE) else [f"refused with: {read.errors[0]}"]


def wrong(name: str) -> list[str]:
    """Return what is wrong about how the file is read; any of the right outcomes will do."""
    line = EXPECTED[name]
    options = line.get("needs", {})
    outcomes = [line, *line.get("instead", [])]
    if "asked" in line:  # read right and said so, or asked for the option and then read right
        plain = Read(name, {})
        if any(not differences(plain, right) for right in line.get("instead", [])):
            return []
        return [*_not_refused(plain, line["asked"]), *differences(Read(name, options), line)]
    if options and not (plain := Read(name, {})).errors and not re.search("guess", plain.words):
        return [f"read without a word: {plain.rows[:1]}"]
    read = Read(name, options)
    found = [differences(read, right) for right in outcomes]
    return [] if [] in found else found[0]


def test_the_corpus_is_complete() -> None:
    """Every file has an expectation and a source: 60 programs' own, 150 in all, at least 140 of them with rows."""
    assert sorted(EXPECTED) == sorted(path.name for path in FILES.iterdir())
    assert sum(not line["by"].startswith("http") for line in EXPECTED.values()) >= 60
    assert len(EXPECTED) >= 150
    assert sum("rows" in line for line in EXPECTED.values()) >= 140


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_file_is_read_as_it_is_meant(name: str) -> None:
    """The rows, the words about them, and the rows that are refused are those of the expectation."""
    assert wrong(name) == []
