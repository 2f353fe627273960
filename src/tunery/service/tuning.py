"""
Values of tuning: requests, names, filters and pages of lists, and tasks.

A task has phases; its worker yields events and calls its parent process to write rows. The values are shared by the
library, its workers and their child processes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import string
import struct
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from tunery.data.outputs import Contracts
from tunery.errors import DataLoss, InvalidArgument, TuneryError
from tunery.types import (
    DEFAULT_TOP_K,
    DEFAULT_TOP_P,
    Advice,
    DataFacts,
    EpochLoss,
    Hyperparameters,
    Phase,
    Role,
    State,
    TunedModel,
    TuningExample,
    TuningSnapshot,
)

LOCAL_USER = "local"  # the user on this machine, who does not need to sign in
LOCAL_ADDRESS = "local@tunery.localhost"  # the name of that user in permissions, since clients expect an e-mail address
MAX_PAGE_SIZE = 1000
MAX_ROW_NUMBER = 2**62  # in a page token, which a caller could forge; SQLite counts up to 2**63
_TOKEN = struct.Struct(">Q8s")

# each word includes the higher roles (google/ai/generativelanguage/v1beta/model_service.proto)
_ROLES = {
    "owner:me": (Role.OWNER,),
    "writers:me": (Role.OWNER, Role.WRITER),
    "readers:me": (Role.OWNER, Role.WRITER, Role.READER),
}
_EVERYONE = "readers:everyone"

HOW_TO_RESUME = "To resume it, run the same command again; `tunery serve` resumes it, too."  # an interrupted job

MAX_NAME_CHARACTERS = 40  # from the proto TunedModel, for ids and display_name
RANDOM_CHARACTERS = 12  # as in Google's ids: number-generator-model-dzlmi0gswwqb

PROMPT_CONTRACT, OUTPUT_CONTRACT = "PROMPT_CONTRACT", "OUTPUT_CONTRACT"  # kinds of reports

ID_PATTERN = "[a-z]([a-z0-9-]{0,38}[a-z0-9])?"
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_LINES = "\n\r\t"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class Prompt:
    """
    A structured prompt of a user; `document` has preamble, columns and rows as plain JSON values.

    In lists, the document has no rows, and `row_count` gives their number.
    """

    id: str
    user_id: str
    display_name: str
    document: dict[str, Any] = field(repr=False)
    create_time: datetime
    update_time: datetime
    row_count: int | None = None


@dataclass(frozen=True, slots=True)
class TuningRequest:
    """
    A checked request to tune: everything that a tuning task needs to start and to resume.

    `id` or `display_name` must be given; `hyperparameters` are resolved, and `examples` do not include the `held_out`
    ones.
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
    user_id: str = LOCAL_USER  # owner of the tuned model
    temperature: float = 0.0  # sampling defaults of the tuned model
    top_p: float = DEFAULT_TOP_P
    top_k: int | None = DEFAULT_TOP_K
    reader_project_numbers: Sequence[int] = ()
    source_tuned_model: str | None = None  # id of the tuned model to start from
    tuned_again_from: str | None = None  # id of the tuned model whose examples and settings it repeats
    settings_reason: str | None = None  # what `auto` chose and why, if it was asked for
    base_name_asked: str | None = None  # the base as the user named it
    row_numbers: tuple[Sequence[int], Sequence[int]] = ((), ())  # in the file: of the examples, of those held out
    fold_count: int = 0  # folds that evaluate the model after tuning

    def __post_init__(self) -> None:
        if self.id is None and not self.display_name:
            raise InvalidArgument("Give the tuned model an id or a display name.")
        if self.id is not None:
            check_id(self.id)
        if self.tuned_again_from is not None:
            check_id(self.tuned_again_from)
        if self.display_name is not None:
            check_display_name(self.display_name)
        check_description(self.description)
        if not self.examples:
            raise InvalidArgument("There are no examples to tune on.")
        if self.hyperparameters.learning_rate is None:
            raise InvalidArgument("The hyperparameters are not resolved: learning_rate is missing.")

    @property
    def total_steps(self) -> int:
        return self.hyperparameters.total_steps(len(self.examples))

    def sha256(self) -> str:
        """
        Return the digest that identifies a repeated request. It covers the names and everything that affects the
        result.
        """
        facts = {
            "id": self.id,
            "display_name": self.display_name,
            "base_digest": self.base_digest,
            "examples": _digest(self.examples),
            "held_out": _digest(self.held_out),
            "hyperparameters": self.hyperparameters.facts(),
            "seed": self.seed,
        }
        if self.source_tuned_model is not None:
            facts["source"] = self.source_tuned_model
        if self.user_id != LOCAL_USER:
            facts["user"] = self.user_id
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def contract_documents(examples: Sequence[TuningExample]) -> dict[str, dict[str, Any]]:
    """Learn the contracts from examples, and return them as reports by kind."""
    contracts = Contracts.learn(examples)
    return {PROMPT_CONTRACT: contracts.prompt.document(), OUTPUT_CONTRACT: contracts.output.document()}


