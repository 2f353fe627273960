"""
Values that the library takes and gives: what shall be tuned, how far a worker has come, what it published.

Pure data and the rules about it; no SQL, no files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tunery.errors import InvalidArgument
from tunery.service import names
from tunery.types import Advice, DataFacts, EpochLoss, Hyperparameters, TuningExample, TuningSnapshot

LOCAL_USER = "local"  # who works on this machine without signing in


@dataclass(frozen=True, slots=True)
class Prompt:
    """A structured prompt of a user; `document` holds preamble, columns and rows as plain JSON values."""

    id: str
    user_id: str
    display_name: str
    document: dict[str, Any] = field(repr=False)
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class TuningRequest:
    """
    What a user asks to be tuned: everything that a tuning task needs, so that resuming asks for nothing again.

    `id` or `display_name` must be given; `hyperparameters` are resolved, `examples` are without the `held_out` ones.
    """

    base_model: str  # name in the catalog
    base_digest: str
    data: DataFacts
    examples: Sequence[TuningExample] = field(repr=False)
    hyperparameters: Hyperparameters
    id: str | None = None
    display_name: str | None = None
    description: str = ""
    held_out: Sequence[TuningExample] = field(default=(), repr=False)
    seed: int = 0
    user_id: str = LOCAL_USER  # who owns the tuned model
    temperature: float = 0.0  # how it answers unless a call says otherwise
    top_p: float = 1.0
    top_k: int | None = None
    reader_project_numbers: Sequence[int] = ()
    source_tuned_model: str | None = None  # id of the tuned model to go on from
    base_name_asked: str | None = None  # the base as the user named it

    def __post_init__(self) -> None:
        if self.id is None and not self.display_name:
            raise InvalidArgument("Give the tuned model an id or a display name.")
        if self.id is not None:
            names.check_id(self.id)
        if self.display_name is not None:
            names.check_display_name(self.display_name)
        if not self.examples:
            raise InvalidArgument("There are no examples to tune on.")
        if self.hyperparameters.learning_rate is None:
            raise InvalidArgument("The hyperparameters are not resolved: learning_rate is missing.")

    @property
    def total_steps(self) -> int:
        return self.hyperparameters.total_steps(len(self.examples))

    def sha256(self) -> str:
        """Return the digest by which the same request is recognised: what changes the result, and the names."""
        facts = {
            "id": self.id,
            "display_name": self.display_name,
            "base_digest": self.base_digest,
            "examples": _digest(self.examples),
            "held_out": _digest(self.held_out),
            "hyperparameters": asdict(self.hyperparameters),
            "seed": self.seed,
        }
        if self.source_tuned_model is not None:
            facts["source"] = self.source_tuned_model
        if self.user_id != LOCAL_USER:
            facts["user"] = self.user_id
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a worker has come with a task. None leaves what is stored; no value ever makes the curve shorter."""

    step: int = 0  # optimizer steps done
    checkpoint_step: int | None = None
    micro_batch_size: int | None = None
    snapshots: Sequence[TuningSnapshot] | None = None  # all since step 1, also those before a resume
    epoch_losses: Sequence[EpochLoss] | None = None
    advice: Advice | None = None
    settings: Mapping[str, object] | None = None
    versions: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """An adapter folder that was made visible, and the sha256 of its manifest."""

    folder: Path
    fencing_epoch: int
    manifest_sha256: str


def _digest(examples: Sequence[TuningExample]) -> str:
    pairs = [(example.text_input, example.output) for example in examples]
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
