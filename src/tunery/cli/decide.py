"""
`tunery decide`: answers to typed questions about a text, or the texts of a file, as probabilities.

A model tuned on labels has a question of its own: which label. A base answers any question.
"""

from __future__ import annotations

from collections.abc import Sequence
from json import loads
from pathlib import Path
from typing import Annotated, Any

from tunery.cli import output as out
from tunery.cli import terminal
from tunery.cli.generate import (
    BATCH_ROWS,
    InputColumns,
    InputPath,
    Overwriting,
    asked_text,
    file_text,
    found_model,
    input_table,
    numbered,
    read_inputs,
    require_inputs,
    require_writable,
    split_labels,
    write_answers,
)
from tunery.cli.terminal import Device, ServerAddress, argument, option
from tunery.cli.workplace import AnsweringModel, workplace
from tunery.data.decisions import CHOICE, NOUL, read_questions
from tunery.data.json_text import json_line
from tunery.errors import InvalidArgument
from tunery.progress import LiveLine, count_progress

Questions = dict[str, Any]

_ONE = "question"  # the name of a question given by options


def decide(
    model: Annotated[str, argument("Tuned model in My Library, or a base model.", "MODEL")],
    text: Annotated[str | None, argument("Text to decide about; - reads it from standard input.", "TEXT")] = None,
    input: InputPath = None,
    output: Annotated[
        Path | None, option("JSONL file for the rows with their answers.", "standard output", metavar="FILE")
    ] = None,
    input_column: InputColumns = None,
    sheet: Annotated[str | None, option("Sheet of a workbook.", "the first with inputs", metavar="NAME")] = None,
    labels: Annotated[
        str | None, option("Labels to choose from, such as billing,login,bug.", "those of the model", metavar="LABELS")
    ] = None,
    question: Annotated[
        str | None, option("Question for a base; without --labels, one for yes or no.", "none", metavar="TEXT")
    ] = None,
    questions: Annotated[
        Path | None, option("JSON file of questions, as for POST /v1/systemone.", "none", metavar="FILE")
    ] = None,
    device: Device = None,
    server: ServerAddress = None,
    yes: Overwriting = False,
    json: Annotated[bool, option("Print one JSON document.", "a line for each option", "--json")] = False,
) -> None:
    """Answer typed questions about a text with probabilities."""
    require_inputs(text, input, output)
    asked = _asked(labels, question, questions)
    require_writable(output, input, (".jsonl",), yes=yes)
    workplace(server, device).require_model(model)
    table = None if input is None else input_table(input, input_column=input_column, sheet=sheet)
    rows = read_inputs(input) if input is not None and table is None else numbered(table)
    found, _ = found_model(model, server)
    if rows:
        lines = _lines(found, [row for _, row in rows], asked)
        write_answers("".join(lines).encode(), len(lines), output)
        return
    text = asked_text(text)
    (answers,) = found.decide([text], asked)
    if json:
        terminal.result(out.dumped({"model": model, "state": text, "answers": answers}))
    else:
        terminal.result("\n".join(line for name, answer in answers.items() for line in _shown(name, answer)))


def _asked(labels: str | None, question: str | None, questions: Path | None) -> Questions | None:
    """Return the questions of the options, None for the one that a tuned model has learned."""
    if questions is not None:
        if labels is not None or question is not None:
            raise InvalidArgument("--questions has the questions and their options; leave out --labels and --question.")
        try:
            given = loads(file_text(questions))
        except ValueError as error:
            raise InvalidArgument(f"{str(questions)!r} is not JSON: {error}.") from None
        read_questions(given)
        return dict(given)
    if labels is not None:
        return {_ONE: {"type": CHOICE, "instructions": question, "criteria": dict.fromkeys(split_labels(labels))}}
    return None if question is None else {_ONE: {"type": NOUL, "instructions": question}}


def _lines(model: AnsweringModel, texts: Sequence[str], asked: Questions | None) -> list[str]:
    found: list[dict[str, Any]] = []
    with LiveLine() as live:
        show = count_progress(live, "Deciding", len(texts))
        for start in range(0, len(texts), BATCH_ROWS):
            found += model.decide(texts[start : start + BATCH_ROWS], asked)
            show(len(found))
    return [json_line({"text_input": text, "answers": answers}) for text, answers in zip(texts, found, strict=True)]


def _shown(name: str, answer: dict[str, Any]) -> list[str]:
    """Return an answer and the probability of each option, the most probable first, for people."""
    if answer["type"] == NOUL:
        chance = answer["noul"]
        return [f"{name}: {'yes' if chance >= 0.5 else 'no'}, {max(chance, 1 - chance):.0%}"]
    names, chances = answer.get("legend", {}), answer["probabilities"]
    best = max(chances, key=chances.get)
    head = (
        f"{name}: {answer['choice']}" if answer["type"] == CHOICE else f"{name}: {answer['score']:.2f}, {names[best]}"
    )
    ranked = sorted(chances.items(), key=lambda pair: -pair[1])
    return [head, *(f"  {chance:4.0%}  {names.get(option, option)}" for option, chance in ranked)]