def inputs_sha256(
    base_digest: str,
    examples: Sequence[TuningExample],
    held_out: Sequence[TuningExample],
    hyperparameters: Hyperparameters,
    seed: int,
    source_tuned_model: str | None,
) -> str:
    """Return the digest of everything in the database that affects the result of a task."""
    rate = float(hyperparameters.learning_rate or 0)  # SQLite gives 1.0 back as 1
    settings = [hyperparameters.epoch_count, hyperparameters.batch_size, rate, seed]
    settings += [hyperparameters.label_share] if hyperparameters.label_share else []
    facts = [base_digest, _digest(examples), _digest(held_out), *settings, source_tuned_model]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """
    Which tuned models a list shows: those on which the caller personally has one of `roles`, or those shared with
    everyone, with all `words` in the display name or description.
    """

    roles: tuple[Role, ...] = _ROLES["readers:me"]
    is_everyone: bool = False
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ModelFilter:
        """Parse the text of a filter; raise InvalidArgument for an unknown `key:value`."""
        roles, is_everyone, words = cls().roles, False, []
        for word in text.split():
            if word in _ROLES:
                roles = _ROLES[word]
            elif word == _EVERYONE:
                is_everyone = True
            elif word.partition(":")[0] in ("owner", "owners", "writers", "readers"):
                known = ", ".join([*_ROLES, _EVERYONE])
                raise InvalidArgument(f"The filter {word!r} is unknown. Use words to search for, or one of: {known}.")
            else:
                words.append(word)
        return cls(roles, is_everyone, tuple(words))


def page_size(asked: int | None, default: int) -> int:
    """Return the size of a page: the default for 0 or None, at most MAX_PAGE_SIZE; raise InvalidArgument."""
    if asked is not None and asked < 0:
        raise InvalidArgument(f"page_size must not be negative, but it is {asked}.")
    return min(asked or default, MAX_PAGE_SIZE)


def page_token(last_number: int, *asked: object) -> str:
    """Return the token for the page after row `last_number`; `asked` identifies the list for which it is valid."""
    return base64.urlsafe_b64encode(_TOKEN.pack(last_number, _filter_digest(asked))).decode().rstrip("=")


def read_page_token(token: str | None, *asked: object) -> int | None:
    """
    Return the row number after which a page begins, None for the first; raises InvalidArgument for a token of another
    list.
    """
    if not token:
        return None
    try:
        number, digest = _TOKEN.unpack(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, struct.error):
        number, digest = 0, b""
    if digest != _filter_digest(asked) or number > MAX_ROW_NUMBER:
        raise InvalidArgument("The page token does not belong to this list. Start with the first page.")
    return int(number)


def check_id(model_id: str) -> None:
    """Raise InvalidArgument unless this is a valid id for a new tuned model."""
    if not re.fullmatch(ID_PATTERN, model_id):
        raise InvalidArgument(
            f"The id {model_id!r} cannot be used. Use up to {MAX_NAME_CHARACTERS} lower-case letters, digits and"
            " hyphens; start with a letter and do not end with a hyphen."
        )


def check_task_id(task_id: str) -> None:
    """Raise DataLoss unless this is a UUID, because folders are named after it, and a backup may be forged."""
    if not _UUID.fullmatch(task_id):
        raise DataLoss(f"The database has a tuning job with the id {task_id[:80]!r}, which tunery never creates.")


def check_display_name(display_name: str) -> None:
    """Raise InvalidArgument if a display name is too long or empty."""
    length = len(display_name)
    if not display_name.strip() or length > MAX_NAME_CHARACTERS:
        raise InvalidArgument(f"The display name must have 1 to {MAX_NAME_CHARACTERS} characters, but it has {length}.")
    refuse_controls("display name", display_name)


def check_description(description: str) -> None:
    """Raise InvalidArgument for control characters other than line ends and tabs."""
    refuse_controls("description", description, _LINES)


def refuse_controls(what: str, text: str, allowed: str = "") -> None:
    """Raise InvalidArgument for a character that can control a terminal or reverse the direction of the text."""
    for position, character in enumerate(text, start=1):
        if character not in allowed and (unicodedata.category(character) == "Cc" or character in _TURNS):
            code = f"U+{ord(character):04X}"
            raise InvalidArgument(f"The {what} has a control character ({code}) at position {position}. Leave it out.")


def new_id(display_name: str) -> str:
    """Return the words of a display name and random characters: "My tickets" → `my-tickets-dzlmi0gswwqb`."""
    plain = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode().lower()
    words = "-".join(re.findall(r"[a-z0-9]+", plain))
    if not words[:1].isalpha():  # an id starts with a letter; names like "2024" or "日本語" have none
        words = f"tuned-{words}".strip("-")
    return f"{words[:MAX_NAME_CHARACTERS].strip('-')}-{random_id()}"


