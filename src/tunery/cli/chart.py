"""
The loss curve drawn with characters: braille where they can be shown, plain ASCII elsewhere.

Per step a thin line, per epoch and for held-out rows marks. Knows snapshots and losses; nothing of terminals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tunery.types import EpochLoss, TuningSnapshot

HEIGHT = 12
_LABELS = 7  # columns left of the axis: "12.34 "
_BRAILLE = 0x2800
# bit of the dot in row 0-3 of column 0-1 (Unicode 15, section 21.1)
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True, slots=True)
class Signs:
    """The characters of a drawing; `dots` are the rows and columns of points that one character can show."""

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


def draw(
    snapshots: Sequence[TuningSnapshot], epochs: Sequence[EpochLoss], columns: int, *, signs: Signs = BRAILLE
) -> list[str]:
    """Return the lines of a chart of at most `columns` columns; empty for an empty curve."""
    if not snapshots:
        return []
    held_out = [epoch.held_out_loss for epoch in epochs if epoch.held_out_loss is not None]
    highest = max([*(s.mean_loss for s in snapshots), *held_out]) or 1.0
    canvas = _Canvas(columns - _LABELS - 1, HEIGHT, signs)
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
    """Return where on the axis, 0 to 1, each epoch was finished."""
    first, last = snapshots[0].step, snapshots[-1].step
    ends = [next((s.step for s in snapshots if s.epoch >= epoch.epoch), last) for epoch in epochs]
    return [(step - first) / max(last - first, 1) for step in ends]


def _with_losses(rows: Iterator[str], highest: float, signs: Signs) -> Iterator[str]:
    for index, row in enumerate(rows):
        loss = highest * (1 - index / (HEIGHT - 1))
        has_label = index in (0, HEIGHT // 2, HEIGHT - 1)
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
        parts.append(f"{signs.epoch} mean of an epoch")
    if any(epoch.held_out_loss is not None for epoch in epochs):
        parts.append(f"{signs.held_out} held-out rows")
    margin = " " * (_LABELS + 1)
    line = margin + "   ".join(parts)
    return [line] if len(line) <= columns else [margin + part for part in parts]
