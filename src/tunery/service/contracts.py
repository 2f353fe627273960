"""
The contracts of tuned models: learned when a model is created, kept as reports, learned anew for models from before.

Also the option that wraps plain inputs. Knows the library and the contracts of the engine; no HTTP, no tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunery.data.inputs import Contracts, PromptContract
from tunery.data.outputs import OutputContract
from tunery.types import TunedModel, TuningExample

if TYPE_CHECKING:
    from tunery.service.library import Library

PROMPT_CONTRACT, OUTPUT_CONTRACT, PROMPT_OPTIONS = "PROMPT_CONTRACT", "OUTPUT_CONTRACT", "PROMPT_OPTIONS"
KEPT = 1000  # tuned models whose contracts stay in memory


def documents(examples: Sequence[TuningExample]) -> dict[str, dict[str, Any]]:
    """Return the contracts of these examples as reports, by kind."""
    contracts = Contracts.learn(examples)
    return {PROMPT_CONTRACT: contracts.prompt.document(), OUTPUT_CONTRACT: contracts.output.document()}


def contracts_of(library: Library, model: TunedModel) -> Contracts:
    """Return the contracts of a tuned model, from its reports or, if it is older than these, from its examples."""
    found = _known.get(model.task.id)
    if found is None:
        found = _remembered(library, model)
        while len(_known) >= KEPT:
            _known.pop(next(iter(_known)), None)
        _known[model.task.id] = found
    return found


def wraps_plain_inputs(library: Library, model: TunedModel) -> bool:
    """Say whether plain inputs of a tuned model get what they lack before it is asked; not unless it was wanted."""
    options = library.report(model, PROMPT_OPTIONS)
    return bool(options and options.get("wrap_plain_inputs"))


def set_wraps_plain_inputs(library: Library, model: TunedModel, wraps: bool) -> None:
    """Want plain inputs to be wrapped, or not any more."""
    library.put_report(model, PROMPT_OPTIONS, {"wrap_plain_inputs": wraps})


_known: dict[str, Contracts] = {}  # by id of the task, which never gets other examples; the oldest first


def _remembered(library: Library, model: TunedModel) -> Contracts:
    reports = library.reports(model)
    prompt, output = reports.get(PROMPT_CONTRACT), reports.get(OUTPUT_CONTRACT)
    if prompt is None or output is None:
        return Contracts.learn(library.examples(model)[0])
    return Contracts(PromptContract.read(prompt), OutputContract.read(output))
