"""
The child process that generates answers: it keeps bases and adapters in memory and decodes running answers together.

Questions come over its channel, pieces of text go back as they are generated. Users take turns of equal time, however
much each has asked. Adapters are identified by the digest of their manifest, checked when they are read, and dropped
when unused and room is needed.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunery.errors import DataLoss, DeadlineExceeded, TuneryError, as_tunery_error
from tunery.files import open_published
from tunery.service import folder
from tunery.service.process import Channel
from tunery.types import BASE_RENDERING, Rendering, SamplingSettings, TokenLogprob, TuningExample, Turn

if TYPE_CHECKING:
    from tunery.engine.answers.generator import Generator, Piece
    from tunery.engine.encoding import EncodedExample, Encoder
    from tunery.engine.memory import KeptWeights
    from tunery.engine.resident import ResidentBase

MAX_WAIT_SECONDS = 30.0  # a question that waits longer is refused
ADAPTER_BYTES = 1 << 30  # limit of adapters in memory: 50 of the default base at rank 16
MAX_BASES = 2
TURN_SECONDS = 0.03  # wait for messages before the next step, so that a user's first answers begin together
BESIDE_TUNING = 0.6  # share of the time for answers while a tuning job runs; the job has the processor for the rest
HEAD_START_SECONDS = 1.0  # for a user who comes back; a short answer of the default base takes less, even on slow cores
SAVED_SECONDS = 2.0  # of answering before the first pause for a tuning job; short answers end sooner
PORTION_ROWS, PORTION_CHARACTERS = 64, 40_000  # of rows that are counted or rendered at a time

_log = logging.getLogger("tunery.answering")


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt for a base, or for a tuned model: `adapter` is its folder and the digest of its manifest."""

    base_model: str
    turns: tuple[Turn, ...]
    settings: SamplingSettings = field(default_factory=SamplingSettings)
    adapter: tuple[Path, str] | None = None
    epoch: int | None = None  # a kept epoch to use instead of the chosen one
    rendering: Rendering = BASE_RENDERING


@dataclass(frozen=True, slots=True)
class Ask:
    """To the child: answer this question of a user."""

    number: int
    question: Question
    user: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """To the child: count the tokens of this prompt."""

    number: int
    question: Question
    user: str = ""


@dataclass(frozen=True, slots=True)
class CountRows:
    """To the child: count the tokens of these examples, prompt and answer, as tuning reads them."""

    number: int
    base_model: str
    examples: tuple[TuningExample, ...] = field(repr=False)
    user: str = ""


@dataclass(frozen=True, slots=True)
class RenderRows:
    """To the child: render these examples as tuning reads them, with template and special tokens."""

    number: int
    base_model: str
    examples: tuple[TuningExample, ...] = field(repr=False)
    user: str = ""


@dataclass(frozen=True, slots=True)
class ReadStates:
    """To the child: read these prompts, which begin with `preamble`, for their mean states."""

    number: int
    base_model: str
    texts: tuple[str, ...] = field(repr=False)
    preamble: str = field(repr=False)
    rendering: Rendering = BASE_RENDERING
    user: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """To the child: stop answering this question."""

    number: int


@dataclass(frozen=True, slots=True)
class Warm:
    """To the child: load this base ahead of the first question."""

    base_model: str


@dataclass(frozen=True, slots=True)
class Beside:
    """To the child: a tuning job starts or ends on the same machine."""

    is_tuning: bool


