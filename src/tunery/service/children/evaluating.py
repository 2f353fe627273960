"""
The child that evaluates: runs one contest and scores it, so that the libraries for that never load in the server.

It has no model: prompts go back over the line to the server, which asks its answering child. Knows evaluations; nothing
of SQL or HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tunery.errors import TuneryError
from tunery.service.children.inquiring import Progressed, find_out
from tunery.service.children.process import Line
from tunery.types import TuningExample


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


def main(line: Line) -> None:
    """Evaluate once."""
    find_out(line, lambda work: _evaluated(line, work))


def _evaluated(line: Line, work: Work) -> dict[str, Any]:
    from tunery.evaluation.contest import Contest, Recorded

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
