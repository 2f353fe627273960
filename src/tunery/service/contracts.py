"""
The contracts of tuned models: what their inputs and outputs have in common, kept as reports, and how they are used.

A prompt contract completes inputs, an output contract limits answers; `data/` learns both from the examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunery.data.inputs import PromptContract
from tunery.data.outputs import Contracts, OutputContract
from tunery.service.tuning import OUTPUT_CONTRACT, PROMPT_CONTRACT
from tunery.types import TunedModel

if TYPE_CHECKING:
    from tunery.service.library import Library

MAX_CONTRACTS = 1000  # tuned models whose contracts stay in memory
PROMPT_OPTIONS = "PROMPT_OPTIONS"

_contracts: dict[str, Contracts] = {}  # by task id, since a task's examples never change; the oldest first


def contracts_of(library: Library, model: TunedModel) -> Contracts:
    """Return the contracts of a tuned model, from its reports or, for a model older than these, from its examples."""
    found = _contracts.get(model.task.id)
    if found is None:
        found = _read_contracts(library, model)
        while len(_contracts) >= MAX_CONTRACTS:
            _contracts.pop(next(iter(_contracts)), None)
        _contracts[model.task.id] = found
    return found


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """
    What becomes of calls: whether plain inputs are completed to match the examples, answers are limited to labels if
    there are any, and inputs unlike the examples are refused; and what makes the probabilities of labels true.
    """

    wraps_plain_inputs: bool = False
    constrains_outputs: bool = True
    refuses_unlike_inputs: bool = False
    label_temperature: float = 1.0
    temperature_epoch: int | None = None  # the epoch whose probabilities were measured

    def temperature_of(self, epoch: int | None) -> float:
        """Return the temperature of the label probabilities of an epoch, 1 if it was not measured."""
        return self.label_temperature if epoch is not None and epoch == self.temperature_epoch else 1.0


def prompt_options(library: Library, model: TunedModel) -> PromptOptions:
    """Return the options of a tuned model."""
    stored = library.report(model, PROMPT_OPTIONS) or {}
    return PromptOptions(
        bool(stored.get("wrap_plain_inputs")),
        stored.get("constrain_to_training_outputs") is not False,
        bool(stored.get("refuse_unlike_inputs")),
        float(stored.get("label_temperature", 1.0)),
        stored.get("temperature_epoch"),
    )


def set_prompt_options(library: Library, model: TunedModel, **changes: bool) -> None:
    """Set `wrap_plain_inputs`, `constrain_to_training_outputs` or `refuse_unlike_inputs`, and leave the others."""
    library.put_report(model, PROMPT_OPTIONS, {**(library.report(model, PROMPT_OPTIONS) or {}), **changes})


def set_label_temperature(library: Library, model: TunedModel, temperature: float, epoch: int) -> None:
    """Store the temperature of the label probabilities of an epoch, as measured by an evaluation."""
    changes = {"label_temperature": temperature, "temperature_epoch": epoch}
    library.put_report(model, PROMPT_OPTIONS, {**(library.report(model, PROMPT_OPTIONS) or {}), **changes})


def _read_contracts(library: Library, model: TunedModel) -> Contracts:
    reports = library.reports(model)
    prompt, output = reports.get(PROMPT_CONTRACT), reports.get(OUTPUT_CONTRACT)
    if prompt is None or output is None:
        return Contracts.learn(library.examples(model)[0])
    return Contracts(PromptContract.read(prompt), OutputContract.read(output))
