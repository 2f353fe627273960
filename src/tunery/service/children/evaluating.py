"""
The child that evaluates: runs one contest and scores it, so that the libraries for that never load in the server.

It has no model: prompts go back over the line to the server, which asks its answering child. Knows evaluations; nothing
of SQL or HTTP.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tunery.errors import TuneryError
from tunery.service.children.process import SIGN_OF_LIFE_SECONDS, Alive, Line
from tunery.types import TuningExample

_log = logging.getLogger("tunery.evaluating")


@dataclass(frozen=True, slots=True)
class Work:
    """To the child: evaluate these rows; `recorded` are answers of another model to them, under its name."""

    rows: tuple[TuningExample, ...] = field(repr=False)
    examples: tuple[TuningExample, ...] = field(repr=False)
    source: str
    max_rows: int
    seed: int
    recorded: tuple[str, tuple[str, ...]] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AskAll:
    """From the child: answer these prompts with the tuned model, or with its base."""

    is_tuned: bool
    prompts: tuple[str, ...] = field(repr=False)
    max_output_tokens: int


@dataclass(frozen=True, slots=True)
class AskFits:
    """From the child: does the base take this prompt and so many tokens behind it?"""

    prompt: str = field(repr=False)
    max_output_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """To the child: what it asked for."""

    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Progressed:
    """From the child: so many prompts of all are answered."""

    answered: int
    total: int


@dataclass(frozen=True, slots=True)
class Done:
    """From the child: the document of the evaluation, or why there is none."""

    document: dict[str, Any] | None = field(default=None, repr=False)
    error: TuneryError | None = None


def main(line: Line) -> None:
    """Evaluate once."""
    threading.Thread(target=_say_alive, args=(line,), name="signs of life", daemon=True).start()
    work = line.messages.get()
    try:
        line.send(Done(_evaluated(line, work)))
    except TuneryError as error:
        line.send(Done(error=error))
    except Exception as error:  # noqa: BLE001  # the server must hear of it
        _log.exception("An evaluation failed")
        line.send(Done(error=TuneryError(f"Something went wrong: {error!r}.")))
    line.messages.get()  # until the server has read all and ends us


def _say_alive(line: Line) -> None:
    while True:
        line.send(Alive())
        time.sleep(SIGN_OF_LIFE_SECONDS)


def _evaluated(line: Line, work: Work) -> dict[str, Any]:
    from tunery.engine.evaluation.contest import Contest, Recorded

    recorded = None if work.recorded is None else Recorded(work.recorded[1], work.recorded[0])
    contest = Contest(
        _Asking(line, is_tuned=False),
        _Asking(line, is_tuned=True),
        work.examples,
        recorded,
        lambda done, total: line.send(Progressed(done, total)),
    )
    found = contest.evaluate(work.rows, max_rows=work.max_rows, source=work.source, seed=work.seed)
    return found.document()


class _Asking:
    """A model that answers through the server."""

    def __init__(self, line: Line, *, is_tuned: bool) -> None:
        self._line, self._is_tuned = line, is_tuned

    def fits(self, prompt: str, max_output_tokens: int) -> bool:
        return bool(self._asked(AskFits(prompt, max_output_tokens)))

    def answers(self, prompts: Sequence[str], max_output_tokens: int) -> list[str]:
        return list(self._asked(AskAll(self._is_tuned, tuple(prompts), max_output_tokens)))

    def _asked(self, question: AskAll | AskFits) -> Any:
        self._line.send(question)
        reply = self._line.messages.get()
        if isinstance(reply, TuneryError):
            raise reply
        assert isinstance(reply, Reply)
        return reply.value
