"""
The loss curve as an SVG picture: per step thin, per epoch bold, held-out rows dashed, the best epoch marked.

Light and dark, readable without colour, with a sentence for who does not see it. Knows losses; writes no files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tunery.engine.tuning.advice import best_epoch, summary
from tunery.types import EpochLoss, TuningSnapshot

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 16, 44, 44
_TICKS = 5  # at the most, on the axis of the loss
_LABELS = 10  # at the most, on the axis of the epochs

# Plain values, no custom properties: image viewers and converters know no `var()`
_STYLE = """
text{font:12px system-ui,sans-serif}.thin,.bold,.held{fill:none}.thin{stroke-width:1;opacity:.5}
.bold{stroke-width:2.5}.held{stroke-width:2;stroke-dasharray:6 4}.mark{stroke-dasharray:2 3}
text{fill:#1f2328}.tick{fill:#57606a}.mark{stroke:#57606a}.grid{stroke:#d0d7de}
.thin,.bold,.held{stroke:#0b57d0}.dot{fill:#0b57d0}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.tick{fill:#9198a1}.mark{stroke:#9198a1}.grid{stroke:#3d444d}
.thin,.bold,.held{stroke:#8ab4f8}.dot{fill:#8ab4f8}}
"""


@dataclass(frozen=True, slots=True)
class _Plane:
    """From passes and losses to places; `steps` of a pass, `passes` and `highest` loss that are shown."""

    steps: float
    passes: float
    highest: float

    def x(self, epoch: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * epoch / self.passes, 1)

    def y(self, loss: float) -> float:
        return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * loss / self.highest, 1)

    def points(self, curve: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(epoch)},{self.y(loss)}" for epoch, loss in curve)


def svg(snapshots: Sequence[TuningSnapshot], epochs: Sequence[EpochLoss]) -> str:
    """Return the picture of at least one snapshot; without a finished epoch the axis counts steps."""
    plane = _plane(snapshots, epochs)
    means = [(epoch.epoch, epoch.mean_loss) for epoch in epochs]
    held_out = [(epoch.epoch, epoch.held_out_loss) for epoch in epochs if epoch.held_out_loss is not None]
    best = best_epoch(epochs)
    parts = [
        *_loss_axis(plane),
        *_epoch_axis(plane, "epoch" if epochs else "step"),
        *([] if best is None else [_mark(plane, best)]),
        _line("thin", plane.points([(s.step / plane.steps, s.mean_loss) for s in snapshots])),
        _line("bold", plane.points(means)),
        *(f'<circle class="dot" cx="{plane.x(epoch)}" cy="{plane.y(loss)}" r="3.5"/>' for epoch, loss in means),
        *([_line("held", plane.points(held_out))] if held_out else []),
    ]
    return _document(parts, summary(epochs), _legend(bool(held_out)))


def _plane(snapshots: Sequence[TuningSnapshot], epochs: Sequence[EpochLoss]) -> _Plane:
    finished = snapshots[-1].epoch
    steps = next(s.step for s in snapshots if s.epoch == finished) / finished if finished else 1.0
    losses = [s.mean_loss for s in snapshots] + [epoch.held_out_loss or 0.0 for epoch in epochs]
    return _Plane(steps, max(snapshots[-1].step / steps, len(epochs)), max(*losses, 1e-3) * 1.02)


def _loss_axis(plane: _Plane) -> list[str]:
    parts = []
    step = _round_step(plane.highest / _TICKS)
    for index in range(int(plane.highest / step) + 1):
        loss, y = index * step, plane.y(index * step)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>')
        parts.append(_text("tick", _LEFT - 8, y + 4, f"{loss:.6g}", "end"))
    return parts


def _epoch_axis(plane: _Plane, name: str) -> list[str]:
    every = max(1, math.ceil(plane.passes / _LABELS))
    y = _HEIGHT - _BOTTOM + 18
    labels = [_text("tick", plane.x(epoch), y, str(epoch)) for epoch in range(0, int(plane.passes) + 1, every)]
    return [*labels, _text("tick", (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, name)]


def _mark(plane: _Plane, epoch: int) -> str:
    x = plane.x(epoch)
    is_right = epoch > plane.passes / 2
    label = _text("tick", x - 6 if is_right else x + 6, _TOP + 2, "best epoch", "end" if is_right else "start")
    return f'<line class="mark" x1="{x}" y1="{_TOP - 8}" x2="{x}" y2="{_HEIGHT - _BOTTOM}"/>{label}'


def _line(kind: str, points: str) -> str:
    return f'<polyline class="{kind}" points="{points}"/>'


def _text(kind: str, x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, ... (or a tenth, a hundredth of it) that is not below `least`."""
    power: float = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


def _legend(has_held_out: bool) -> str:
    return "Mean loss per token: each step thin, each epoch bold" + (", held-out rows dashed" if has_held_out else "")


def _document(parts: Sequence[str], sentence: str, legend: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{sentence}">\n<title>{sentence}</title>\n<style>{_STYLE}</style>\n'
        + _text("legend", _LEFT, 18, legend, "start")
        + "\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )
