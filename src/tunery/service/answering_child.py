"""
The child process that answers: it holds bases and adapters in memory and decodes all running answers together.

Questions come over its channel, pieces of text go back as they are generated. Adapters are identified by the digest of
their manifest, checked when they are read, and dropped when unused and room is needed.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunery.errors import DeadlineExceeded, TuneryError, as_tunery_error
from tunery.files import open_published
from tunery.service import folder
from tunery.service.process import Channel
from tunery.types import SamplingSettings, TuningExample, Turn

if TYPE_CHECKING:
    from tunery.engine.answers.generator import Generator, Piece
    from tunery.engine.resident import ResidentBase

MAX_WAIT_SECONDS = 30.0  # a question that waits longer is refused
ADAPTER_BYTES = 1 << 30  # limit of adapters in memory: 50 of the default base at rank 16
MAX_BASES = 2

_log = logging.getLogger("tunery.answering")


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt for a base, or for a tuned model: `adapter` is its folder and the digest of its manifest."""

    base_model: str
    turns: tuple[Turn, ...]
    settings: SamplingSettings = field(default_factory=SamplingSettings)
    adapter: tuple[Path, str] | None = None
    epoch: int | None = None  # one of the kept epochs instead of the chosen one


@dataclass(frozen=True, slots=True)
class Ask:
    """To the child: answer this question."""

    number: int
    question: Question


@dataclass(frozen=True, slots=True)
class Count:
    """To the child: count the tokens of this prompt."""

    number: int
    question: Question


