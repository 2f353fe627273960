"""
Under which settings and versions a task is tuned, as plain values for the record.

Everything a result depends on besides base, data and hyperparameters. Knows nothing of where the record is kept.
"""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import version

import torch

from tunery.engine.tuning.tuner import Tuner


def settings_in_force(tuner: Tuner) -> dict[str, object]:
    """Return recipe, number format, threads and micro-batch size; after the last step also the epoch to serve."""
    is_done = tuner.completed_steps == tuner.schedule.total_steps
    return {
        **asdict(tuner.recipe),
        "betas": list(tuner.recipe.betas),
        "dtype": str(tuner.network.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "micro_batch_size": tuner.micro_batch_size,
        "best_epoch": tuner.best_epoch if is_done else None,
    }


def versions() -> dict[str, str]:
    """Return the versions of everything that takes part in the arithmetic."""
    libraries = {name: version(name) for name in ("tunery", "torch", "transformers")}
    return {**libraries, "python": platform.python_version()}
