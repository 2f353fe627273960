"""
The results file of the quality benchmark and the table made from it.

One JSON line per cell, appended as soon as the cell is finished; holds scores and settings, no rows and no answers.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, pstdev


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement to make."""

    task: str
    method: str
    examples: int  # training rows the method uses
    seed: int
    options: dict[str, object] = field(default_factory=dict)  # what differs from the defaults
    is_stratified: bool = False  # whether each label is drawn in its share

    @property
    def key(self) -> str:
        """Equal for equal cells, whatever the order of their options."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement made."""

    cell: Cell
    metric: str
    score: float  # answers as they are, 0..1
    lenient_score: float  # answers as a patient reader would take them, 0..1
    off_label: int  # answers that name no label; for free text 0
    test_rows: int
    seconds: float  # tuning and answering together
    further: dict[str, float] = field(default_factory=dict)  # other scores of the same answers, 0..1


def read(path: Path) -> list[Result]:
    """Return the finished cells; a last line that was cut off counts as not finished."""
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
    return [_from_line(line) for line in lines if line.endswith("\n") and line.strip()]


def append(path: Path, result: Result) -> None:
    """Write one line behind the finished ones; takes away what an interruption has left of a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(asdict(result), ensure_ascii=False).encode() + b"\n")


def _from_line(line: str) -> Result:
    values = json.loads(line)
    return Result(**{**values, "cell": Cell(**values["cell"])})


def table(results: Sequence[Result], *, is_lenient: bool = False) -> str:
    """Return Markdown with a block per task: a row per method and options, a column per number of rows."""
    tasks = dict.fromkeys(result.cell.task for result in results)
    return "\n\n".join(_block([result for result in results if result.cell.task == task], is_lenient) for task in tasks)


def _block(results: Sequence[Result], is_lenient: bool) -> str:
    scores: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        row, score = scores[_row_name(result.cell)], result.lenient_score if is_lenient else result.score
        row[result.cell.examples].append(score)
        for name, value in result.further.items():
            scores[f"{_row_name(result.cell)}: {name}"][result.cell.examples].append(value)
    columns = sorted({result.cell.examples for result in results})
    head = f"{results[0].cell.task}: {results[0].metric}, {results[0].test_rows} test rows"
    lines = [f"| {head} | " + " | ".join(f"{count} rows" for count in columns) + " |", "|---|" + "---|" * len(columns)]
    for name, row in scores.items():
        lines.append(f"| {name} | " + " | ".join(_mean_and_deviation(row.get(count, [])) for count in columns) + " |")
    return "\n".join(lines)


def _row_name(cell: Cell) -> str:
    how = ["stratified"] if cell.is_stratified else []
    return ", ".join([cell.method, *how, *(f"{name} {value}" for name, value in sorted(cell.options.items()))])


def _mean_and_deviation(scores: Sequence[float]) -> str:
    """Return the mean and the standard deviation over the draws, and of how many."""
    if not scores:
        return ""
    if len(scores) == 1:
        return f"{scores[0]:.3f}"
    return f"{mean(scores):.3f} ± {pstdev(scores):.3f} ({len(scores)})"
