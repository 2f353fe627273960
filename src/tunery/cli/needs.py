"""
What a tuning job needs of this machine, as `tunery tune` says it before the start and in its JSON.

Knows a base that is here and the examples; the estimate is the engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tunery import config
from tunery.cli import terminal
from tunery.types import CatalogEntry, Hyperparameters, TuningExample


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes that a tuning job takes at most and that are free now; None: not known."""

    memory_bytes: int | None
    free_bytes: int | None

    @property
    def fits(self) -> bool:
        return self.memory_bytes is None or self.free_bytes is None or self.memory_bytes <= self.free_bytes

    def document(self) -> dict[str, object]:
        return asdict(self)


def estimated(base: CatalogEntry, examples: Sequence[TuningExample], hyperparameters: Hyperparameters) -> Needs:
    """Return what tuning these examples needs; loads the tokenizer and looks which number format is used."""
    from tunery.engine.base import fast_dtype
    from tunery.engine.catalog import available_memory
    from tunery.engine.encoding import encoded
    from tunery.service.estimate import RowCounts, memory_bytes, telling

    rows = encoded(base, config.data_folder(), telling(examples, hyperparameters.batch_size))
    needed = memory_bytes(base, RowCounts.of(rows), hyperparameters, fast_dtype().itemsize)
    return Needs(needed, available_memory())


def say(needs: Needs) -> None:
    """Say how much memory is needed and free, and what to do when it is too little."""
    if needs.memory_bytes is None:
        return
    free = "" if needs.free_bytes is None else f"; {_gigabytes(needs.free_bytes)} free"
    terminal.say(f"Memory    needs about {_gigabytes(needs.memory_bytes)}{free}")
    if not needs.fits:
        terminal.say("Warning: this may not fit. Smaller batches (--batch-size), shorter rows or a smaller base help.")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
