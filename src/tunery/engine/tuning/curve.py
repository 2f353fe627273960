"""
The loss curve as files beside an adapter: `tuning.json` for programs, `loss.svg` for eyes.

Knows snapshots and losses per epoch; nothing of tensors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from tunery.engine.files import write_whole
from tunery.engine.tuning.advice import best_epoch, summary
from tunery.types import EpochLoss, TuningSnapshot

JSON_FILE, SVG_FILE = "tuning.json", "loss.svg"

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 40, 44
_COLOURS = {"light": ("#1f2328", "#57606a", "#d0d7de", "#0b57d0"), "dark": ("#e6edf3", "#9198a1", "#3d444d", "#8ab4f8")}


def write_curve(folder: Path, snapshots: Sequence[TuningSnapshot], epochs: Sequence[EpochLoss]) -> None:
    """Write both files; an empty curve writes none."""
    if not snapshots:
        return
    data = {
        "snapshots": [
            {"step": s.step, "epoch": s.epoch, "mean_loss": s.mean_loss, "compute_time": s.compute_time.isoformat()}
            for s in snapshots
        ],
        "epochs": [{"epoch": e.epoch, "mean_loss": e.mean_loss, "held_out_loss": e.held_out_loss} for e in epochs],
    }
    write_whole(folder / JSON_FILE, (json.dumps(data, indent=1) + "\n").encode())
    write_whole(folder / SVG_FILE, svg(snapshots, epochs).encode())


def read_curve(folder: Path) -> tuple[tuple[TuningSnapshot, ...], tuple[EpochLoss, ...]]:
    """Return what `write_curve` wrote; empty when the folder has none (an adapter made elsewhere)."""
    path = folder / JSON_FILE
    if not path.exists():
        return (), ()
    data = json.loads(path.read_text("utf-8"))
    snapshots = tuple(
        TuningSnapshot(s["step"], s["epoch"], s["mean_loss"], datetime.fromisoformat(s["compute_time"]))
        for s in data["snapshots"]
    )
    return snapshots, tuple(EpochLoss(e["epoch"], e["mean_loss"], e["held_out_loss"]) for e in data["epochs"])


def svg(snapshots: Sequence[TuningSnapshot], epochs: Sequence[EpochLoss]) -> str:
    """Draw mean loss per step (thin), per epoch (bold, points) and of held-out rows (dashed) over the epochs."""
    passes = max(len(epochs), 1)
    highest = max([s.mean_loss for s in snapshots] + [e.held_out_loss or 0 for e in epochs]) * 1.05 or 1.0
    total = snapshots[-1].step

    def point(epoch: float, loss: float) -> str:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * epoch / passes
        y = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * loss / highest
        return f"{x:.1f},{y:.1f}"

    steps = " ".join(point(s.step / total * passes, s.mean_loss) for s in snapshots)
    means = [point(e.epoch, e.mean_loss) for e in epochs]
    held_out = " ".join(point(e.epoch, e.held_out_loss) for e in epochs if e.held_out_loss is not None)
    parts = [
        *_axes(passes, highest, point),
        f'<polyline class="thin" points="{steps}"/>',
        f'<polyline class="bold" points="{" ".join(means)}"/>',
        *(f'<circle class="dot" cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="3.5"/>' for p in means),
    ]
    if held_out:
        parts.append(f'<polyline class="held" points="{held_out}"/>')
    return _document(parts, summary(epochs), bool(held_out), best_epoch(epochs))


def _axes(passes: int, highest: float, point: Callable[[float, float], str]) -> list[str]:
    parts = []
    for tick in range(5):
        loss = highest * tick / 4
        x, y = point(0, loss).split(",")
        end = point(passes, loss).split(",")[0]
        parts.append(f'<line class="grid" x1="{x}" y1="{y}" x2="{end}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{float(y) + 4:.1f}" text-anchor="end">{loss:.2f}</text>')
    every = -(-passes // 10)
    for epoch in range(0, passes + 1, every):
        x, y = point(epoch, 0).split(",")
        parts.append(f'<text class="tick" x="{x}" y="{float(y) + 18:.1f}" text-anchor="middle">{epoch}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle:.0f}" y="{_HEIGHT - 8}" text-anchor="middle">epoch</text>')
    return parts


def _document(parts: Sequence[str], sentence: str, has_held_out: bool, best: int | None) -> str:
    ink, faint, grid, accent = _COLOURS["light"]
    dark = _COLOURS["dark"]
    style = (
        f"text{{font:12px system-ui,sans-serif;fill:{ink}}}.tick{{fill:{faint}}}.grid{{stroke:{grid}}}"
        f".thin,.bold,.held{{fill:none;stroke:{accent}}}.thin{{stroke-width:1;opacity:.45}}.bold{{stroke-width:2.5}}"
        f".held{{stroke-width:2;stroke-dasharray:6 4}}.dot{{fill:{accent}}}"
        f"@media(prefers-color-scheme:dark){{text{{fill:{dark[0]}}}.tick{{fill:{dark[1]}}}.grid{{stroke:{dark[2]}}}"
        f".thin,.bold,.held{{stroke:{dark[3]}}}.dot{{fill:{dark[3]}}}}}"
    )
    legend = "mean loss per token: thin per step, bold per epoch" + (", dashed held out" if has_held_out else "")
    mark = f" · best epoch {best}" if best is not None else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{sentence}">\n'
        f"<title>{sentence}</title>\n<style>{style}</style>\n"
        f'<text x="{_LEFT}" y="20">{legend}{mark}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )
