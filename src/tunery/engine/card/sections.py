"""
The parts of a model card from domain values, the same ones wherever a model was tuned.

Each function returns plain values. Knows no files and no libraries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tunery.types import Advice, CatalogEntry, DataFacts, EpochLoss, Hyperparameters


def base_section(
    entry: CatalogEntry, name: str, sha256: str, *, asked_as: str | None = None, source_tuned_model: str | None = None
) -> dict[str, Any]:
    """Return what is known of the base, and which weights they were."""
    return {
        "name": name,
        "display_name": entry.display_name,
        "licence": entry.licence,
        "source": entry.source,
        "parameters": entry.parameters,
        "sha256": sha256,
        "asked_as": asked_as,
        "source_tuned_model": source_tuned_model,
    }


def data_section(facts: DataFacts, held_out_rows: int) -> dict[str, Any]:
    """Return what recognises the data; nothing of its content."""
    return {**asdict(facts), "held_out_rows": held_out_rows}


def settings_section(
    hyperparameters: Hyperparameters, seed: int, in_force: Mapping[str, object], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Return what was asked, what was in force, and the versions that computed it."""
    given = {name: value for name, value in asdict(hyperparameters.resolve()).items() if value is not None}
    return {**given, "seed": seed, "in_force": dict(in_force), "versions": dict(versions)}


def curve_section(
    epoch_losses: Sequence[EpochLoss],
    advice: Advice | None,
    *,
    completed_steps: int,
    total_steps: int,
    kept_epochs: Sequence[int] = (),
) -> dict[str, Any]:
    """Return the losses of the epochs and what they say."""
    return {
        "epoch_losses": [asdict(loss) for loss in epoch_losses],
        "advice": advice.text if advice else None,
        "completed_steps": completed_steps,
        "total_steps": total_steps,
        "kept_epochs": list(kept_epochs),
    }
