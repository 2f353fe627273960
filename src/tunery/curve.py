"""
The loss curve: advice on it, and its files `tuning.json` and `loss.svg` next to an adapter.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from tunery.files import write_whole
from tunery.types import Advice, EpochLoss, TuningSnapshot, TuningTask

JSON_FILE, SVG_FILE = "tuning.json", "loss.svg"
FLAT_SHARE = 0.05  # share of the whole drop; if less than this is left, the curve counts as flat
ROSE_SHARE = 0.10  # share of the whole drop; if the end is this far above the minimum, the loss has risen
SMALL_DROP = 0.03  # share of the first loss; if the drop is smaller, nothing was learned
KNEE_EPOCHS = 3
_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 16, 44, 44
_TICKS = 5  # at most, on the loss axis
_LABELS = 10  # at most, on the epoch axis

# No custom properties: image viewers and converters do not support `var()`
_STYLE = """
text{font:12px system-ui,sans-serif}.thin,.bold,.held{fill:none}.thin{stroke-width:1;opacity:.5}
.bold{stroke-width:2.5}.held{stroke-width:2;stroke-dasharray:6 4}.mark{stroke-dasharray:2 3}
text{fill:#1f2328}.tick{fill:#57606a}.mark{stroke:#57606a}.grid{stroke:#d0d7de}
.thin,.bold,.held{stroke:#0b57d0}.dot{fill:#0b57d0}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.tick{fill:#9198a1}.mark{stroke:#9198a1}.grid{stroke:#3d444d}
.thin,.bold,.held{stroke:#8ab4f8}.dot{fill:#8ab4f8}}
"""


def write_curve(folder: Path, snapshots: Sequence[TuningSnapshot], epochs: Sequence[EpochLoss]) -> None:
    """Write both files; an empty curve writes none."""
    if not snapshots:
        return
    data = {
        "snapshots": [
            {"step": s.step, "epoch": s.epoch, "mean_loss": s.mean_loss, "compute_time": s.compute_time.isoformat()}
            for s in snapshots
        ],
        "epochs": [asdict(epoch) for epoch in epochs],
    }
    write_whole(folder / JSON_FILE, (json.dumps(data, indent=1) + "\n").encode())
    write_whole(folder / SVG_FILE, svg(snapshots, epochs).encode())


def read_curve(folder: Path) -> tuple[tuple[TuningSnapshot, ...], tuple[EpochLoss, ...]]:
    """Return the curve that `write_curve` wrote; empty if there is none, for example for an adapter made elsewhere."""
    path = folder / JSON_FILE
    if not path.exists():
        return (), ()
    data = json.loads(path.read_text("utf-8"))
    snapshots = tuple(
        TuningSnapshot(s["step"], s["epoch"], s["mean_loss"], datetime.fromisoformat(s["compute_time"]))
        for s in data["snapshots"]
    )
    return snapshots, tuple(EpochLoss(**epoch) for epoch in data["epochs"])


def knee(losses: Sequence[float]) -> int | None:
    """Return the epoch, from 1, after which the curve is flat; None below KNEE_EPOCHS epochs or without a drop."""
    if len(losses) < KNEE_EPOCHS:
        return None
    lowest = min(losses)
    drop = losses[0] - lowest
    if drop <= 0:
        return None
    return next(index for index, loss in enumerate(losses, 1) if loss <= lowest + FLAT_SHARE * drop)


def advise(
    epochs: Sequence[EpochLoss], *, healthy_epoch: int | None = None, constant_answer: str | None = None
) -> Advice | None:
    """
    Return advice from held-out loss, or an observation from training loss; None if there is nothing to say.

    Training loss cannot tell how many epochs are best: with fewer epochs the learning rate falls sooner, so the run is
    a different one.
    `healthy_epoch` is the epoch that is served because the one that would otherwise be served is ruined;
    `constant_answer` is the answer that the model gives to every input.
    """
    if healthy_epoch is not None:
        text = (
            f"Tuning ruined the model in some epochs, so epoch {healthy_epoch} is used."
            " The learning rate is too high; use a smaller one."
        )
        return Advice("ruined", text)
    if constant_answer is not None:
        text = (
            f"The model gives the same answer, “{constant_answer}”, whatever the input. Check that each output belongs"
            " to its input; if they do, tune for more epochs."
        )
        return Advice("constant", text)
    losses = [epoch.mean_loss for epoch in epochs]
    if len(losses) < KNEE_EPOCHS:
        return None
    held_out = [epoch.held_out_loss for epoch in epochs if epoch.held_out_loss is not None]
    observed = _unlearned(losses) or _rose(losses)
    return observed or (_measured(held_out) if len(held_out) == len(losses) else _flat(losses))


def best_epoch(epochs: Sequence[EpochLoss]) -> int | None:
    """Return the epoch with the lowest held-out loss; training loss cannot tell which one is best."""
    measured = [epoch for epoch in epochs if epoch.held_out_loss is not None]
    return min(measured, key=lambda epoch: (epoch.held_out_loss, epoch.epoch)).epoch if measured else None


def summary(epochs: Sequence[EpochLoss]) -> str:
    """Describe the curve in one sentence, for screen readers."""
    if not epochs:
        return "No epoch has finished."
    first, last = epochs[0].mean_loss, epochs[-1].mean_loss
    if len(epochs) == 1:
        return f"Loss was {_shown(last)} over the first epoch."
    verb = "fell" if last < first else "went"
    flat = _flat_after(epochs)
    tail = f"; flat after epoch {flat}" if flat is not None else ""
    return f"Loss {verb} from {_shown(first)} to {_shown(last)} over {len(epochs)} epochs{tail}."


def _shown(loss: float) -> str:
    """Return a loss with two decimals, or with two significant digits if it is small: 1.23, 0.0045, < 0.0001."""
    if loss >= 0.01 or loss <= 0:
        return f"{loss:.2f}"
    return "< 0.0001" if loss < 0.0001 else f"{loss:.2g}"


@dataclass(frozen=True, slots=True)
class CurveFacts:
    """
    A curve as a sentence and as numbers; epochs count from 1.

    `flat_after` is the epoch after which the loss hardly falls, unless it is the last; `epoch` is the pass over the
    examples that the last step belongs to.
    """

    summary: str
    best_epoch: int | None
    flat_after: int | None
    epoch: int


def curve_facts(task: TuningTask) -> CurveFacts | None:
    """Return the facts of a task's curve, None before the first step."""
    if not task.snapshots:
        return None
    losses, last = task.epoch_losses, task.snapshots[-1]
    return CurveFacts(
        summary=summary(losses) if losses else f"Loss is {_shown(last.mean_loss)} at step {last.step}.",
        best_epoch=best_epoch(losses),
        flat_after=_flat_after(losses),
        epoch=max(1, math.ceil(task.completed_steps * task.hyperparameters.epoch_count / task.total_steps)),
    )


def svg(snapshots: Sequence[TuningSnapshot], epochs: Sequence[EpochLoss]) -> str:
    """Return the chart of one or more snapshots; until an epoch has finished, the axis shows steps."""
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


def _flat_after(epochs: Sequence[EpochLoss]) -> int | None:
    flat = knee([epoch.mean_loss for epoch in epochs])
    return flat if flat is not None and flat < len(epochs) else None


def _measured(held_out: Sequence[float]) -> Advice | None:
    """Return advice from held-out loss: whether it has risen since its minimum, or was still falling at the end."""
    lowest = min(held_out)
    epoch, drop = held_out.index(lowest) + 1, held_out[0] - lowest
    if held_out[-1] > lowest + max(ROSE_SHARE * drop, SMALL_DROP * lowest):
        text = f"Held-out loss was lowest after epoch {epoch}; then the model began to memorize the examples."
        return Advice("memorised", text, epoch)
    if epoch == len(held_out) and held_out[-2] - lowest > FLAT_SHARE * drop:
        text = "Held-out loss was still falling at the end. A longer run may be better or worse; compare their scores."
        return Advice("falling", text)
    return None


def _unlearned(losses: Sequence[float]) -> Advice | None:
    if losses[0] - min(losses) >= SMALL_DROP * losses[0]:
        return None
    return Advice("unlearned", "Loss hardly changed. Check the examples or increase the learning rate.")


def _rose(losses: Sequence[float]) -> Advice | None:
    lowest = min(losses)
    if losses[-1] - lowest <= ROSE_SHARE * (losses[0] - lowest):
        return None
    epoch = losses.index(lowest) + 1
    return Advice("rose", f"Training loss rose again after epoch {epoch}. Use a smaller learning rate.")


def _flat(losses: Sequence[float]) -> Advice | None:
    epoch = knee(losses)
    if epoch is None or epoch == len(losses):
        return None
    return Advice(
        "flat", f"Training loss has been flat since epoch {epoch}. Only held-out rows tell which epoch is best."
    )


@dataclass(frozen=True, slots=True)
class _Plane:
    """The drawing area: steps in an epoch, epochs shown, and the highest loss shown."""

    steps: float
    epochs: float
    highest: float

    def x(self, epoch: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * epoch / self.epochs, 1)

    def y(self, loss: float) -> float:
        return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * loss / self.highest, 1)

    def points(self, curve: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(epoch)},{self.y(loss)}" for epoch, loss in curve)


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
    every = max(1, math.ceil(plane.epochs / _LABELS))
    y = _HEIGHT - _BOTTOM + 18
    labels = [_text("tick", plane.x(epoch), y, str(epoch)) for epoch in range(0, int(plane.epochs) + 1, every)]
    return [*labels, _text("tick", (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, name)]


def _mark(plane: _Plane, epoch: int) -> str:
    x = plane.x(epoch)
    is_right = epoch > plane.epochs / 2
    # the epoch in use may change after the picture is written, so the label only says how the epoch was measured
    anchor = "end" if is_right else "start"
    label = _text("tick", x - 6 if is_right else x + 6, _TOP + 2, "lowest held-out loss", anchor)
    return f'<line class="mark" x1="{x}" y1="{_TOP - 8}" x2="{x}" y2="{_HEIGHT - _BOTTOM}"/>{label}'


def _line(kind: str, points: str) -> str:
    return f'<polyline class="{kind}" points="{points}"/>'


def _text(kind: str, x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _round_step(least: float) -> float:
    """Return the smallest number of the form 1, 2 or 5 times a power of ten that is at least `least`."""
    power: float = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


def _legend(has_held_out: bool) -> str:
    return "Mean loss per token: steps thin, epochs bold" + (", held-out rows dashed" if has_held_out else "")


def _document(parts: Sequence[str], sentence: str, legend: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{sentence}">\n<title>{sentence}</title>\n<style>{_STYLE}</style>\n'
        + _text("legend", _LEFT, 18, legend, "start")
        + "\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )
