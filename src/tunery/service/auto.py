"""
What `auto` chooses for some rows, and how much longer that takes than the page's settings.

The figures are the same for the command line and the API; both count tokens of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunery.data.settings import FittingSettings
from tunery.types import CatalogEntry, Hyperparameters, TuningExample

LABEL_TOKENS = 2  # of the shortest label, with its end
LABEL_COST = 1.6  # of a token of labels: without it, three jobs took 1.65 to 1.97 times as long as was said


def label_rows(rows: Sequence[TuningExample]) -> tuple[TuningExample, ...]:
    """Return the shortest prompt with each label; their tokens tell how long the labels are."""
    shortest = min(rows, key=lambda row: len(row.text_input)).text_input
    return tuple(TuningExample(shortest, label) for label in dict.fromkeys(row.output for row in rows))


def label_tokens(rows: int, sizes: Sequence[int]) -> int:
    """
    Return the tokens that a loss of labels adds to an epoch; `sizes` are those of the `label_rows`.

    Each row is read with every label, which is packed after its prompt.
    """
    return round(LABEL_COST * rows * sum(size - min(sizes) + LABEL_TOKENS for size in sizes))


@dataclass(frozen=True, slots=True)
class AutoSettings:
    """
    What `auto` chooses for some rows, and why.

    `times_steps` and `times_time` are its steps, and the time of its steps, as a multiple of those of the page.
    """

    hyperparameters: Hyperparameters
    reason: str
    total_steps: int
    times_steps: float
    times_time: float

    @classmethod
    def of(cls, fit: FittingSettings, rows: int, tokens: int, sizes: Sequence[int]) -> AutoSettings:
        """Return the settings with their cost; `tokens` are those of the rows, `sizes` those of the `label_rows`."""
        own, page = fit.hyperparameters, fit.page
        work, usual = (
            one.epoch_count * (tokens + (label_tokens(rows, sizes) if one.label_share else 0)) for one in (own, page)
        )
        return cls(own.resolve(), fit.reason, own.total_steps(rows), fit.times_the_steps(rows), work / usual)

    @classmethod
    def here(
        cls,
        fit: FittingSettings,
        base: CatalogEntry,
        data_folder: Path,
        examples: Sequence[TuningExample],
        held_out: Sequence[TuningExample],
    ) -> AutoSettings:
        """Return the settings with their cost, after counting the tokens in this process."""
        from tunery.engine.encoding import encoded

        labels = label_rows((*examples, *held_out)) if fit.hyperparameters.label_share else ()
        sizes = [len(row.token_ids) for row in encoded(base, data_folder, [*examples, *labels])]
        return cls.of(fit, len(examples), sum(sizes[: len(examples)]), sizes[len(examples) :])


def cost(times_steps: float, times_time: float | None) -> str:
    """Return in words what settings cost, as multiples of the page's; the time may not be known."""
    time = "" if times_time is None else f" and about {float(f'{times_time:.2g}'):,g} times their time"
    steps = "as many steps as with" if times_steps == 1 else f"{times_steps:.3g} times the steps of"
    return f"{steps} the page's settings{time}"
