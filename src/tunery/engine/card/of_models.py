"""
The card of a model that was tuned or loaded in this process, outside of any library.

Knows resident bases and tuners; nothing of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tunery.engine.card.card import ModelCard
from tunery.engine.card.sections import base_section, curve_section, data_section, settings_section
from tunery.engine.resident import ResidentBase
from tunery.engine.tuning.advice import advise
from tunery.engine.tuning.circumstances import settings_in_force, versions
from tunery.engine.tuning.tuner import Tuner
from tunery.types import DataFacts, EpochLoss, Hyperparameters, TuningSnapshot

CALLS = {"python": 'tunery.load("folder of the adapter").generate("...")'}


def card_of(
    resident: ResidentBase, snapshots: Sequence[TuningSnapshot], epoch_losses: Sequence[EpochLoss]
) -> ModelCard:
    """Return the card of an adapter of which nothing is recorded but its curve, perhaps not even that."""
    entry = resident.entry
    steps = snapshots[-1].step if snapshots else 0
    return ModelCard(
        display_name="tuned",
        base=base_section(entry, resident.name, resident.digest, asked_as=entry.name),
        curve=curve_section(epoch_losses, advise(epoch_losses), completed_steps=steps, total_steps=steps),
        calls=CALLS,
        create_time=snapshots[-1].compute_time.isoformat() if snapshots else None,
    )


def card_of_tuning(
    resident: ResidentBase, tuner: Tuner, hyperparameters: Hyperparameters, facts: DataFacts, display_name: str
) -> ModelCard:
    """Return the card of a finished tuning; `facts` are those of all rows, the held-out ones too."""
    entry = resident.entry
    return ModelCard(
        display_name=display_name,
        base=base_section(entry, resident.name, resident.digest, asked_as=entry.name),
        data=data_section(facts, len(tuner.held_out)),
        settings=settings_section(hyperparameters, tuner.schedule.seed, settings_in_force(tuner), versions()),
        curve=curve_section(
            tuner.epoch_losses,
            advise(tuner.epoch_losses),
            completed_steps=tuner.completed_steps,
            total_steps=tuner.schedule.total_steps,
        ),
        calls=CALLS,
        create_time=datetime.now(UTC).isoformat(),
    )
