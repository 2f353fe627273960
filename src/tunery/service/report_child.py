"""
What the children of inquiries have in common: they take one piece of work, say how far they are, and send a document.

What is found out is the business of each (`evaluating.py`, `examining.py`); who asks is `service.inquiries`. Knows no
model, SQL or HTTP.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.errors import TuneryError
from tunery.files import open_published
from tunery.service.process import Channel
from tunery.types import Hyperparameters, TuningExample

if TYPE_CHECKING:
    from tunery.model import Model
    from tunery.resampling import Repeated

_log = logging.getLogger("tunery.inquiring")


@dataclass(frozen=True, slots=True)
class Begin:
    """To the child: the work, and a folder for temporary files, which the parent removes: who is killed cannot."""

    work: object = field(repr=False)
    temporary: Path


@dataclass(frozen=True, slots=True)
class Progressed:
    """From the child: so much of all is done; prompts, rows or steps."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Done:
    """From the child: the document of what was found, or why there is none."""

    document: dict[str, Any] | None = field(default=None, repr=False)
    error: TuneryError | None = None


def find_out(channel: Channel, found: Callable[[Any], dict[str, Any]]) -> None:
    """Take one piece of work from the channel, and send the document that `found` makes of it."""
    channel.show_life()
    begin = channel.messages.get()
    tempfile.tempdir = str(begin.temporary)
    try:
        channel.send(Done(found(begin.work)))
    except TuneryError as error:
        channel.send(Done(error=error))
    except Exception as error:  # noqa: BLE001  # the server must hear of it
        _log.exception("An inquiry failed")
        channel.send(Done(error=TuneryError(f"Something went wrong: {error!r}.")))
    channel.messages.get()  # until the server has read all and ends us


@dataclass(frozen=True, slots=True)
class CurveWork:
    """To the child: draw the curve of these rows."""

    base_model: str
    hyperparameters: Hyperparameters
    seed: int
    data_folder: Path
    rows: tuple[TuningExample, ...] = field(repr=False)


def draw_curve(channel: Channel) -> None:
    """Draw one curve."""
    find_out(channel, lambda work: _drawn(channel, work))


def _drawn(channel: Channel, work: CurveWork) -> dict[str, Any]:
    from tunery.resampling import SHARES, Repeated, data_curve

    os.environ["TUNERY_HOME"] = str(work.data_folder)  # where the Python library finds its bases
    channel.send(Progressed(1, len(SHARES)))
    how = Repeated(
        work.base_model,
        work.hyperparameters,
        work.seed,
        lambda number, _snapshot: channel.send(Progressed(number, len(SHARES))),
    )
    return {"rows": len(work.rows), **asdict(data_curve(work.rows, repeated=how))}


@dataclass(frozen=True, slots=True)
class EvaluationWork:
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


def evaluate(channel: Channel) -> None:
    """Evaluate once."""
    find_out(channel, lambda work: _evaluated(channel, work))


def _evaluated(channel: Channel, work: EvaluationWork) -> dict[str, Any]:
    from tunery.evaluation.contest import Contest, RecordedAnswers

    recorded = None if work.recorded is None else RecordedAnswers(work.recorded[1], work.recorded[0])
    contest = Contest(
        _Asking(channel, is_tuned=False),
        _Asking(channel, is_tuned=True),
        work.examples,
        recorded,
        lambda done, total: channel.send(Progressed(done, total)),
    )
    found = contest.evaluate(work.rows, max_rows=work.max_rows, source=work.source, seed=work.seed)
    return found.document()


class _Asking:
    """A model that answers through the server."""

    def __init__(self, channel: Channel, *, is_tuned: bool) -> None:
        self._channel, self._is_tuned = channel, is_tuned

    def fits(self, prompt: str, max_output_tokens: int) -> bool:
        return bool(self._asked(AskFits(prompt, max_output_tokens)))

    def answers(self, prompts: Sequence[str], max_output_tokens: int) -> list[str]:
        return list(self._asked(AskAll(self._is_tuned, tuple(prompts), max_output_tokens)))

    def _asked(self, question: AskAll | AskFits) -> Any:
        self._channel.send(question)
        reply = self._channel.messages.get()
        if isinstance(reply, TuneryError):
            raise reply
        assert isinstance(reply, Reply)
        return reply.value


@dataclass(frozen=True, slots=True)
class CheckWork:
    """To the child: examine what a model was tuned on; its adapter is named by folder and digest of the manifest."""

    base_model: str
    data_folder: Path
    adapter: tuple[Path, str]
    examples: tuple[TuningExample, ...] = field(repr=False)
    held_out: tuple[TuningExample, ...] = field(repr=False)
    hyperparameters: Hyperparameters
    seed: int
    folds: int | None = None


def check_data(channel: Channel) -> None:
    """Examine once."""
    find_out(channel, lambda work: _examined(channel, work))


def _examined(channel: Channel, work: CheckWork) -> dict[str, Any]:
    from tunery.engine.catalog import Catalog
    from tunery.engine.encoding import token_counts
    from tunery.resampling import surgery

    os.environ["TUNERY_HOME"] = str(work.data_folder)  # where the Python library finds its bases
    channel.send(Progressed(0, len(work.examples)))
    entry = Catalog(work.data_folder).resolve(work.base_model)
    found = surgery(
        work.examples,
        folds=work.folds,
        repeated=_repeated(channel, work, work.folds) if work.folds else None,
        model=None if work.folds else _model(work),
        held_out=work.held_out,
        token_counts=token_counts(entry, work.data_folder, work.examples),
        window_tokens=entry.input_token_limit,
        learned=work.examples,
        on_rows=lambda done, total: channel.send(Progressed(done, total)),
    )
    return {
        "rows": len(work.examples),
        "held_out_rows": len(work.held_out),
        "folds": work.folds,
        "findings": [finding.document(lambda place: place + 1) for finding in found],
    }


def _model(work: CheckWork) -> Model:
    from tunery.engine.adapter import read_adapter
    from tunery.engine.resident import loaded_base
    from tunery.model import Model

    resident = loaded_base(work.base_model, work.data_folder)
    return Model(resident, read_adapter(open_published(*work.adapter), resident.network))


def _repeated(channel: Channel, work: CheckWork, folds: int) -> Repeated:
    """Return how each fold is tuned: as the model was, but not so long that a model is sure of everything."""
    from tunery.resampling import DOUBTING, Repeated

    settings, rows = work.hyperparameters, len(work.examples)
    return Repeated(
        work.base_model,
        replace(settings, epoch_count=min(settings.epoch_count, DOUBTING.epoch_count)),
        work.seed,
        lambda number, _snapshot: channel.send(Progressed(rows * (number - 1) // folds, rows)),
    )
