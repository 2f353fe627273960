"""
Settings that fit the data: how many epochs and which loss, by number of rows and kind of output.

The defaults of the API are those of the page "Intro to model tuning" whatever the data; these are for callers who ask
for `auto`. Chosen by measurement: docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunery.data.outputs import OutputKind, output_kind
from tunery.errors import InvalidArgument
from tunery.types import Hyperparameters, SettingsKind, TuningExample

FEW_ROWS = 50  # nothing but the page's defaults was measured from here on
LEAST_STEPS = 100  # OpenAI's automatic settings make about as many
LABEL_SHARE = 0.5  # measured: docs/experiments.md, "Twenty rows"
MAX_LABELS = 20  # each label is read with each row

_NOTHING = (
    f"nothing of its own, since these are not 2 to {MAX_LABELS} labels in fewer than {FEW_ROWS} rows; for others,"
    " nothing better than the page's settings has been measured"
)


@dataclass(frozen=True, slots=True)
class FittingSettings:
    """
    Settings for some rows; `choice` says in words what was chosen and why.

    `page` are the defaults of the page instead, with what the caller named.
    """

    hyperparameters: Hyperparameters
    choice: str
    page: Hyperparameters

    @property
    def reason(self) -> str:
        """The choice as a sentence."""
        return f"Auto chose {self.choice}."

    @property
    def differs(self) -> bool:
        """Whether anything was chosen that is not the page's."""
        return self.hyperparameters != self.page

    def times_the_steps(self, rows: int) -> float:
        """Return how many times the steps of the page's settings these take."""
        return self.hyperparameters.total_steps(rows) / self.page.total_steps(rows)


def fitting(examples: Sequence[TuningExample], given: Mapping[str, Any]) -> FittingSettings:
    """
    Return the settings that fit these rows: more steps and a loss of their own for few rows of labels.

    What is `given`, by the names of `Hyperparameters`, stays as it is.
    """
    page, outputs = Hyperparameters(**given), [example.output for example in examples]
    rows, labels = len(outputs), len(set(outputs))
    if rows >= FEW_ROWS or not 2 <= labels <= MAX_LABELS or output_kind(outputs) is not OutputKind.LABELS:
        return FittingSettings(page, _NOTHING, page)
    epochs = max(page.epoch_count, -(-LEAST_STEPS * page.batch_size // rows))
    own: dict[str, Any] = {"epoch_count": epochs, "label_share": LABEL_SHARE}
    chosen = replace(page, **{name: value for name, value in own.items() if name not in given})
    if chosen == page:
        return FittingSettings(page, "nothing, since all that it chooses was named", page)
    steps = f"{chosen.total_steps(rows):,} steps in all"
    choice = f"{differences(chosen, page)}, {steps}, since {rows} rows of {labels} labels are few"
    return FittingSettings(chosen, choice, page)


def settings_for(kind: str, examples: Sequence[TuningExample], given: Mapping[str, Any]) -> tuple[Hyperparameters, str]:
    """
    Return the settings of a task, and what `auto` chose and why; nothing for the page's.

    Raises InvalidArgument for an unknown kind.
    """
    if kind not in list(SettingsKind):
        raise InvalidArgument(f"settings must be {' or '.join(SettingsKind)}, not {kind!r}.")
    if kind == SettingsKind.PAGE:
        return Hyperparameters(**given), ""
    found = fitting(examples, given)
    return found.hyperparameters, found.reason


def other_settings(kind: str, examples: Sequence[TuningExample], own: Hyperparameters) -> Hyperparameters:
    """Return the settings to compare with a model's own, chosen for all of its rows; raises InvalidArgument."""
    found = settings_for(kind, examples, {"weights": own.weights})[0].resolve()
    if found == own.resolve():
        raise InvalidArgument(f"Nothing to compare: for these rows, the {kind} settings are those that the model has.")
    return found


def differences(ours: Hyperparameters, theirs: Hyperparameters) -> str:
    """Return in words those of our settings that are not theirs, such as "20 epochs and a loss of labels of 0.5"."""
    one, other = ours.resolve(), theirs.resolve()
    words = {
        "epoch_count": f"{one.epoch_count} epoch{'s' * (one.epoch_count != 1)}",
        "batch_size": f"batch size {one.batch_size}",
        "learning_rate": f"learning rate {one.learning_rate:g}",
        "label_share": f"a loss of labels of {one.label_share:g}" if one.label_share else "no loss of labels",
    }
    return " and ".join(text for name, text in words.items() if getattr(one, name) != getattr(other, name))
