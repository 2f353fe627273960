"""
What `tunery tune` says before the first step and after the last: what was resolved and from where, what was made.

Knows plans and tuned models; it writes to standard error and decides nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tunery.cli import chart, problems, terminal
from tunery.types import CatalogEntry, EpochLoss, Hyperparameters, State, TunedModel, TuningExample, TuningTask

if TYPE_CHECKING:
    from tunery.data.dataset import Preview
    from tunery.service.requests import TuningRequest

MAX_EPOCH_LINES = 20
_EXAMPLE_COLUMNS = 48


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be tuned; `given` are the names of the settings that the user gave, with what was typed."""

    preview: Preview
    base: CatalogEntry
    asked_base: str
    request: TuningRequest
    rows: Sequence[TuningExample]  # all of them, also those held out
    given: Mapping[str, object]


def say_plan(plan: Plan) -> None:
    """Say what was resolved, and what is doubtful about the data."""
    request = plan.request
    for line in terminal.facts(
        (
            ("Data", file_facts(plan.preview)),
            ("Columns", column_facts(plan.preview)),
            (
                "Held out",
                f"{len(request.held_out)} rows (--hold-out {plan.given.get('hold_out')})" * bool(request.held_out),
            ),
            ("Base", _base_facts(plan)),
            ("Settings", _setting_facts(request.hyperparameters, request.seed, plan.given)),
            ("Steps", f"{request.total_steps:,} on {_rows(len(request.examples))}"),
        )
    ):
        terminal.say(line)
    for line in problems.lines(plan.preview.problems):
        terminal.say(line)


def file_facts(preview: Preview) -> str:
    """Return the name of the file, how it was read, and its rows."""
    encoding = f"{preview.encoding}{' (guessed)' if preview.encoding_is_guessed else ''}" if preview.encoding else ""
    sheet = f"sheet {preview.sheet!r}" if preview.sheet else ""
    delimiter = f"delimiter {preview.delimiter!r}" if preview.delimiter not in (None, ",", "\t") else ""
    parts = (f"{preview.source}: {preview.format.upper()}", encoding, sheet, delimiter, _rows(preview.row_count))
    return ", ".join(part for part in parts if part)


def column_facts(preview: Preview) -> str:
    """Return which columns are used as what."""
    if preview.output_column is None:
        return ""
    inputs = " and ".join(repr(column) for column in preview.input_columns)
    return f"input {inputs}, output {preview.output_column!r}"


def machine_facts(settings: Mapping[str, object]) -> str:
    """Return the number format and the threads of a tuning job."""
    return f"{settings['dtype']}, {settings['threads']} thread{'s' * (settings['threads'] != 1)}"


def curve(task: TuningTask, stream: TextIO | None = None) -> list[str]:
    """Return the loss curve as lines for a stream, standard error if none is given, and what it means."""
    signs = chart.BRAILLE if terminal.can_show("●○⣿┤└─", stream) else chart.ASCII
    lines = chart.draw(task.snapshots, task.epoch_losses, terminal.columns(stream) - 1, signs=signs)
    if task.epoch_losses:
        lines += ["", *epoch_table(task.epoch_losses, task.settings.get("best_epoch"))]
    if task.advice:
        lines += ["", task.advice.text]
    return lines


def epoch_table(losses: Sequence[EpochLoss], served: object) -> list[str]:
    """Return a table of the losses per epoch, a word beside the one that is served; many are thinned."""
    if not losses:
        return []
    every = -(-len(losses) // MAX_EPOCH_LINES)
    last = losses[-1].epoch
    shown = [loss for loss in losses if loss.epoch % every == 0 or loss.epoch in (1, last, served)]
    is_measured = any(loss.held_out_loss is not None for loss in losses)
    header = ("EPOCH", "MEAN LOSS", *(["HELD-OUT LOSS"] if is_measured else []), "")

    def row(loss: EpochLoss) -> tuple[str, ...]:
        held_out = [] if not is_measured else ["" if loss.held_out_loss is None else f"{loss.held_out_loss:.4f}"]
        return (str(loss.epoch), f"{loss.mean_loss:.4f}", *held_out, "served" if loss.epoch == served else "")

    return terminal.table(header, map(row, shown), right=(0, 1, 2) if is_measured else (0, 1))


def say_end(model: TunedModel, data_folder: Path, seconds: float) -> None:
    """Say what was made and where it is."""
    task = model.task
    is_whole = task.completed_steps == task.total_steps
    how = (
        f"{task.completed_steps} steps"
        if is_whole
        else f"cancelled after step {task.completed_steps} of {task.total_steps}"
    )
    artifact = data_folder / model.artifact if model.artifact else None
    for line in terminal.facts(
        (
            ("Tuned", f"{model.id} in {seconds:.0f} s, {how}"),
            ("Adapter", str(artifact or "")),
            ("Curve", str(artifact / "loss.svg") if artifact else ""),
        )
    ):
        terminal.say(line)


def say_next(model: TunedModel, examples: Sequence[TuningExample]) -> None:
    """Say what to type next."""
    if model.state is State.ACTIVE:
        text = terminal.shortened(examples[0].text_input, _EXAMPLE_COLUMNS)
        terminal.say(f"Next: tunery generate {model.id} {shlex.quote(text)}")


def _base_facts(plan: Plan) -> str:
    name = plan.base.alias_of or plan.base.name
    stands_for = f" (for {plan.asked_base})" if plan.base.alias_of else ""
    size = f"{plan.base.parameters / 1e6:,.1f}M parameters" if plan.base.parameters else ""
    licence = f"licence {plan.base.licence}" if plan.base.licence else ""  # of a base on a server it is not known here
    facts = ", ".join(part for part in (size, licence) if part)
    return f"{name}{stands_for}{_source(plan.given, 'base_model')}{f', {facts}' if facts else ''}"


def _setting_facts(values: Hyperparameters, seed: int, given: Mapping[str, object]) -> str:
    """Return the settings in force, those that were given first."""
    multiplier = f" (multiplier {given['learning_rate_multiplier']:g})" if "learning_rate_multiplier" in given else ""
    texts = {
        "epoch_count": f"{values.epoch_count} epoch{'s' * (values.epoch_count != 1)}",
        "batch_size": f"batch size {values.batch_size}",
        "learning_rate": f"learning rate {values.learning_rate:g}{multiplier}",
        "seed": f"seed {seed}",
    }
    is_given = {name: name in given or (name == "learning_rate" and bool(multiplier)) for name in texts}
    chosen = ", ".join(text for name, text in texts.items() if is_given[name])
    default = ", ".join(text for name, text in texts.items() if not is_given[name])
    return "; ".join(part for part in (chosen, f"default: {default}" if default else "") if part)


def _source(given: Mapping[str, object], name: str) -> str:
    return "" if name in given else " (default)"


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"
