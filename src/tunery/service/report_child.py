"""The child process that makes reports: it takes one piece of work, sends its progress and then the document."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tunery.errors import TuneryError, as_tunery_error
from tunery.files import open_published
from tunery.service.folder import epoch_folder
from tunery.service.process import Channel
from tunery.types import AnswerForm, Hyperparameters, Rendering, TuningExample, TuningSnapshot

if TYPE_CHECKING:
    from tunery.model import Model

_log = logging.getLogger("tunery.reports")


class Work(Protocol):
    """What a report is made from."""

    def document(self, channel: Channel) -> dict[str, Any]:
        """Make the report in the child and return its document."""


@dataclass(frozen=True, slots=True)
class Begin:
    """To the child: the work, and a folder for temporary files, which the parent removes afterwards."""

    work: Work = field(repr=False)
    temporary: Path


@dataclass(frozen=True, slots=True)
class Progressed:
    """From the child: how many prompts, rows or tuning runs are done, and the total."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Done:
    """From the child: the document, or the error."""

    document: dict[str, Any] | None = field(default=None, repr=False)
    error: TuneryError | None = None


@dataclass(frozen=True, slots=True)
class AskAll:
    """From the child of an evaluation: answer these prompts with the tuned model, or with its base."""

    is_tuned: bool
    prompts: tuple[str, ...] = field(repr=False)
    max_output_tokens: int
    form: AnswerForm | None = None


@dataclass(frozen=True, slots=True)
class AskLabels:
    """From the child of an evaluation: how probable are these labels after each prompt, by either model?"""

    is_tuned: bool
    prompts: tuple[str, ...] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AskStates:
    """From the child of an evaluation: what are the mean states of the base for prompts that begin with `preamble`?"""

    prompts: tuple[str, ...] = field(repr=False)
    preamble: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AskFits:
    """
    From the child of an evaluation: does this prompt fit into the base's window together with an answer of this length?
    """

    prompt: str = field(repr=False)
    max_output_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """To the child of an evaluation: the answers, or whether the prompt fits."""

    value: Any = field(repr=False)


def main(channel: Channel) -> None:
    """Make one report."""
    channel.show_life()
    begin: Begin = channel.messages.get()
    tempfile.tempdir = str(begin.temporary)
    try:
        channel.send(Done(begin.work.document(channel)))
    except TuneryError as error:
        channel.send(Done(error=error))
    except Exception as error:  # noqa: BLE001  # the server has to be told
        _log.exception("A report failed")
        channel.send(Done(error=as_tunery_error(error)))
    channel.messages.get()  # wait until the server has read everything and ends this process


@dataclass(frozen=True, slots=True)
class EvaluationWork:
    """Evaluate `rows`; `recorded` is the name of another model and its answers to them."""

    rows: tuple[TuningExample, ...] = field(repr=False)
    examples: tuple[TuningExample, ...] = field(repr=False)
    source: str
    max_rows: int
    seed: int
    recorded: tuple[str, tuple[str, ...]] | None = field(default=None, repr=False)
    numbers: tuple[int, ...] = field(default=(), repr=False)  # of the rows in their file
    constrains_outputs: bool = True  # whether the tuned model is served with answers limited to labels

    def document(self, channel: Channel) -> dict[str, Any]:
        from tunery.evaluation.contest import Contest, RecordedAnswers

        contest = Contest(
            _ServerModel(channel, is_tuned=False),
            _ServerModel(channel, is_tuned=True),
            self.examples,
            None if self.recorded is None else RecordedAnswers(self.recorded[1], self.recorded[0]),
            lambda done, total: channel.send(Progressed(done, total)),
            constrains_tuned=self.constrains_outputs,
        )
        found = contest.evaluate(self.rows, max_rows=self.max_rows, source=self.source, seed=self.seed)
        return found.renumbered(self.numbers).document()


@dataclass(frozen=True, slots=True)
class FoldsWork:
    """Evaluate `rows` by tuning `folds` times, each time without the rows that are answered afterwards."""

    base_model: str
    hyperparameters: Hyperparameters
    seed: int
    data_folder: Path
    rows: tuple[TuningExample, ...] = field(repr=False)
    folds: int
    numbers: tuple[int, ...] = field(default=(), repr=False)  # of the rows in their file
    constrains_outputs: bool = True  # as in `EvaluationWork`
    compare_settings: str | None = None  # those with which each fold is tuned a second time

    def document(self, channel: Channel) -> dict[str, Any]:
        from tunery.data.settings import other_settings
        from tunery.resampling import Repeated, cross_validate

        os.environ["TUNERY_HOME"] = str(self.data_folder)  # where `tune` looks for bases
        tuned = [self.hyperparameters]
        if self.compare_settings is not None:
            tuned.append(other_settings(self.compare_settings, self.rows, self.hyperparameters))
        rows = len(self.rows) * (self.folds - 1) // self.folds
        steps = [settings.total_steps(rows) for settings in tuned] * self.folds  # of each tuning run

        def on_step(number: int, snapshot: TuningSnapshot) -> None:
            channel.send(Progressed(sum(steps[: number - 1]) + snapshot.step, sum(steps)))

        how = Repeated(self.base_model, self.hyperparameters, self.seed, on_step, self.constrains_outputs)
        found = cross_validate(self.rows, self.folds, repeated=how, compare_settings=self.compare_settings)
        return found.renumbered(self.numbers).document()


