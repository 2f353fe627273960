"""
Many questions from a JSONL file, their answers into another: read and checked whole, written whole.

Knows lines of JSON and anything that generates; nothing of libraries.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from tunery.cli import input_checks, terminal
from tunery.cli.progress import LiveLine, count_progress
from tunery.errors import DataProblem, DatasetInvalid, InvalidArgument, NotFound
from tunery.types import Answer


class Answering(Protocol):
    """What answers: a model in memory, or one of a server."""

    def answers(self, *texts: Any, **settings: Any) -> list[Answer]:
        """Return the answers to several texts."""


BATCH_ROWS = 32  # enough for the generator to keep its places filled, few enough to show progress


def read_inputs(path: Path) -> list[tuple[int, str]]:
    """
    Return number and `text_input` of each line that is not blank.

    Raises NotFound, InvalidArgument, and DatasetInvalid with all lines that cannot be used.
    """
    rows: list[tuple[int, str]] = []
    found: list[DataProblem] = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        text, problem = _text_input(line)
        if problem:
            found.append(DataProblem("bad-line", problem, row=number))
        else:
            rows.append((number, text))
    if not rows and not found:
        found.append(DataProblem("no-rows", "There are no lines."))
    if found:
        raise DatasetInvalid(f"{path}: {found[0]}", found)
    return rows


def answer(model: Answering, rows: Sequence[tuple[int, str]], settings: dict[str, Any], output: Path | None) -> None:
    """
    Answer all rows and write `text_input` and `output` of each as a line of JSON; into `output` all or nothing.

    A line of an input unlike the examples says so, as `--json` does for a single one.

    Raises InvalidArgument when a row is too long or the folder of `output` cannot be written.
    """
    if output is not None and not os.access(output.absolute().parent, os.W_OK):
        raise InvalidArgument(f"{output.absolute().parent} is not a folder that can be written.")
    answers: list[Answer] = []
    with LiveLine() as live:
        show = count_progress(live, "Answering", len(rows))
        for start in range(0, len(rows), BATCH_ROWS):
            answers += _answers(model, rows[start : start + BATCH_ROWS], settings)
            show(len(answers))
    lines = [
        json.dumps(
            {"text_input": text, "output": answer.text, **input_checks.document(answer.input_check)}, ensure_ascii=False
        )
        for (_, text), answer in zip(rows, answers, strict=True)
    ]
    if output is None:
        for line in lines:
            terminal.result(line)
    else:
        _write_whole(output, "\n".join(lines) + "\n")
        terminal.say(f"{len(rows)} answers in {output}")
    input_checks.warn_of_rows([answer.input_check for answer in answers])


def _lines(path: Path) -> Iterator[str]:
    if not path.exists():
        raise NotFound(f"There is no file {str(path)!r}.")
    try:
        yield from path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{str(path)!r} cannot be read as UTF-8 text: {error}.") from error


def _text_input(line: str) -> tuple[str, str]:
    """Return the text of a line, or what is wrong with it."""
    try:
        value = json.loads(line)
    except ValueError as error:
        return "", f"not JSON: {error}."
    text = value.get("text_input") if isinstance(value, dict) else None
    if not isinstance(text, str) or not text.strip():
        return "", 'needs the form {"text_input": "..."} with a text that is not empty.'
    return text, ""


def _answers(model: Answering, rows: Sequence[tuple[int, str]], settings: dict[str, Any]) -> list[Answer]:
    try:
        return model.answers([text for _, text in rows], **settings)
    except InvalidArgument:
        for number, text in rows:  # find the row that does not fit
            try:
                model.answers([text], **settings)
            except InvalidArgument as error:
                raise InvalidArgument(f"Line {number}: {error}") from error
        raise


def _write_whole(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.absolute().parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