@dataclass(frozen=True, slots=True)
class CountRows:
    """To the child: count the tokens of these examples, prompt and answer, as tuning reads them."""

    number: int
    base_model: str
    examples: tuple[TuningExample, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RenderRows:
    """To the child: render these examples as tuning reads them, with template and special tokens."""

    number: int
    base_model: str
    examples: tuple[TuningExample, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Drop:
    """To the child: stop answering this question."""

    number: int


@dataclass(frozen=True, slots=True)
class Warm:
    """To the child: load this base ahead of the first question."""

    base_model: str


@dataclass(frozen=True, slots=True)
class AnswerChunk:
    """From the child: new text; `finish_reason` "STOP" or "MAX_TOKENS" comes with the last piece."""

    number: int
    text: str
    finish_reason: str | None
    prompt_tokens: int
    output_tokens: int
    label_probabilities: tuple[tuple[str, float], ...] = ()


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
    cut: tuple[int, ...]  # indexes of the examples that the window cuts
    prefix: int  # tokens that all examples share at their beginning
    weight_bytes: int  # of a number in the weights: 2 for bfloat16, 4 for float32
    beyond: dict[int, int] = field(default_factory=dict)  # see `Encoder.outputs_beyond_window`


@dataclass(frozen=True, slots=True)
class RowsRendered:
    """From the child: the text of each example as tuning reads it."""

    number: int
    texts: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """From the child: this cannot be answered, or the answer broke off."""

    number: int
    error: TuneryError


@dataclass(slots=True)
class _Asked:
    """A question being answered: its number, its adapter, and since when it waits."""

    number: int
    digest: str | None
    prompt_tokens: int
    since: float
    output_tokens: int = 0


@dataclass(slots=True)
class _Adapter:
    slot: int
    bytes: int


@dataclass(slots=True)
class _Loaded:
    """A base with its running answers, by the generator's numbers, and its adapters, least recently used first."""

    resident: ResidentBase
    generator: Generator
    asked: dict[int, _Asked] = field(default_factory=dict)
    adapters: OrderedDict[str, _Adapter] = field(default_factory=OrderedDict)


def answering_child(channel: Channel, data_folder: Path) -> None:
    """Run the child: answer until the server ends."""
    channel.show_life()
    child = _AnsweringChild(channel, data_folder)
    while True:
        child.turn()


class _AnsweringChild:
    def __init__(self, channel: Channel, data_folder: Path) -> None:
        self._channel, self._data_folder = channel, data_folder
        self._bases: OrderedDict[str, _Loaded] = OrderedDict()

    def turn(self) -> None:
        """Take the messages that arrived, then do one step of each base with running answers."""
        self._take_messages()
        for loaded in self._bases.values():
            self._refuse_late(loaded)
            if loaded.asked:
                self._step(loaded)

    def _take_messages(self) -> None:
        is_idle = not any(loaded.asked for loaded in self._bases.values())
        try:
            message = self._channel.messages.get(block=is_idle)
            while True:
                self._take(message)
                message = self._channel.messages.get_nowait()
        except queue.Empty:
            pass

    def _take(self, message: object) -> None:
        match message:
            case Ask() | Count() | CountRows() | RenderRows():
                try:
                    self._take_question(message)
                except Exception as error:  # noqa: BLE001  # one question must not end the others
                    if not isinstance(error, TuneryError):
                        _log.exception("A question could not be taken")
                    self._channel.send(Refused(message.number, as_tunery_error(error)))
            case Drop(number):
                self._drop(number)
            case Warm(base_model):
                try:
                    self._warm(base_model)
                except Exception as error:  # noqa: BLE001  # the question that needs the base will report it
                    _log.warning("The base %s was not loaded ahead: %r", base_model, error)

    def _take_question(self, message: Ask | Count | CountRows | RenderRows) -> None:
        match message:
            case Ask(number, question):
                self._begin(number, question)
            case Count(number, question):
                prompt = self._loaded(question.base_model).resident.encoder.conversation(question.turns)
                self._channel.send(Counted(number, len(prompt)))
            case CountRows(number, base_model, examples):
                self._channel.send(count_rows(number, self._loaded(base_model).resident, examples))
            case RenderRows(number, base_model, examples):
                encoder = self._loaded(base_model).resident.encoder
                self._channel.send(RowsRendered(number, tuple(encoder.row_text(example) for example in examples)))

    def _begin(self, number: int, question: Question) -> None:
        from tunery.engine.answers.generator import Request

        loaded = self._loaded(question.base_model)
        prompt, settings = _fitted(loaded.resident, question)
        digest = _digest(question)
        slot = None if digest is None else self._slot(loaded, question, digest)
        own_number = loaded.generator.submit(Request(tuple(prompt), settings, slot))
        loaded.asked[own_number] = _Asked(number, digest, len(prompt), time.monotonic())

    def _warm(self, base_model: str) -> None:
        from tunery.engine.answers.generator import Request

        resident = self._loaded(base_model).resident
        prompt = resident.encoder.conversation((Turn("user", "Hello"),))
        # the first step prepares the weights for decoding
        generator = self._loaded(base_model).generator
        number = generator.submit(Request(tuple(prompt), SamplingSettings(max_output_tokens=2)))
        while not generator.is_idle and not self._loaded(base_model).asked:
            generator.step()
        generator.drop(number)

    def _step(self, loaded: _Loaded) -> None:
        try:
            pieces = loaded.generator.step()
        except Exception as error:  # noqa: BLE001  # one question must not end the others
            _log.exception("A decoding step failed; its answers end")
            shown = error if isinstance(error, TuneryError) else TuneryError("The answer was cut off. Ask again.")
            for asked in loaded.asked.values():
                self._channel.send(Refused(asked.number, shown))
            loaded.asked.clear()
            loaded.generator = loaded.resident.generator()
            return
        for piece in pieces:
            self._send(loaded, piece)

    def _send(self, loaded: _Loaded, piece: Piece) -> None:
        asked = loaded.asked.get(piece.number)
        if asked is None:
            return
        if piece.finish_reason:
            del loaded.asked[piece.number]
        tokens = (asked.prompt_tokens, piece.tokens)
        self._channel.send(
            AnswerChunk(asked.number, piece.text, piece.finish_reason, *tokens, piece.label_probabilities)
        )

    def _drop(self, number: int) -> None:
        for loaded in self._bases.values():
            for own_number, asked in list(loaded.asked.items()):
                if asked.number == number:
                    loaded.generator.drop(own_number)
                    del loaded.asked[own_number]

    def _refuse_late(self, loaded: _Loaded) -> None:
        latest = time.monotonic() - MAX_WAIT_SECONDS
        for own_number in loaded.generator.waiting:
            asked = loaded.asked.get(own_number)
            if asked is not None and asked.since < latest:
                loaded.generator.drop(own_number)
                del loaded.asked[own_number]
                text = f"The request waited {MAX_WAIT_SECONDS:.0f} s for its turn. The server is busy; try again later."
                self._channel.send(Refused(asked.number, DeadlineExceeded(text)))

    def _loaded(self, base_model: str) -> _Loaded:
        """Return a base, loading it if needed; an idle one may be dropped for it."""
        if base_model not in self._bases:
            from tunery.engine.resident import loaded_base

            idle = [name for name, loaded in self._bases.items() if not loaded.asked]
            for name in idle[: max(0, len(self._bases) + 1 - MAX_BASES)]:
                del self._bases[name]
            resident = loaded_base(base_model, self._data_folder)
            self._bases[base_model] = _Loaded(resident, resident.generator())
        self._bases.move_to_end(base_model)
        return self._bases[base_model]

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


def count_rows(number: int, resident: ResidentBase, examples: Sequence[TuningExample]) -> RowsCounted:
    """Count the tokens of examples as tuning reads them."""
    from tunery.engine.encoding import shared_prefix_tokens

    beyond = resident.encoder.outputs_beyond_window(examples)
    rows = [] if beyond else resident.encoder.examples(examples)
    return RowsCounted(
        number,
        tuple(len(row.token_ids) for row in rows),
        tuple(place for place, row in enumerate(rows) if row.was_cut),
        shared_prefix_tokens(rows) if len(rows) > 1 else 0,
        resident.network.dtype.itemsize,
        beyond,
    )


def _digest(question: Question) -> str | None:
    """Return the key of an adapter in memory: the digest of its manifest, and the epoch unless it is the chosen one."""
    if question.adapter is None:
        return None
    return question.adapter[1] if question.epoch is None else f"{question.adapter[1]}@{question.epoch}"


def _fitted(resident: ResidentBase, question: Question) -> tuple[Sequence[int], SamplingSettings]:
    """Return the prompt, and the settings with output tokens limited to the rest of the window."""
    prompt = resident.encoder.conversation(question.turns)
    room = resident.encoder.window_tokens - len(prompt)
    return prompt, replace(question.settings, max_output_tokens=max(1, min(question.settings.max_output_tokens, room)))


def _make_room(loaded: _Loaded, needed_bytes: int) -> None:
    used = sum(adapter.bytes for adapter in loaded.adapters.values())
    running = {asked.digest for asked in loaded.asked.values()}
    for digest in [digest for digest in loaded.adapters if digest not in running]:
        if used + needed_bytes <= ADAPTER_BYTES:
            return
        adapter = loaded.adapters.pop(digest)
        loaded.resident.remove(adapter.slot)
        used -= adapter.bytes