class _ServerModel:
    """A model that answers through the server."""

    def __init__(self, channel: Channel, *, is_tuned: bool) -> None:
        self._channel, self._is_tuned = channel, is_tuned

    def fits(self, prompt: str, max_output_tokens: int) -> bool:
        return bool(self._ask(AskFits(prompt, max_output_tokens)))

    def answers(self, prompts: Sequence[str], max_output_tokens: int, form: AnswerForm | None = None) -> list[str]:
        return list(self._ask(AskAll(self._is_tuned, tuple(prompts), max_output_tokens, form)))

    def label_chances(self, prompts: Sequence[str], labels: Sequence[str]) -> list[Mapping[str, float]]:
        return list(self._ask(AskLabels(self._is_tuned, tuple(prompts), tuple(labels))))

    def mean_states(self, prompts: Sequence[str], preamble: str) -> list[Sequence[float]]:
        return list(self._ask(AskStates(tuple(prompts), preamble)))

    def _ask(self, question: AskAll | AskFits | AskLabels | AskStates) -> Any:
        self._channel.send(question)
        reply = self._channel.messages.get()
        if isinstance(reply, TuneryError):
            raise reply
        assert isinstance(reply, Reply)
        return reply.value


@dataclass(frozen=True, slots=True)
class CheckWork:
    """Check the examples of a tuned model; `adapter` is its folder and manifest digest, `epoch` a kept one."""

    base_model: str
    data_folder: Path
    adapter: tuple[Path, str]
    epoch: int | None
    rendering: Rendering
    examples: tuple[TuningExample, ...] = field(repr=False)
    held_out: tuple[TuningExample, ...] = field(repr=False)
    hyperparameters: Hyperparameters
    seed: int
    folds: int | None = None

    def document(self, channel: Channel) -> dict[str, Any]:
        from tunery.engine.catalog import Catalog
        from tunery.engine.encoding import token_counts
        from tunery.resampling import Repeated, surgery

        os.environ["TUNERY_HOME"] = str(self.data_folder)  # where `tune` looks for bases
        rows, folds = len(self.examples), self.folds
        channel.send(Progressed(0, rows))

        def on_step(number: int, _snapshot: TuningSnapshot) -> None:
            channel.send(Progressed(rows * (number - 1) // (folds or 1), rows))

        entry = Catalog(self.data_folder).resolve(self.base_model)
        found = surgery(
            self.examples,
            folds=folds,
            repeated=Repeated(self.base_model, self.hyperparameters, self.seed, on_step),
            model=None if folds else self._model(),
            held_out=self.held_out,
            token_counts=token_counts(entry, self.data_folder, self.examples),
            window_tokens=entry.input_token_limit,
            learned=self.examples,
            on_rows=lambda done, total: channel.send(Progressed(done, total)),
        )
        return {
            "rows": rows,
            "held_out_rows": len(self.held_out),
            "folds": folds,
            "findings": [finding.document(lambda place: place + 1) for finding in found],
        }

    def _model(self) -> Model:
        from tunery.engine.adapter import read_adapter
        from tunery.engine.resident import kept_as, loaded_base
        from tunery.model import Model

        kept = kept_as(self.hyperparameters.weights)
        resident = loaded_base(self.base_model, self.data_folder, *kept)
        adapter = epoch_folder(open_published(*self.adapter), self.epoch)
        return Model(resident, read_adapter(adapter, resident.network), rendering=self.rendering)


@dataclass(frozen=True, slots=True)
class CurveWork:
    """Draw the data curve of `rows`."""

    base_model: str
    hyperparameters: Hyperparameters
    seed: int
    data_folder: Path
    rows: tuple[TuningExample, ...] = field(repr=False)

    def document(self, channel: Channel) -> dict[str, Any]:
        from tunery.resampling import SHARES, Repeated, data_curve

        os.environ["TUNERY_HOME"] = str(self.data_folder)  # where `tune` looks for bases

        def on_step(number: int, _snapshot: TuningSnapshot | None = None) -> None:
            channel.send(Progressed(number, len(SHARES)))

        on_step(1)
        how = Repeated(self.base_model, self.hyperparameters, self.seed, on_step)
        return {"rows": len(self.rows), **asdict(data_curve(self.rows, repeated=how))}
