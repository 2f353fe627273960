"""
From a model's name and what a caller asks to a question for the answering child; who may ask is checked on the way.

Knows names, roles and defaults of models; nothing of JSON.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from tunery.data.inputs import Contracts
from tunery.errors import NotFound
from tunery.server.services import Services
from tunery.server.wire.generation import DEFAULT_OUTPUT_TOKENS
from tunery.service import folder
from tunery.service.access import require_known, require_use
from tunery.service.answering_child import Question
from tunery.service.library import contracts_of, wraps_plain_inputs
from tunery.types import Caller, SamplingSettings, Turn


@dataclass(frozen=True, slots=True)
class Target:
    """A model that may be asked: the base in memory, the adapter beside it, and how it answers by default."""

    name: str
    question: Question  # without turns
    defaults: SamplingSettings
    contracts: Contracts | None = None  # of a tuned model
    wraps_plain_inputs: bool = False

    def asked(self, turns: tuple[Turn, ...], settings: SamplingSettings, candidate: int = 0) -> Question:
        """Return the question; further candidates are drawn with other seeds."""
        return replace(self.question, turns=turns, settings=replace(settings, seed=settings.seed + candidate))


def base_target(services: Services, caller: Caller, model_id: str, method: str = "generateContent") -> Target:
    """Return a base model to be asked; raises PermissionDenied, NotFound, FailedPrecondition if it is not here."""
    require_known(caller)
    try:
        entry = services.catalog.resolve(model_id)
    except NotFound:
        raise NotFound(
            f"models/{model_id} is not found for API version v1beta, or is not supported for {method}."
            " Call ListModels to see the list of available models and their supported methods."
        ) from None
    name = entry.alias_of or entry.name
    services.catalog.folder(name)
    return Target(f"models/{entry.name}", Question(name, ()), _defaults(SamplingSettings()))


def tuned_target(services: Services, caller: Caller, model_id: str) -> Target:
    """Return a tuned model to be asked; raises PermissionDenied, NotFound, FailedPrecondition if it is not ACTIVE."""
    require_known(caller)
    library = services.library
    plain_id, epoch = folder.split_epoch(model_id)
    model = library.find(plain_id)
    require_use(caller, model.name, library.sharing.of_model(plain_id))
    artifact = library.artifact(model)
    folder.epoch_folder(artifact[0], epoch)  # raises where that epoch was not kept
    question = Question(model.base_model, (), adapter=artifact, epoch=epoch)
    own = SamplingSettings(temperature=model.temperature, top_p=model.top_p, top_k=model.top_k)
    contracts, wraps = contracts_of(library, model), wraps_plain_inputs(library, model)
    return Target(f"tunedModels/{model_id}", question, _defaults(own), contracts, wraps)


def _defaults(settings: SamplingSettings) -> SamplingSettings:
    # a call that names no seed wants chance, where its temperature leaves any
    return replace(settings, max_output_tokens=DEFAULT_OUTPUT_TOKENS, seed=secrets.randbits(31))
