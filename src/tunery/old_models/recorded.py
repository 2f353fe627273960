"""
Recorded answers of an old model: a JSONL line for each row, written as it comes, read again to go on or to compare.

A line has `row`, `text_input`, `output` (what the file expects), `answer` and `model`; `error` says why an answer is
empty. Knows lines and rows; nothing of models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.errors import FailedPrecondition, InvalidArgument, NotFound
from tunery.types import TuningExample

if TYPE_CHECKING:
    from tunery.engine.evaluation.contest import Recorded

Line = dict[str, Any]


class Records:
    """The file of a recording; what it holds already is not asked again."""

    def __init__(self, path: Path, model: str, rows: Sequence[TuningExample]) -> None:
        """Read what is there; raises FailedPrecondition if it is of another model or of other rows."""
        self._path, self._model, self.rows = path, model, rows
        self.lines = {line["row"]: line for line in _read(path)} if path.exists() else {}
        for number, line in self.lines.items():
            if line["model"] != model:
                raise FailedPrecondition(f"{path} holds answers of {line['model']}, not of {model}. Use another --to.")
            if number > len(rows) or line["text_input"] != rows[number - 1].text_input:
                raise FailedPrecondition(
                    f"{path} holds answers to other rows (line of row {number}). Use another --to."
                )

    @property
    def missing(self) -> list[int]:
        """The numbers of the rows, from 1, that have no line yet."""
        return [number for number in range(1, len(self.rows) + 1) if number not in self.lines]

    def add(self, number: int, answer: str, error: str | None = None) -> None:
        """Write the line of a row at the end of the file."""
        row = self.rows[number - 1]
        line: Line = {"row": number, "text_input": row.text_input, "output": row.output, "answer": answer}
        line["model"] = self._model
        if error is not None:
            line["error"] = error
        self.lines[number] = line
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read_recorded(path: Path, rows: Sequence[TuningExample]) -> Recorded:
    """Return the recorded answers to these rows, found by their input; raises InvalidArgument if some are missing."""
    from tunery.engine.evaluation.contest import Recorded

    if not path.exists():
        raise NotFound(f"There is no file {str(path)!r}.")
    lines = _read(path)
    by_input = {line["text_input"]: line["answer"] for line in lines}
    missing = sum(row.text_input not in by_input for row in rows)
    if missing:
        raise InvalidArgument(
            f"{path} has no answer to {missing} of {len(rows)} rows. `tunery rescue` goes on with it."
        )
    return Recorded([by_input[row.text_input] for row in rows], lines[0]["model"])


def _read(path: Path) -> list[Line]:
    found: list[Line] = []
    texts = path.read_text("utf-8").splitlines()
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
            is_whole = isinstance(line["row"], int) and all(
                isinstance(line[name], str) for name in ("text_input", "answer", "model")
            )
        except (ValueError, KeyError, TypeError):
            is_whole = False
        if is_whole:
            found.append(line)
        elif number == len(texts):  # cut off when the command was killed: that row is asked again
            _drop_last_line(path, text)
        else:
            raise InvalidArgument(f"Line {number} of {path} is none of `tunery rescue`.")
    return found


def _drop_last_line(path: Path, text: str) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(text.encode())])
