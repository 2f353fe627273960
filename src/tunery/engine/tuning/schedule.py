"""
Which examples make up which step, and with what learning rate.

Everything here follows from seed and step number alone, so a resumed task goes on exactly where it was.
Knows numbers only; no tensors but a random permutation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from tunery.types import Hyperparameters


@dataclass(frozen=True, slots=True)
class Recipe:
    """
    What the user does not set: shape of the adapter, optimizer and schedule.

    `rank` ≥ 1, `alpha` (scale = alpha / rank), `schedule` "constant", "linear" or "cosine" (to 0 at the end),
    `warmup_fraction` of all steps, `weight_decay` of AdamW, `clip_norm` of the whole gradient, `betas`, `epsilon`.
    Chosen by measurement: docs/experiments.md.
    """

    rank: int = 16
    alpha: float = 32.0
    schedule: str = "linear"
    warmup_fraction: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of a task of `examples` examples."""

    examples: int
    hyperparameters: Hyperparameters
    recipe: Recipe
    seed: int

    @property
    def total_steps(self) -> int:
        return self.hyperparameters.total_steps(self.examples)

    def batch(self, step: int) -> list[int]:
        """
        Return the indexes of the examples of a step (from 1); batches run across epoch borders, the last may be short.
        """
        size = self.hyperparameters.batch_size
        last = min(step * size, self.examples * self.hyperparameters.epoch_count)
        return [self._order(index // self.examples)[index % self.examples] for index in range((step - 1) * size, last)]

    def epoch(self, step: int) -> int:
        """Return floor(step × batch_size / examples), at most epoch_count: passes finished after this step."""
        finished = step * self.hyperparameters.batch_size // self.examples
        return min(finished, self.hyperparameters.epoch_count)

    def pass_of(self, step: int) -> int:
        """Return the 1-based pass in which a step ends: ceil(step × batch_size / examples)."""
        return min(-(-step * self.hyperparameters.batch_size // self.examples), self.hyperparameters.epoch_count)

    def ends_epoch(self, step: int) -> bool:
        return self.epoch(step) > self.epoch(step - 1)

    def learning_rate(self, step: int) -> float:
        """Return the rate of a step (from 1)."""
        rate = self.hyperparameters.resolve().learning_rate or 0.0
        warmup = self.recipe.warmup_fraction * self.total_steps
        if step <= warmup:
            return rate * step / math.ceil(warmup)
        progress = (step - 1 - warmup) / max(self.total_steps - warmup, 1)
        if self.recipe.schedule == "linear":
            return rate * (1 - progress)
        if self.recipe.schedule == "cosine":
            return rate * 0.5 * (1 + math.cos(math.pi * progress))
        return rate

    def _order(self, epoch: int) -> tuple[int, ...]:
        return _permutation(self.examples, self.seed, epoch)


@lru_cache(maxsize=4)
def _permutation(examples: int, seed: int, epoch: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return tuple(torch.randperm(examples, generator=generator).tolist())
