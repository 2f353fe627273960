"""
Checkpoints of a running task: one safetensors file with adapter, optimizer moments and a JSON header; no pickle.

The order of the examples and all random numbers follow from the seed, so step number and curve are all the header
needs. A checkpoint replaces the one before by a rename: there is always a whole one. Knows the file, not what the
numbers mean.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from tunery.errors import FailedPrecondition
from tunery.files import write_whole
from tunery.types import EpochLoss, TuningSnapshot

FILE = "checkpoint.safetensors"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """
    State after `step` optimizer steps.

    `flat`, `first_moment`, `second_moment`: `[adapter size]`; `fingerprint` names base, data and settings.
    """

    fingerprint: str
    step: int
    micro_batch_size: int
    snapshots: tuple[TuningSnapshot, ...]
    epoch_losses: tuple[EpochLoss, ...]
    flat: Tensor
    first_moment: Tensor
    second_moment: Tensor


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    header = {
        "fingerprint": checkpoint.fingerprint,
        "step": checkpoint.step,
        "micro_batch_size": checkpoint.micro_batch_size,
        "snapshots": [[s.step, s.epoch, s.mean_loss, s.compute_time.isoformat()] for s in checkpoint.snapshots],
        "epoch_losses": [[e.epoch, e.mean_loss, e.held_out_loss] for e in checkpoint.epoch_losses],
    }
    tensors = {name: getattr(checkpoint, name).cpu() for name in ("flat", "first_moment", "second_moment")}
    write_whole(folder / FILE, safetensors.torch.save(tensors, {"checkpoint": json.dumps(header)}))


def read_checkpoint(folder: Path, fingerprint: str) -> Checkpoint | None:
    """
    Return the checkpoint of a folder, None when there is none.

    Raises FailedPrecondition when it belongs to other data or settings: nothing is mixed, nothing is thrown away.
    """
    path = folder / FILE
    if not path.exists():
        return None
    with safetensors.safe_open(path, framework="pt") as file:
        header: dict[str, Any] = json.loads(file.metadata()["checkpoint"])
        tensors = {name: file.get_tensor(name) for name in ("flat", "first_moment", "second_moment")}
    if header["fingerprint"] != fingerprint:
        raise FailedPrecondition(
            f"The checkpoint in {folder} belongs to other data or settings; remove it to start anew."
        )
    return Checkpoint(
        fingerprint=fingerprint,
        step=header["step"],
        micro_batch_size=header["micro_batch_size"],
        snapshots=tuple(TuningSnapshot(s, e, loss, datetime.fromisoformat(t)) for s, e, loss, t in header["snapshots"]),
        epoch_losses=tuple(EpochLoss(*values) for values in header["epoch_losses"]),
        **tensors,
    )