@dataclass(frozen=True, slots=True)
class AnswerChunk:
    """From the child: new text; `finish_reason` "STOP" or "MAX_TOKENS" comes with the last piece."""

    number: int
    text: str
    finish_reason: str | None
    prompt_tokens: int
    output_tokens: int
    label_probabilities: tuple[tuple[str, float], ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """From the child: the number of tokens of a prompt."""

    number: int
    tokens: int


@dataclass(frozen=True, slots=True)
class RowsCounted:
    """From the child: tokens of each example, and what else an estimate needs; with `beyond`, nothing else."""

    number: int
    tokens: tuple[int, ...]
    cut: tuple[int, ...]  # indexes of the examples that are cut off at the window
    prefix: int  # tokens that all examples share at their beginning
    kept: KeptWeights  # how the weights of the base can be kept
    beyond: dict[int, int] = field(default_factory=dict)  # see `Encoder.outputs_beyond_window`


@dataclass(frozen=True, slots=True)
class RowsRendered:
    """From the child: the text of each example as tuning reads it."""

    number: int
    texts: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class StatesRead:
    """From the child: the mean state of each prompt; none from an engine that does not tell states."""

    number: int
    states: tuple[Sequence[float], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """From the child: this cannot be answered, or the answer was interrupted."""

    number: int
    error: TuneryError


Work = Ask | Count | CountRows | RenderRows | ReadStates
Portioned = RowsCounted | RowsRendered | StatesRead  # what is made in portions, so that others need not wait for it


@dataclass(slots=True)
class _Asked:
    """A question being answered: its number and user, its adapter, and when it started waiting."""

    number: int
    user: str
    digest: str | None
    prompt_tokens: int
    since: float
    output_tokens: int = 0


@dataclass(eq=False, slots=True)
class _Batch:
    """Answers that are decoded together, by their numbers in the generator."""

    generator: Generator
    asked: dict[int, _Asked] = field(default_factory=dict)

    @property
    def users(self) -> Counter[str]:
        """The number of answers of each user."""
        return Counter(asked.user for asked in self.asked.values())

    def admits(self, user: str) -> bool:
        """
        Return whether an answer of a user slows nobody down: all answers belong to that user, or each is the only one
        of its user.
        """
        users = self.users
        return set(users) <= {user} or (user not in users and set(users.values()) == {1})


@dataclass(slots=True)
class _Adapter:
    slot: int
    bytes: int


@dataclass(slots=True)
class _Loaded:
    """A base with its running answers and its adapters, least recently used first."""

    resident: ResidentBase
    batches: list[_Batch]
    adapters: OrderedDict[str, _Adapter] = field(default_factory=OrderedDict)

    @property
    def is_idle(self) -> bool:
        return not any(batch.asked for batch in self.batches)

    def batch_for(self, user: str) -> _Batch:
        """Return the fullest batch that admits an answer of a user, a new one if there is none."""
        fitting = [batch for batch in self.batches if batch.admits(user)]
        if not fitting:
            self.batches.append(_Batch(self.resident.generator()))
            return self.batches[-1]
        return max(fitting, key=lambda batch: len(batch.asked))

    def tidy(self) -> None:
        """Drop batches that have ended, and share the memory for keys and values among the others."""
        self.batches = [batch for batch in self.batches if batch.asked] or self.batches[:1]
        for batch in self.batches:
            batch.generator.others_bytes = sum(
                other.generator.cache_bytes for other in self.batches if other is not batch
            )


class Turns:
    """
    The time that each user with work has had; the user with the least gets the next turn.

    A user who was away may be up to `HEAD_START_SECONDS` behind the others, which is enough for a short answer between
    two of their steps. Nobody can save up more, and nobody has to wait for everything that others asked before.
    """

    def __init__(self) -> None:
        self._had: dict[str, float] = {}
        self._present: frozenset[str] = frozenset()
        self._level = 0.0  # the minimum over the users present, which never decreases

    def next(self, users: Collection[str]) -> str:
        """Return the user whose turn it is, among those with work."""
        self._level = max(self._level, min((self._had[user] for user in users if user in self._present), default=0.0))
        least = self._level - HEAD_START_SECONDS
        for user in users:
            if user not in self._present:
                self._had[user] = max(self._had.get(user, least), least)
        self._present = frozenset(users)
        self._had = {user: had for user, had in self._had.items() if user in users or had > least}
        return min(users, key=self._had.__getitem__)

    def charge(self, user: str, seconds: float) -> None:
        """Add time to a user's account."""
        if user in self._had:
            self._had[user] += seconds


class Pauses:
    """
    Pauses between steps that leave a tuning job at least a third of its speed, however many questions there are.

    The child of a tuning job has a low priority, and steps without pauses would leave it a tenth of the processor. Time
    for answers accrues at `BESIDE_TUNING` seconds per second, and up to `SAVED_SECONDS` of it is saved for short
    answers.
    """

    def __init__(self) -> None:
        self._saved, self._until = SAVED_SECONDS, time.monotonic()

    def after(self, began: float) -> float:
        """Return the seconds to pause after work that began at the given time and has just ended."""
        now = time.monotonic()
        rested = max(0.0, began - self._until)
        self._saved = min(SAVED_SECONDS, self._saved + BESIDE_TUNING * rested)
        self._saved -= (1 - BESIDE_TUNING) * (now - began)
        self._until = now
        return max(0.0, -self._saved / BESIDE_TUNING)


def answering_child(channel: Channel, data_folder: Path) -> None:
    """Run the child: answer until the server ends."""
    channel.show_life()
    child = AnsweringChild(channel, data_folder)
    while True:
        child.turn()


class AnsweringChild:
    """The loop of the child: each turn belongs to one user."""

    def __init__(self, channel: Channel, data_folder: Path) -> None:
        self._channel, self._data_folder = channel, data_folder
        self._bases: OrderedDict[str, _Loaded] = OrderedDict()
        self._inbox: dict[str, deque[tuple[float, Work]]] = {}  # by user, with the time of arrival
        # rows that have begun, with the number of their question and their base, by user
        self._portions: dict[str, tuple[int, Iterator[Portioned | None], str]] = {}
        self._turns = Turns()
        self._pauses, self._is_beside_tuning = Pauses(), False

    def turn(self) -> None:
        """Handle the messages that have arrived, then work for the user whose turn it is."""
        self._take_messages()
        self._refuse_late()
        users = list(dict.fromkeys([*self._inbox, *self._portions, *self._answered_users()]))
        if not users:
            return
        user = self._turns.next(users)
        began = time.monotonic()
        self._work_off(user, began + TURN_SECONDS)
        self._turns.charge(user, time.monotonic() - began)
        for loaded in self._bases.values():
            for batch in [batch for batch in loaded.batches if user in batch.users]:
                self._step(loaded, batch)
            loaded.tidy()
        if self._is_beside_tuning:
            time.sleep(self._pauses.after(began))

    def _answered_users(self) -> Iterator[str]:
        for batch in self._batches():
            yield from batch.users

    def _take_messages(self) -> None:
        is_idle = not self._inbox and not self._portions and not any(self._answered_users())
        try:
            message = self._channel.messages.get(block=is_idle)
            while True:
                self._take(message)
                message = self._channel.messages.get_nowait()
        except queue.Empty:
            pass

    def _take(self, message: object) -> None:
        match message:
            case Ask() | Count() | CountRows() | RenderRows() | ReadStates():
                self._inbox.setdefault(message.user, deque()).append((time.monotonic(), message))
            case Drop(number):
                self._drop(number)
            case Beside(is_tuning):
                self._is_beside_tuning = is_tuning
            case Warm(base_model):
                try:
                    self._warm(base_model)
                except Exception as error:  # noqa: BLE001  # the question that needs the base will report it
                    _log.warning("The base %s was not loaded ahead: %r", base_model, error)

    def _work_off(self, user: str, until: float) -> None:
        """Continue the rows of a user, or begin the user's questions; do at least one of the two."""
        if user in self._portions:
            self._read_portion(user)
            return
        inbox = self._inbox.get(user, deque())
        while inbox:
            since, message = inbox.popleft()
            if not inbox:
                del self._inbox[user]
            with self._refusing(message.number):
                if since < time.monotonic() - MAX_WAIT_SECONDS:
                    raise _too_late()
                self._begin(message)
            if user in self._portions or time.monotonic() > until:
                return

    @contextmanager
    def _refusing(self, number: int) -> Iterator[None]:
        """Refuse a question that fails within the block, because it must not end the others."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            if not isinstance(error, TuneryError):
                _log.exception("A question could not be taken")
            self._channel.send(Refused(number, as_tunery_error(error)))

    def _begin(self, message: Work) -> None:
        match message:
            case Ask(number, question, user):
                self._begin_answer(number, question, user)
            case Count(number, question):
                resident = self._loaded(question.base_model).resident
                prompt = resident.encoder_for(question.rendering).conversation(question.turns)
                self._channel.send(Counted(number, len(prompt)))
            case CountRows(number, base_model, examples, user):
                resident = self._loaded(base_model).resident
                counted = counted_in_portions(number, resident.encoder, _kept(resident), examples)
                self._portions[user] = number, counted, base_model
            case RenderRows(number, base_model, examples, user):
                encoder = self._loaded(base_model).resident.encoder
                self._portions[user] = number, rendered_in_portions(number, encoder, examples), base_model
            case ReadStates(number=number, base_model=base_model, user=user):
                resident = self._loaded(base_model).resident
                self._portions[user] = number, _read_in_portions(resident, message), base_model

    def _read_portion(self, user: str) -> None:
        number, portions, _ = self._portions[user]
        done: Portioned | None = None
        is_over = True
        with self._refusing(number):
            done = next(portions)
            is_over = done is not None
        if is_over:
            del self._portions[user]
        if done is not None:
            self._channel.send(done)

    def _begin_answer(self, number: int, question: Question, user: str) -> None:
        from tunery.engine.answers.generator import Request

        loaded = self._loaded(question.base_model)
        prompt, settings = _fitted(loaded.resident, question)
        digest = _digest(question)
        slot = None if digest is None else self._slot(loaded, question, digest)
        batch = loaded.batch_for(user)
        own_number = batch.generator.submit(Request(tuple(prompt), settings, slot))
        batch.asked[own_number] = _Asked(number, user, digest, len(prompt), time.monotonic())

    def _warm(self, base_model: str) -> None:
        from tunery.engine.answers.generator import Request

        loaded = self._loaded(base_model)
        prompt = loaded.resident.encoder.conversation((Turn("user", "Hello"),))
        # the first step prepares the weights for decoding
        generator = loaded.batches[0].generator
        number = generator.submit(Request(tuple(prompt), SamplingSettings(max_output_tokens=2)))
        while not generator.is_idle and loaded.is_idle:
            generator.step()
        generator.drop(number)

    def _step(self, loaded: _Loaded, batch: _Batch) -> None:
        users, began = batch.users, time.monotonic()
        try:
            pieces = batch.generator.step()
        except Exception as error:  # noqa: BLE001  # one question must not end the others
            _log.exception("A decoding step failed; its answers end")
            shown = error if isinstance(error, TuneryError) else TuneryError("The answer was cut off. Ask again.")
            for asked in batch.asked.values():
                self._channel.send(Refused(asked.number, shown))
            batch.asked.clear()
            batch.generator = loaded.resident.generator()
            return
        for user, answers in users.items():
            self._turns.charge(user, (time.monotonic() - began) * answers / users.total())
        for piece in pieces:
            self._send(batch, piece)

    def _send(self, batch: _Batch, piece: Piece) -> None:
        asked = batch.asked.get(piece.number)
        if asked is None:
            return
        if piece.finish_reason:
            del batch.asked[piece.number]
        counts, found = (asked.prompt_tokens, piece.tokens), (piece.label_probabilities, piece.logprobs)
        self._channel.send(AnswerChunk(asked.number, piece.text, piece.finish_reason, *counts, *found))

    def _drop(self, number: int) -> None:
        for user, inbox in list(self._inbox.items()):
            self._inbox[user] = deque((since, message) for since, message in inbox if message.number != number)
            if not self._inbox[user]:
                del self._inbox[user]
        self._portions = {user: begun for user, begun in self._portions.items() if begun[0] != number}
        for batch in self._batches():
            for own_number, asked in list(batch.asked.items()):
                if asked.number == number:
                    batch.generator.drop(own_number)
                    del batch.asked[own_number]

    def _batches(self) -> Iterator[_Batch]:
        for loaded in self._bases.values():
            yield from loaded.batches

    def _refuse_late(self) -> None:
        latest = time.monotonic() - MAX_WAIT_SECONDS
        for batch in self._batches():
            for own_number in batch.generator.waiting:
                asked = batch.asked.get(own_number)
                if asked is not None and asked.since < latest:
                    batch.generator.drop(own_number)
                    del batch.asked[own_number]
                    self._channel.send(Refused(asked.number, _too_late()))

    def _loaded(self, base_model: str) -> _Loaded:
        """Return a base, loading it if needed; an idle one may be dropped for it."""
        if base_model not in self._bases:
            from tunery.engine.resident import loaded_base

            read = {name for _, _, name in self._portions.values()}
            idle = [name for name, loaded in self._bases.items() if loaded.is_idle and name not in read]
            for name in idle[: max(0, len(self._bases) + 1 - MAX_BASES)]:
                del self._bases[name]
            resident = loaded_base(base_model, self._data_folder)
            self._bases[base_model] = _Loaded(resident, [_Batch(resident.generator())])
        self._bases.move_to_end(base_model)
        loaded = self._bases[base_model]
        try:
            loaded.resident.require_whole(waits=False)
        except DataLoss as error:  # the answers it is giving now are wrong too
            for batch in loaded.batches:
                for asked in batch.asked.values():
                    self._channel.send(Refused(asked.number, error))
            del self._bases[base_model]
            raise
        return loaded

    def _slot(self, loaded: _Loaded, question: Question, digest: str) -> int:
        """Return the slot of an adapter, reading and checking it if it is not in memory."""
        from tunery.engine.adapter import read_adapter

        assert question.adapter is not None
        if digest not in loaded.adapters:
            published = open_published(*question.adapter)
            adapter = read_adapter(folder.epoch_folder(published, question.epoch), loaded.resident.network)
            _make_room(loaded, adapter.flat.nbytes)
            loaded.adapters[digest] = _Adapter(loaded.resident.add(adapter), adapter.flat.nbytes)
        loaded.adapters.move_to_end(digest)
        return loaded.adapters[digest].slot


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded(
        f"The request waited {MAX_WAIT_SECONDS:.0f} s for its turn. The server is busy; try again later."
    )


def count_rows(number: int, resident: ResidentBase, examples: Sequence[TuningExample]) -> RowsCounted:
    """Count the tokens of examples as tuning reads them."""
    portions = counted_in_portions(number, resident.encoder, _kept(resident), examples)
    return next(done for done in portions if done is not None)


def _kept(resident: ResidentBase) -> KeptWeights:
    from tunery.engine.base import kept_in

    return kept_in(resident.folder, resident.network.dtype, resident.network.device)


def counted_in_portions(
    number: int, encoder: Encoder, kept: KeptWeights, examples: Sequence[TuningExample]
) -> Iterator[RowsCounted | None]:
    """Count the tokens of examples as tuning reads them: yield None after each portion, the counts at the end."""
    from tunery.engine.encoding import shared_prefix_tokens

    beyond: dict[int, int] = {}
    rows: list[EncodedExample] = []
    for start, portion in _portions(examples):
        found = encoder.outputs_beyond_window(portion)
        beyond |= {start + place: tokens for place, tokens in found.items()}
        yield None
    for _, portion in [] if beyond else _portions(examples):
        rows += map(encoder.example, portion)
        yield None
    yield RowsCounted(
        number,
        tuple(len(row.token_ids) for row in rows),
        tuple(place for place, row in enumerate(rows) if row.was_cut),
        shared_prefix_tokens(rows) if len(rows) > 1 else 0,
        kept,
        beyond,
    )


def rendered_in_portions(
    number: int, encoder: Encoder, examples: Sequence[TuningExample]
) -> Iterator[RowsRendered | None]:
    """Render examples as tuning reads them: yield None after each portion, the texts at the end."""
    texts: list[str] = []
    for _, portion in _portions(examples):
        texts += map(encoder.row_text, portion)
        yield None
    yield RowsRendered(number, tuple(texts))


def _read_in_portions(resident: ResidentBase, message: ReadStates) -> Iterator[StatesRead | None]:
    """Read prompts for their mean states: yield None after each portion, the states at the end."""
    states: list[Sequence[float]] = []
    for part in resident.mean_states(message.texts, message.preamble, message.rendering):
        states += part
        yield None
    yield StatesRead(message.number, tuple(states))


def _portions(examples: Sequence[TuningExample]) -> Iterator[tuple[int, Sequence[TuningExample]]]:
    """Yield examples a few at a time, with the index of the first."""
    start, characters = 0, 0
    for place, example in enumerate(examples):
        characters += len(example.text_input) + len(example.output)
        if place + 1 - start >= PORTION_ROWS or characters >= PORTION_CHARACTERS:
            yield start, examples[start : place + 1]
            start, characters = place + 1, 0
    if start < len(examples):
        yield start, examples[start:]


def _digest(question: Question) -> str | None:
    """Return the key of an adapter in memory: the digest of its manifest, and the epoch unless it is the chosen one."""
    if question.adapter is None:
        return None
    return question.adapter[1] if question.epoch is None else f"{question.adapter[1]}@{question.epoch}"


def _fitted(resident: ResidentBase, question: Question) -> tuple[Sequence[int], SamplingSettings]:
    """Return the prompt, and the settings with output tokens limited to the rest of the window."""
    prompt = resident.encoder_for(question.rendering).conversation(question.turns)
    room = resident.encoder.window_tokens - len(prompt)
    return prompt, replace(question.settings, max_output_tokens=max(1, min(question.settings.max_output_tokens, room)))


def _make_room(loaded: _Loaded, needed_bytes: int) -> None:
    used = sum(adapter.bytes for adapter in loaded.adapters.values())
    running = {asked.digest for batch in loaded.batches for asked in batch.asked.values()}
    for digest in [digest for digest in loaded.adapters if digest not in running]:
        if used + needed_bytes <= ADAPTER_BYTES:
            return
        adapter = loaded.adapters.pop(digest)
        loaded.resident.remove(adapter.slot)
        used -= adapter.bytes
