"""
Both contracts of a tuned model, as a value and as a file beside its adapter.

A folder that was exported from a library has them in its model card. Knows examples and folders; no models, no library.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunery.engine.contracts.output import OutputContract
from tunery.engine.contracts.prompt import PromptContract
from tunery.engine.files import write_whole
from tunery.types import TuningExample

JSON_FILE = "contracts.json"
CARD_FILE = "model-card.json"
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


def write_contracts(folder: Path, contracts: Contracts) -> None:
    """Write the contracts beside an adapter."""
    document = {_PROMPT: contracts.prompt.document(), _OUTPUT: contracts.output.document()}
    write_whole(folder / JSON_FILE, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def read_contracts(folder: Path) -> Contracts | None:
    """Return the contracts of an adapter folder, None if it has none (an adapter made elsewhere)."""
    for name in (JSON_FILE, CARD_FILE):
        path = folder / name
        if path.is_file():
            document = json.loads(path.read_text("utf-8"))
            return Contracts(PromptContract.read(document[_PROMPT]), OutputContract.read(document[_OUTPUT]))
    return None
