"""
Both contracts of a tuned model, as a value and as a document.

Beside an adapter they stand in its model card. Knows examples and folders; no models, no library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.engine.contracts.output import OutputContract
from tunery.engine.contracts.prompt import PromptContract
from tunery.types import TuningExample

OLD_FILE = "contracts.json"
_PROMPT, _OUTPUT = "prompt_contract", "output_contract"


@dataclass(frozen=True, slots=True)
class Contracts:
    """How the inputs of a tuned model look, and what its outputs are."""

    prompt: PromptContract
    output: OutputContract

    @classmethod
    def learn(cls, examples: Sequence[TuningExample]) -> Contracts:
        """Return the contracts of these examples."""
        prompt = PromptContract.learn([example.text_input for example in examples])
        return cls(prompt, OutputContract.learn([example.output for example in examples]))

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Contracts | None:
        """Return the contracts in a document that may hold much else, None if there are none in it."""
        if document.get(_PROMPT) is None:
            return None
        return cls(PromptContract.read(document[_PROMPT]), OutputContract.read(document[_OUTPUT]))

    def document(self) -> dict[str, Any]:
        """Return both as plain values, each with its sentence."""
        return {
            _PROMPT: self.prompt.document(),
            "prompt_sentence": self.prompt.sentence(),
            _OUTPUT: self.output.document(),
            "output_sentence": self.output.sentence(),
        }


def read_contracts(folder: Path) -> Contracts | None:
    """Return the contracts beside an adapter that was saved before there were cards, None if there are none."""
    path = folder / OLD_FILE
    return Contracts.of_document(json.loads(path.read_text("utf-8"))) if path.is_file() else None
