"""The output of commands: plans, curves, problems, evaluations, warnings about inputs, and JSON documents."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from tunery import config
from tunery.cli import terminal
from tunery.errors import DataProblem, Level, told_together
from tunery.progress import LiveLine
from tunery.service.tuning import HOW_TO_RESUME
from tunery.types import (
    CatalogEntry,
    EpochLoss,
    Hyperparameters,
    InputCheck,
    State,
    TunedModel,
    TuningSnapshot,
    TuningTask,
    WeightFormat,
)

if TYPE_CHECKING:
    from tunery.data.dataset import Dataset, Preview
    from tunery.data.outputs import RowsAndLabels
    from tunery.evaluation.report import Calibration, Comparison, Confusion, Evaluation, Figure, ScoredRow
    from tunery.service.creation import MemoryEstimate
    from tunery.service.tuning import TuningRequest

MAX_EPOCH_LINES = 20
_EXAMPLE_COLUMNS = 48


@dataclass(frozen=True, slots=True)
class Plan:
    """What to tune; `given` maps the settings that the user gave to their values."""

    preview: Preview
    base: CatalogEntry
    asked_base: str
    request: TuningRequest
    dataset: Dataset  # including the rows held out
    given: Mapping[str, object]
    facts: RowsAndLabels
    about_settings: str = ""  # what fits the data better than the defaults of the API, and why


def print_plan(plan: Plan) -> None:
    """Print what will be tuned, with which settings, and the problems of the data."""
    request = plan.request
    for line in terminal.facts(
        (
            ("Data", file_facts(plan.preview)),
            ("Columns", column_facts(plan.preview)),
            ("Rows", plan.facts.advice),
            ("Labels", label_facts(plan.facts)),
            ("Check", _check_facts(plan)),
            ("Base", _base_facts(plan)),
            ("Settings", _setting_facts(request.hyperparameters, request.seed, plan.given)),
            ("", plan.about_settings),
            ("Steps", f"{request.total_steps:,} on {_rows(len(request.examples))}"),
        )
    ):
        terminal.say(line)
    for line in problem_lines(plan.preview.problems):
        terminal.say(line)
    if warning := request.hyperparameters.rate_warning():
        terminal.say(f"Warning:  {warning}")


def _check_facts(plan: Plan) -> str:
    """Return how the verdict on tuning will be reached."""
    request, given = plan.request, plan.given.get("hold_out")
    option = f"--hold-out {given}" if given is not None else "default; leave out with --hold-out 0"
    if request.held_out:
        return f"{_rows(len(request.held_out))} held out ({option})"
    if request.fold_count:
        more = f"takes about {request.fold_count - 1} times as long as tuning"
        return f"{request.fold_count} folds after tuning, which {more} ({option})"
    return ""


def file_facts(preview: Preview) -> str:
    """Return name, format and number of rows of a file."""
    encoding = f"{preview.encoding}{' (guessed)' if preview.encoding_is_guessed else ''}" if preview.encoding else ""
    sheet = f"sheet {preview.sheet!r}" if preview.sheet else ""
    delimiter = f"delimiter {preview.delimiter!r}" if preview.delimiter not in (None, ",", "\t") else ""
    parts = (f"{preview.source}: {preview.format.upper()}", encoding, sheet, delimiter, _rows(preview.row_count))
    return ", ".join(part for part in parts if part)


def column_facts(preview: Preview) -> str:
    """Return the columns of the input and the output."""
    if preview.output_column is None:
        return ""
    inputs = " and ".join(repr(column) for column in preview.input_columns)
    return f"input {inputs}, output {preview.output_column!r}"


_SHOWN_LABELS = 12


def label_facts(facts: RowsAndLabels) -> str:
    """Return the labels with their rows; empty if the outputs are not labels."""
    shown = facts.labels[:_SHOWN_LABELS]
    listed = ", ".join(f"{terminal.shortened(label, _EXAMPLE_COLUMNS)} {rows:,}" for label, rows in shown)
    return listed + (f" and {len(facts.labels) - len(shown)} more" if len(facts.labels) > len(shown) else "")


def machine_facts(settings: Mapping[str, object]) -> str:
    """Return the number format and the threads of a tuning job, and the date that its prompts tell if they do."""
    facts = f"{settings['dtype']}, {settings['threads']} thread{'s' * (settings['threads'] != 1)}"
    return f"{facts}, prompts dated {settings['template_date']}" if "template_date" in settings else facts


def print_curve(model: TunedModel, stream: TextIO) -> None:
    """Print the loss curve, the losses of each epoch, and an explanation of the curve."""
    task = model.task
    signs = BRAILLE if terminal.can_show("●○⣿┤└─", stream) else ASCII
    for line in draw_chart(task.snapshots, task.epoch_losses, terminal.columns(stream) - 1, signs=signs):
        typer.echo(line, file=stream)
    if task.epoch_losses:
        typer.echo(file=stream)
        print_epochs(task.epoch_losses, model.served_epoch, stream)
    if task.advice:
        typer.echo(f"\n{task.advice.text}", file=stream)


def print_epochs(losses: Sequence[EpochLoss], served: object, stream: TextIO) -> None:
    """Print a table with the losses of each epoch, thinned out if there are many, with the epoch in use marked."""
    every = -(-len(losses) // MAX_EPOCH_LINES)
    shown = [loss for loss in losses if loss.epoch % every == 0 or loss.epoch in (1, losses[-1].epoch, served)]
    is_measured = any(loss.held_out_loss is not None for loss in losses)
    header = ("EPOCH", "MEAN LOSS", *(["HELD-OUT LOSS"] if is_measured else []), "")

    def row(loss: EpochLoss) -> tuple[str, ...]:
        held_out = [] if not is_measured else ["" if loss.held_out_loss is None else f"{loss.held_out_loss:.4f}"]
        return (str(loss.epoch), f"{loss.mean_loss:.4f}", *held_out, "served" if loss.epoch == served else "")

    terminal.table(header, map(row, shown), right=(0, 1, 2) if is_measured else (0, 1), stream=stream)


def print_end(model: TunedModel, seconds: float) -> None:
    """Print the curve, and what was created and where."""
    task = model.task
    is_whole = task.completed_steps == task.total_steps
    how = f"{task.completed_steps} steps" if is_whole else f"cancelled after {steps_done(task)}"
    artifact = artifact_folder(model)
    terminal.say()
    print_curve(model, sys.stderr)
    terminal.say()
    for line in terminal.facts(
        (
            ("Tuned", f"{model.id} in {seconds:.0f} s, {how}"),
            ("Warning", why_not_whole(model)),
            ("Adapter", str(artifact or "")),
            ("Curve", str(artifact / "loss.svg") if artifact else ""),
        )
    ):
        terminal.say(line)


def steps_done(task: TuningTask) -> str:
    """Return how far a task has come, as "9 of 75 steps"."""
    return f"{task.completed_steps} of {task.total_steps} steps"


def why_not_whole(model: TunedModel) -> str:
    """Return why a model is not, or not yet, what its user wanted, and how to get that; empty for others."""
    if model.is_interrupted:
        drop = f"`tunery models delete {model.id}` drops it."
        return f"The process that tuned it is gone. {HOW_TO_RESUME} {drop}"
    if (answering := model.cancellation()) is None:
        return ""
    return (
        f"Tuning was {answering}, perhaps worse than the whole job would. A cancelled job does not resume. To tune all"
        f" {model.task.total_steps} steps, run the same command with another --id, or first"
        f" `tunery models delete {model.id}`."
    )


def how_to_evaluate(model: TunedModel) -> str:
    """Return the command that evaluates a tuned model."""
    from tunery.card import how_to_evaluate as command

    return command(model.id, model.task.data.rows, model.task.held_out_rows)


def taken(model: TunedModel) -> str:
    """Return that the id of a finished model is taken, what became of its tuning job, and how to go on."""
    what = f"There is already a tuned model {model.id!r}"
    if model.state is State.FAILED:
        what += f", which failed: {model.task.error_message}"
    elif model.cancellation() is not None:
        what += f", cancelled after {steps_done(model.task)}; a cancelled job does not resume"
    return (
        f"{what.removesuffix('.')}. To start again under this id, delete it first: `tunery models delete {model.id}`."
        " Or choose another --id."
    )


def artifact_folder(model: TunedModel) -> Path | None:
    """Return the folder of the adapter; None if there is none, or if only a server knows it."""
    return config.data_folder() / model.artifact if model.artifact else None


def print_next(model: TunedModel, plan: Plan, file: Path) -> None:
    """Print the next commands to type."""
    if model.state is not State.ACTIVE:
        return
    held_out = plan.request.held_out
    text = terminal.shortened((held_out or plan.request.examples)[0].text_input, _EXAMPLE_COLUMNS)
    terminal.say(f"Next: tunery generate {model.id} {shlex.quote(text)}")
    if held_out:
        rows = _rows(len(held_out) + len(plan.request.examples))
        terminal.say(f"To tune on all {rows}: tunery tune {shlex.quote(str(file))} --hold-out 0")


def example_answers(found: Evaluation) -> Iterator[tuple[str, str]]:
    """Return the answer where tuning helped most and the one that is most wrong, as facts to print."""
    for title, rows in (("Example", found.best_rows), ("Wrong", found.worst_rows)):
        for row in rows[:1]:
            shown = [terminal.shortened(text, _EXAMPLE_COLUMNS) for text in (row.text_input, row.answers["tuned"])]
            expected = terminal.shortened(row.expected, _EXAMPLE_COLUMNS)
            yield title, f"{shown[0]!r} → {shown[1]!r}" + f", expected {expected!r}" * (shown[1] != expected)


def _base_facts(plan: Plan) -> str:
    name = plan.base.alias_of or plan.base.name
    stands_for = f" (for {plan.asked_base})" if plan.base.alias_of else ""
    size = f"{plan.base.parameters / 1e6:,.1f}M parameters" if plan.base.parameters else ""
    licence = f"licence {plan.base.licence}" if plan.base.licence else ""  # unknown for a base on a server
    facts = ", ".join(part for part in (size, licence) if part)
    return f"{name}{stands_for}{_source(plan.given, 'base_model')}{f', {facts}' if facts else ''}"


def _setting_facts(values: Hyperparameters, seed: int, given: Mapping[str, object]) -> str:
    """Return the settings, those given by the user first."""
    multiplier = f" (multiplier {given['learning_rate_multiplier']:g})" if "learning_rate_multiplier" in given else ""
    texts = {
        "epoch_count": f"{values.epoch_count} epoch{'s' * (values.epoch_count != 1)}",
        "batch_size": f"batch size {values.batch_size}",
        "learning_rate": f"learning rate {values.learning_rate:g}{multiplier}",
        "seed": f"seed {seed}",
    }
    if values.label_share:
        texts["label_share"] = f"loss of labels {values.label_share:g}"
    if values.weights != WeightFormat.AUTO:
        texts["weights"] = f"weights {values.weights}"
    is_given = {name: name in given or (name == "learning_rate" and bool(multiplier)) for name in texts}
    chosen = ", ".join(text for name, text in texts.items() if is_given[name])
    default = ", ".join(text for name, text in texts.items() if not is_given[name])
    return "; ".join(part for part in (chosen, f"default: {default}" if default else "") if part)


def _source(given: Mapping[str, object], name: str) -> str:
    return "" if name in given else " (default)"


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


CHART_HEIGHT = 12
_LABELS = 7  # columns left of the axis: "12.34 "
_BRAILLE = 0x2800
# the bit of the dot in row 0-3 and column 0-1 (Unicode 15, section 21.1)
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True, slots=True)
class Signs:
    """The characters of a chart; one character stands for `dots` rows and columns of points."""

    axis: str
    tick: str
    corner: str
    floor: str
    epoch: str
    held_out: str
    step: str
    dots: tuple[int, int]


BRAILLE = Signs("│", "┤", "└", "─", "●", "○", "⣀", (4, 2))
ASCII = Signs("|", "+", "+", "-", "o", "x", ".", (1, 1))


def draw_chart(
    snapshots: Sequence[TuningSnapshot], epochs: Sequence[EpochLoss], columns: int, *, signs: Signs = BRAILLE
) -> list[str]:
    """Return the lines of a chart of at most `columns` columns; empty for an empty curve."""
    if not snapshots:
        return []
    held_out = [epoch.held_out_loss for epoch in epochs if epoch.held_out_loss is not None]
    highest = max([*(s.mean_loss for s in snapshots), *held_out]) or 1.0
    canvas = _Canvas(columns - _LABELS - 1, CHART_HEIGHT, signs)
    last = snapshots[-1].step
    canvas.line([((s.step - 1) / max(last - 1, 1), s.mean_loss / highest) for s in snapshots])
    marks = _epoch_ends(snapshots, epochs)
    for place, epoch in zip(marks, epochs, strict=True):
        canvas.mark(place, epoch.mean_loss / highest, signs.epoch)
        if epoch.held_out_loss is not None:
            canvas.mark(place, epoch.held_out_loss / highest, signs.held_out)
    ticks = [(place, str(epoch.epoch)) for place, epoch in zip(marks, epochs, strict=True)]
    floor = _floor(canvas.width, ticks or [(1, str(last))], "epoch" if ticks else "step", signs)
    return [*_with_losses(canvas.rows(), highest, signs), *floor, *_legend(epochs, columns, signs)]


class _Canvas:
    """Points in a rectangle; (0, 0) is at the bottom left, (1, 1) at the top right."""

    def __init__(self, width: int, height: int, signs: Signs) -> None:
        self.width, self.height, self.signs = width, height, signs
        self._points: set[tuple[int, int]] = set()
        self._marks: dict[tuple[int, int], str] = {}

    def line(self, points: Sequence[tuple[float, float]]) -> None:
        down, across = self.signs.dots
        places = [(x * (self.width * across - 1), (1 - y) * (self.height * down - 1)) for x, y in points]
        self._points.update((round(x), round(y)) for x, y in places)
        for (x, y), (next_x, next_y) in pairwise(places):
            steps = int(max(abs(next_x - x), abs(next_y - y)))
            for step in range(1, steps):
                share = step / steps
                self._points.add((round(x + (next_x - x) * share), round(y + (next_y - y) * share)))

    def mark(self, x: float, y: float, sign: str) -> None:
        self._marks[round(x * (self.width - 1)), round((1 - y) * (self.height - 1))] = sign

    def rows(self) -> Iterator[str]:
        for row in range(self.height):
            yield "".join(self._character(column, row) for column in range(self.width)).rstrip()

    def _character(self, column: int, row: int) -> str:
        if (column, row) in self._marks:
            return self._marks[column, row]
        down, across = self.signs.dots
        points = [
            _DOTS[y][x]
            for y in range(down)
            for x in range(across)
            if (column * across + x, row * down + y) in self._points
        ]
        if not points:
            return " "
        return self.signs.step if (down, across) == (1, 1) else chr(_BRAILLE + sum(points))


def _epoch_ends(snapshots: Sequence[TuningSnapshot], epochs: Sequence[EpochLoss]) -> list[float]:
    """Return the position on the axis, 0 to 1, at which each epoch finished."""
    first, last = snapshots[0].step, snapshots[-1].step
    ends = [next((s.step for s in snapshots if s.epoch >= epoch.epoch), last) for epoch in epochs]
    return [(step - first) / max(last - first, 1) for step in ends]


def _with_losses(rows: Iterator[str], highest: float, signs: Signs) -> Iterator[str]:
    for index, row in enumerate(rows):
        loss = highest * (1 - index / (CHART_HEIGHT - 1))
        has_label = index in (0, CHART_HEIGHT // 2, CHART_HEIGHT - 1)
        label = f"{loss:.2f}" if has_label else ""
        yield f"{label:>{_LABELS - 1}} {signs.tick if has_label else signs.axis}{row}"


def _floor(width: int, ticks: Sequence[tuple[float, str]], name: str, signs: Signs) -> Iterator[str]:
    """Return the horizontal axis: a line, and below it its name and the numbers that fit."""
    yield " " * _LABELS + signs.corner + signs.floor * width
    line = f"{name:>{_LABELS - 1}} "
    for place, text in ticks:
        start = _LABELS + 1 + min(round(place * (width - 1)), width - len(text))
        if start > len(line):
            line = line.ljust(start) + text
    yield line


def _legend(epochs: Sequence[EpochLoss], columns: int, signs: Signs) -> list[str]:
    parts = [f"{signs.step} loss per step"]
    if epochs:
        parts.append(f"{signs.epoch} epoch mean")
    if any(epoch.held_out_loss is not None for epoch in epochs):
        parts.append(f"{signs.held_out} held-out rows")
    margin = " " * (_LABELS + 1)
    line = margin + "   ".join(parts)
    return [line] if len(line) <= columns else [margin + part for part in parts]


def dumped(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def model_document(model: TunedModel, *, has_curve: bool = True) -> dict[str, object]:
    """Return a tuned model with its task, and its snapshots if `has_curve`."""
    return {
        "name": model.name,
        "display_name": model.display_name,
        "description": model.description,
        "base_model": model.base_model,
        "base_digest": model.base_digest,
        "source_tuned_model": model.source_tuned_model,
        "tuned_again_from": model.tuned_again_from,
        "settings_reason": model.settings_reason,
        "state": model.state.value,
        "create_time": _time(model.create_time),
        "update_time": _time(model.update_time),
        "adapter_folder": str(artifact_folder(model)) if model.artifact else None,
        "served_epoch": model.served_epoch,
        "score": asdict(model.score) if model.score else None,
        "tuning_task": _task_document(model.task, has_curve) | {"is_interrupted": model.is_interrupted},
    }


def base_document(entry: CatalogEntry) -> dict[str, object]:
    return asdict(entry)


def _task_document(task: TuningTask, has_curve: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "phase": task.phase.value,
        "start_time": _time(task.start_time),
        "complete_time": _time(task.complete_time),
        "hyperparameters": {
            "epoch_count": task.hyperparameters.epoch_count,
            "batch_size": task.hyperparameters.batch_size,
            "learning_rate": task.hyperparameters.learning_rate,
            **{
                name: value
                for name, value in task.hyperparameters.facts().items()
                if name in ("label_share", "weights")
            },
        },
        "seed": task.seed,
        "data": asdict(task.data),
        "held_out_rows": task.held_out_rows,
        "completed_steps": task.completed_steps,
        "total_steps": task.total_steps,
        "epoch_losses": [asdict(loss) for loss in task.epoch_losses],
        "advice": asdict(task.advice) if task.advice else None,
        "error": None if task.error_code is None else {"code": task.error_code, "message": task.error_message},
        "settings": task.settings,
        "versions": task.versions,
    }
    if has_curve:
        document["snapshots"] = [{**asdict(s), "compute_time": _time(s.compute_time)} for s in task.snapshots]
    return document


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def input_check_document(check: InputCheck) -> dict[str, Any]:
    """Return how an input differs from the examples; empty if it does not."""
    if not check.differences:
        return {}
    found: dict[str, Any] = {"prompt_differences": [asdict(difference) for difference in check.differences]}
    return found | ({"was_wrapped": True} if check.was_wrapped else {})


def warn_of_input(check: InputCheck, name: str) -> None:
    """Warn if an input differs from the examples."""
    if not check.differences:
        return
    what = "; ".join(difference.text for difference in check.differences)
    if check.was_wrapped:
        terminal.say(f"The input was rewritten to match the training examples: {what}.")
    else:
        terminal.say(f"Warning: the input is unlike the training examples: {what}. The answer may be worse.")
        terminal.say(f"`tunery models show {name}` describes the inputs of the examples.")


def warn_of_inputs(checks: Sequence[InputCheck]) -> None:
    """Warn if some inputs differ from the examples, with the most frequent difference."""
    differing = [check for check in checks if check.differences]
    if not differing:
        return
    counts = Counter(difference.text for check in differing for difference in check.differences)
    ((most, rows),) = counts.most_common(1)
    wrapped = all(check.was_wrapped for check in differing)
    end = "They were rewritten to match." if wrapped else "Their answers may be worse."
    terminal.say(
        f"Warning: {len(differing)} of {len(checks)} inputs are unlike the training examples, most often: "
        f"{most} ({rows}). {end} See prompt_differences in each answer."
    )


def print_estimate(needed: MemoryEstimate | None) -> None:
    """Print how much memory is needed and free, and what to do if it is not enough."""
    if needed is None or needed.memory_bytes is None:
        return
    free = "" if needed.free_bytes is None else f"; {_gigabytes(needed.free_bytes)} free"
    how = [f"weights in {needed.weights.removesuffix('bit')} bits"] if needed.weights != WeightFormat.FULL else []
    how += ["layers computed again, which takes longer"] if needed.recomputes else []
    said = f" ({', '.join(how)})" if how else ""
    terminal.say(f"Memory    needs about {_gigabytes(needed.memory_bytes)}{said}{free}")
    if needed.fits is False:
        less = "shorter rows or a smaller base"
        less = f"--weights 4bit, {less}" if needed.weights != WeightFormat.FOUR_BIT else less
        terminal.say(f"Warning: this may not fit. Use smaller batches (--batch-size), {less}.")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


SENTENCES_PER_KIND = 5


def say_how_read(problems: Sequence[DataProblem]) -> None:
    """Print doubts about how a file was read, and misspelled labels, but not every bad row."""
    told = [problem for problem in problems if not problem.is_skippable or problem.kind == "label-variant"]
    for line in problem_lines([problem for problem in told if problem.kind != "few-examples"]):
        terminal.say(line)


def problem_lines(problems: Sequence[DataProblem]) -> Iterator[str]:
    """Return a line for each cause, errors first; for frequent kinds, a few lines and the number of the others."""
    for level in (Level.ERROR, Level.WARNING):
        groups: dict[tuple[str, str | None], list[DataProblem]] = {}
        for problem in problems:
            if problem.level is level:
                groups.setdefault((problem.kind, problem.column), []).append(problem)
        for group in groups.values():
            yield from _group(level, group)


def problem_counts(problems: Sequence[DataProblem]) -> str:
    """Return the number of problems, as "2 errors, 1 warning" or "no problems"."""
    numbers = {level: sum(problem.level is level for problem in problems) for level in Level}
    parts = [f"{count} {level}{'s' if count > 1 else ''}" for level, count in numbers.items() if count]
    return ", ".join(parts) or "no problems"


def problem_document(problems: Sequence[DataProblem]) -> list[dict[str, object]]:
    return [asdict(problem) for problem in problems]


def _group(level: Level, group: Sequence[DataProblem]) -> Iterator[str]:
    option = _both_columns if group[0].kind == "guessed-columns" else _option
    label, causes = f"{level.capitalize()}:", told_together(group, option)
    for sentence, _ in causes[:SENTENCES_PER_KIND]:
        yield f"{label:<8}  {sentence}"
    others = [problem for _, problems in causes[SENTENCES_PER_KIND:] for problem in problems]
    if others:
        rows = [str(problem.row) for problem in others[:SENTENCES_PER_KIND]]
        dots = ", ..." if len(others) > SENTENCES_PER_KIND else ""
        yield f"{'':<8}  {len(others):,} more like this, in rows {', '.join(rows)}{dots}"


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _both_columns(_name: str) -> str:
    return "--input-column, --output-column"


_SHOWN_ROWS = 3
_SHOWN_CONFUSIONS = 5
_TEXT_COLUMNS = 60
_SHAPES = {
    "LABELS": "labels",
    "SHORT_TEXT": "short texts, correct if equal",
    "JSON": "JSON, scored field by field",
    "LONG_TEXT": "long texts, scored by similarity",
}


def print_evaluation(found: Evaluation) -> None:
    """Print an evaluation: the candidates, the most frequent confusions, the worst rows, and the verdict."""
    for line in terminal.facts((("Rows", _verdict_rows(found)), ("Outputs", _SHAPES[found.shape]))):
        terminal.result(line)
    terminal.result("")
    _print_candidates(found)
    for line in (*_confusions(found.confusion), *_worst(found.worst_rows)):
        terminal.result(line)
    if found.calibration is not None:
        print_calibration(found.calibration)
    if found.verdict is not None:
        terminal.result(f"\n{found.verdict.text}")


def print_calibration(found: Calibration) -> None:
    """Print how far the probabilities of labels can be trusted."""
    from tunery.evaluation.calibration import HEADER, cells, sentence

    terminal.result(f"\n{sentence(found)}\n")
    terminal.table(HEADER, cells(found))


def evaluation_progress(live: LiveLine) -> Callable[[int, int], None]:
    """Return a function that shows how many prompts were answered."""

    def show(done: int, total: int) -> None:
        live.draw(f"Answered {done} of {total} prompts ...", since=terminal.BEGUN, is_last=done == total)

    return show


def tuning_progress(live: LiveLine, tunings: int) -> Callable[[int, TuningSnapshot], None]:
    """Return a function that shows the steps of several tuning runs."""
    begun: set[int] = set()

    def show(number: int, snapshot: TuningSnapshot) -> None:
        if number not in begun:
            begun.add(number)
            terminal.say(f"Tuning {number} of {tunings} ...")
        live.draw(
            f"Tuning {number} of {tunings}: step {snapshot.step}, loss {snapshot.mean_loss:.4f}", since=terminal.BEGUN
        )

    return show


def percent(value: float) -> str:
    """Return a score from 0 to 1 as a percentage."""
    return f"{100 * value:.0f} %"


def _verdict_rows(found: Evaluation) -> str:
    facts = [f"{found.rows:,}"]
    if found.rows_available > found.rows + found.rows_left_out:
        facts[0] += f" sampled from {found.rows_available:,}"
    facts[0] += f" ({found.source})" if found.source else ""
    if found.rows_known:
        facts.append(f"{found.rows_known:,} left out because they were tuned on")
    if found.rows_left_out:
        facts.append(f"{found.rows_left_out:,} left out because they are too long for the base")
    return ", ".join(facts)


def _print_candidates(found: Evaluation) -> None:
    from tunery.evaluation.scores import TITLES

    metrics = [figure.metric for figure in found.contenders[0].figures]
    against = {comparison.against: comparison for comparison in found.comparisons}
    header = ["", *(TITLES[metric].upper() for metric in metrics), *(["TUNED MODEL AHEAD BY"] if against else [])]
    rows = []
    for candidate in found.contenders:
        cells = [candidate.title, *map(_figure, candidate.figures)]
        rows.append([*cells, *([_lead(against.get(candidate.name))] if against else [])])
    terminal.table(header, rows)


def _figure(figure: Figure) -> str:
    return f"{100 * figure.value:3.0f} % ({100 * figure.interval.low:.0f}-{100 * figure.interval.high:.0f})"


def _lead(comparison: Comparison | None) -> str:
    from tunery.evaluation.verdict import points

    if comparison is None:
        return ""
    low, high = points(comparison.interval.low), points(comparison.interval.high)
    return f"{points(comparison.difference)} points ({low} to {high})"


def _confusions(table: Confusion | None) -> Iterator[str]:
    if table is None:
        return
    names = (*table.labels, "something else")
    pairs = [
        (count, names[line], names[column])
        for line, counts in enumerate(table.counts)
        for column, count in enumerate(counts)
        if count and line != column
    ]
    for number, (count, expected, answered) in enumerate(sorted(pairs, key=lambda pair: -pair[0])[:_SHOWN_CONFUSIONS]):
        yield from ["", "Most frequent confusions:"] if number == 0 else []
        yield f"  {count:>3} x  {expected} answered as {answered}"


def _worst(rows: tuple[ScoredRow, ...]) -> Iterator[str]:
    for number, row in enumerate(rows[:_SHOWN_ROWS]):
        yield from ["", "Worst rows:"] if number == 0 else []
        expected, answered = (terminal.shortened(text, _TEXT_COLUMNS) for text in (row.expected, row.answers["tuned"]))
        yield f"  row {row.row}: {_end(row.text_input)}"
        yield f"    expected {expected!r}, answered {answered!r}"


def _end(text: str) -> str:
    """Return the end of a text, since rows with shared instructions differ at the end."""
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_COLUMNS else "..." + line[-_TEXT_COLUMNS:]
