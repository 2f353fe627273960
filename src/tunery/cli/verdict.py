"""
An evaluation as lines for people, and its progress while it is made.

Knows evaluations and the terminal; finds nothing out itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tunery.cli import terminal
from tunery.cli.progress import LiveLine
from tunery.types import TuningSnapshot

if TYPE_CHECKING:
    from tunery.evaluation.report import Comparison, Confusion, Evaluation, Figure, ScoredRow

_SHOWN_ROWS = 3
_SHOWN_CONFUSIONS = 5
_TEXT_COLUMNS = 60
_SHAPES = {
    "LABELS": "labels",
    "SHORT_TEXT": "short texts, right if equal",
    "JSON": "JSON, right field by field",
    "LONG_TEXT": "long texts, near or far",
}


def lines(found: Evaluation) -> Iterator[str]:
    """Return what an evaluation found: contenders, what is taken for what, the worst rows, and the sentence."""
    yield from terminal.facts((("Rows", _rows(found)), ("Outputs", _SHAPES[found.shape])))
    yield ""
    yield from _contenders(found)
    if found.confusion is not None:
        yield from _confusions(found.confusion)
    yield from _worst(found.worst_rows)
    if found.verdict is not None:
        yield ""
        yield found.verdict.text


def progress(live: LiveLine) -> Callable[[int, int], None]:
    """Return a function that shows how many answers are there."""

    def show(done: int, total: int) -> None:
        live.draw(f"Answered {done} of {total} prompts ...", is_last=done == total)

    return show


def tuning_progress(live: LiveLine, tunings: int) -> Callable[[int, TuningSnapshot], None]:
    """Return a function that shows the steps of several tunings."""
    told: set[int] = set()

    def show(number: int, snapshot: TuningSnapshot) -> None:
        if number not in told:
            told.add(number)
            live.say(f"Tuning {number} of {tunings} ...")
        live.draw(f"Tuning {number} of {tunings}: step {snapshot.step}, loss {snapshot.mean_loss:.4f}")

    return show


def share(value: float) -> str:
    """Return a score from 0 to 1 as a percentage."""
    return f"{100 * value:.0f} %"


def _rows(found: Evaluation) -> str:
    facts = [f"{found.rows:,}"]
    if found.rows_available > found.rows + found.rows_left_out:
        facts[0] += f" drawn from {found.rows_available:,}"
    facts[0] += f" ({found.source})" if found.source else ""
    if found.rows_known:
        facts.append(f"{found.rows_known:,} left out that were tuned on")
    if found.rows_left_out:
        facts.append(f"{found.rows_left_out:,} left out that are too long for the base")
    return ", ".join(facts)


def _contenders(found: Evaluation) -> list[str]:
    from tunery.evaluation.scores import TITLES

    metrics = [figure.metric for figure in found.contenders[0].figures]
    against = {comparison.against: comparison for comparison in found.comparisons}
    header = ["", *(TITLES[metric].upper() for metric in metrics), *(["TUNED MODEL AHEAD BY"] if against else [])]
    rows = []
    for contender in found.contenders:
        cells = [contender.title, *map(_figure, contender.figures)]
        rows.append([*cells, *([_lead(against.get(contender.name))] if against else [])])
    return terminal.table(header, rows)


def _figure(figure: Figure) -> str:
    return f"{100 * figure.value:3.0f} % ({100 * figure.interval.low:.0f}-{100 * figure.interval.high:.0f})"


def _lead(comparison: Comparison | None) -> str:
    from tunery.evaluation.verdict import points

    if comparison is None:
        return ""
    low, high = points(comparison.interval.low), points(comparison.interval.high)
    return f"{points(comparison.difference)} points ({low} to {high})"


def _confusions(table: Confusion) -> Iterator[str]:
    names = (*table.labels, "something else")
    pairs = [
        (count, names[line], names[column])
        for line, counts in enumerate(table.counts)
        for column, count in enumerate(counts)
        if count and line != column
    ]
    for number, (count, expected, answered) in enumerate(sorted(pairs, key=lambda pair: -pair[0])[:_SHOWN_CONFUSIONS]):
        yield from ["", "Taken for another:"] if number == 0 else []
        yield f"  {count:>3} x  {expected} answered as {answered}"


def _worst(rows: tuple[ScoredRow, ...]) -> Iterator[str]:
    for number, row in enumerate(rows[:_SHOWN_ROWS]):
        yield from ["", "Rows that it has most wrong:"] if number == 0 else []
        expected, answered = (terminal.shortened(text, _TEXT_COLUMNS) for text in (row.expected, row.answers["tuned"]))
        yield f"  row {row.row}: {_end(row.text_input)}"
        yield f"    expected {expected!r}, answered {answered!r}"


def _end(text: str) -> str:
    """Return the end of a text, where rows with the same instructions differ."""
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_COLUMNS else "..." + line[-_TEXT_COLUMNS:]
