"""
The loss curve as files beside an adapter: `tuning.json` for programs, `loss.svg` for eyes.

Knows snapshots and losses per epoch; nothing of tensors.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tunery.engine.files import write_whole
from tunery.engine.tuning.picture import svg
from tunery.types import EpochLoss, TuningSnapshot

JSON_FILE, SVG_FILE = "tuning.json", "loss.svg"


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