def random_id() -> str:
    """
    Return 12 random characters from a-z and 0-9; with 62 bits, nobody can guess them, and they will not occur twice.
    """
    return "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_CHARACTERS))


def _digest(examples: Sequence[TuningExample]) -> str:
    pairs = [(example.text_input, example.output) for example in examples]
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def _filter_digest(asked: Sequence[object]) -> bytes:
    return hashlib.sha256(repr(asked).encode()).digest()[:8]


RUNNING_PHASES = (Phase.PREPARING, Phase.RUNNING, Phase.PUBLISHING)  # a worker has claimed the task

# A worker only moves its task forward; PREPARING → PUBLISHING occurs if a task is resumed after its last step.
PHASES_BEFORE = {
    Phase.PREPARING: (Phase.PREPARING,),
    Phase.RUNNING: (Phase.PREPARING, Phase.RUNNING),
    Phase.PUBLISHING: RUNNING_PHASES,
}

# The phases that may precede each ending. PUBLISHING is the commit point, after which a task cannot be cancelled.
PHASES_BEFORE_END = {
    Phase.SUCCEEDED: (Phase.PUBLISHING,),
    Phase.CANCELLED: (Phase.PREPARING, Phase.RUNNING),
    Phase.FAILED: RUNNING_PHASES,
}

# A task is given up when this many of its own processes have died while the server was alive (limits of our own
# choice).
MAX_LOSSES = 5
MAX_LOSSES_AT_ONE_STEP = 3

# Crashes of the server are not blamed on a task, unless they keep happening at the same step: after SUSPECT_DEATHS the
# task is tried by itself, and it is given up if it then crashes together with the server too.
SUSPECT_DEATHS = 3
MAX_SERVER_DEATHS = 5


class Loss(StrEnum):
    """How a task lost its worker."""

    PROCESS = "PROCESS"  # its own process died or froze while the server was alive
    MEMORY = "MEMORY"  # the kernel killed its process because memory ran out
    SERVER = "SERVER"  # the server died too
    SURVIVED = "SURVIVED"  # the server died, and the process of the task outlived it
    ERROR = "ERROR"  # a bug of ours left the row as it was


def state_of(phase: Phase, has_artifact: bool) -> State:
    """
    Return the state of a tuned model whose task is in this phase.

    A cancelled task that had finished a step leaves a usable, partial adapter (`has_artifact`): ACTIVE.
    """
    if phase == Phase.SUCCEEDED or (phase == Phase.CANCELLED and has_artifact):
        return State.ACTIVE
    return State.FAILED if phase.is_final else State.CREATING


@dataclass(frozen=True, slots=True)
class PhaseEntered:
    """The task has entered a phase that is not final."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Started:
    """
    The base is loaded and `step` begins, the first one or the one after a checkpoint; `settings` are those in force.
    """

    settings: Mapping[str, object]
    step: int
    total_steps: int


@dataclass(frozen=True, slots=True)
class StepDone:
    """An optimizer step is done. Between two steps, the task can be cancelled or left for later."""

    snapshot: TuningSnapshot


@dataclass(frozen=True, slots=True)
class Noticed:
    """A sentence that the user should see; the work continues."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The task is SUCCEEDED or CANCELLED, and this is its tuned model; the last event."""

    model: TunedModel


Event = PhaseEntered | Started | StepDone | Noticed | Ended


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a task. None keeps the stored value; the stored curve is never shortened."""

    step: int = 0  # optimizer steps done
    checkpoint_step: int | None = None
    micro_batch_size: int | None = None
    snapshots: Sequence[TuningSnapshot] | None = None  # all since step 1, including those before a resume
    epoch_losses: Sequence[EpochLoss] | None = None
    advice: Advice | None = None
    settings: Mapping[str, object] | None = None
    versions: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A published adapter folder, the claim that wrote it, and the sha256 of its manifest."""

    folder: Path
    claim_number: int
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class ReadInputs:
    """Read the examples of the task, its held-out examples, and the adapter folder it starts from (or None)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the process that tunes takes: cores in use since the beat before, and bytes of memory now and at most."""

    processor_cores: float
    memory_bytes: int
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Beat:
    """Renew the claim and store the progress; the answer is whether the user has requested cancellation."""

    phase: Phase
    progress: Progress
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Sampled:
    """Store an epoch's answers to a few rows, which are the same for each epoch."""

    epoch: int
    rows: Sequence[TuningExample] = field(repr=False)
    answers: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the task after the step that was reported last."""


@dataclass(frozen=True, slots=True)
class Finish:
    """End the task; the answer is its tuned model."""

    phase: Phase
    progress: Progress
    published: Published | None = None
    error: TuneryError | None = None


@dataclass(frozen=True, slots=True)
class PutBack:
    """Put the task back into the queue, to be resumed from its checkpoint."""


Call = ReadInputs | Beat | Sampled | Cancel | Finish | PutBack
