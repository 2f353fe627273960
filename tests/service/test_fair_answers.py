"""Users take turns of equal time in the answering child, however much each has asked; without processes or tensors."""

from __future__ import annotations

import queue
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tunery.engine.answers.generator import Piece, Request
from tunery.engine.memory import KeptWeights
from tunery.service import answering_child
from tunery.service.answering_child import (
    BESIDE_TUNING,
    HEAD_START_SECONDS,
    SAVED_SECONDS,
    AnswerChunk,
    AnsweringChild,
    Ask,
    Beside,
    Count,
    Counted,
    CountRows,
    Drop,
    Question,
    ReadStates,
    Refused,
    RowsCounted,
    StatesRead,
    Turns,
)
from tunery.service.process import Channel
from tunery.types import SamplingSettings, TuningExample, Turn

STEP, COUNT = 1.0, 0.3  # seconds of a row in a step, and of a count


class Clock:
    def __init__(self) -> None:
        self.now = self.slept = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


class FakeGenerator:
    """Answers of as many tokens as asked for; a step takes as long as it has rows."""

    cache_bytes = others_bytes = 0

    def __init__(self, clock: Clock) -> None:
        self._clock, self._left, self.most = clock, dict[int, int](), 0
        self._numbers = 0
        self.waiting: list[int] = []

    def submit(self, request: Request) -> int:
        self._numbers += 1
        self._left[self._numbers] = request.settings.max_output_tokens
        return self._numbers

    def drop(self, number: int) -> None:
        self._left.pop(number, None)

    def step(self) -> list[Piece]:
        self._clock.now += STEP * len(self._left)
        self.most = max(self.most, len(self._left))
        pieces = []
        for number in list(self._left):
            self._left[number] -= 1
            is_last = not self._left[number]
            pieces.append(Piece(number, "a", "STOP" if is_last else None, 1))
            if is_last:
                del self._left[number]
        return pieces


class FakeEncoder:
    window_tokens = 100_000

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def conversation(self, turns: Sequence[Turn]) -> list[int]:
        if turns[0].text == "count":
            self._clock.now += COUNT
        return [1]

    def outputs_beyond_window(self, _: Sequence[TuningExample]) -> dict[int, int]:
        return {}

    def example(self, _: TuningExample) -> Any:
        self._clock.now += COUNT
        return SimpleNamespace(token_ids=(1, 2), was_cut=False)


class Stage:
    """An answering child without a base, and what it sent, each with its time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.sent: list[tuple[float, Any]] = []
        self.generators: list[FakeGenerator] = []
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        channel = SimpleNamespace(
            messages=self._messages, send=lambda message: self.sent.append((self.clock.now, message))
        )
        monkeypatch.setattr(answering_child, "time", self.clock)
        monkeypatch.setattr(answering_child, "_kept", lambda _resident: KeptWeights())
        self.child = AnsweringChild(cast(Channel, channel), Path())
        encoder = FakeEncoder(self.clock)
        resident = SimpleNamespace(
            encoder=encoder,
            encoder_for=lambda _rendering: encoder,
            generator=self._generator,
            mean_states=self._mean_states,
        )
        batches = [answering_child._Batch(resident.generator())]
        loaded = answering_child._Loaded(cast(Any, resident), batches)
        monkeypatch.setattr(self.child, "_loaded", lambda _: loaded)
        self.child._bases["base"] = loaded

    def _generator(self) -> Any:
        self.generators.append(FakeGenerator(self.clock))
        return self.generators[-1]

    def _mean_states(self, texts: Sequence[str], _preamble: str, _rendering: object) -> Iterator[list[list[float]]]:
        for text in texts:
            self.clock.now += COUNT
            yield [[float(text)]]

    def put(self, *messages: object) -> None:
        for message in messages:
            self._messages.put(message)

    def play(self, number: int, kind: type = AnswerChunk) -> float:
        """Let the child work until a question is answered; return when."""
        for _ in range(1000):
            self.child.turn()
            for when, message in self.sent:
                is_refused = isinstance(message, Refused) and message.number == number
                assert kind is Refused or not is_refused, message
                is_it = isinstance(message, kind) and getattr(message, "number", 0) == number
                if is_it and getattr(message, "finish_reason", "STOP"):
                    return when
        raise AssertionError("it was not answered")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def ask(number: int, user: str, tokens: int = 4) -> Ask:
    settings = SamplingSettings(max_output_tokens=tokens)
    return Ask(number, Question("base", (Turn("user", "ask"),), settings), user)


def count(number: int, user: str) -> Count:
    return Count(number, Question("base", (Turn("user", "count"),)), user)


def test_a_short_answer_does_not_wait_for_the_long_ones_of_another_user(stage: Stage) -> None:
    """Beside sixteen answers of somebody else, four tokens take four steps, and one of the others' steps."""
    stage.put(*(ask(number, "mallory", 25) for number in range(1, 17)))
    stage.child.turn()
    began = stage.clock.now

    stage.put(ask(100, "ann"))

    assert stage.play(100) - began <= 4 * STEP + 16 * STEP


def test_counts_of_one_user_do_not_hold_up_the_answers_of_another(stage: Stage) -> None:
    """Forty counts that arrive together take no more time than the answer beside them."""
    stage.put(ask(100, "ann", 6), *(count(number, "mallory") for number in range(1, 41)))

    assert stage.play(100) <= 2 * 6 * STEP + 2 * COUNT
    stage.play(40, Counted)


def test_many_rows_are_counted_a_few_at_a_time(stage: Stage) -> None:
    """Answers go on between two portions of the rows of another user, and the counts are complete."""
    rows = tuple(TuningExample(str(number), "x") for number in range(1000))
    stage.put(CountRows(1, "base", rows, "mallory"), ask(100, "ann"))

    answered = stage.play(100)

    assert answered <= 4 * STEP + 2 * 64 * COUNT
    stage.play(1, RowsCounted)
    (counted,) = (message for _, message in stage.sent if isinstance(message, RowsCounted))
    assert (len(counted.tokens), set(counted.tokens)) == (1000, {2})


def test_states_are_read_a_few_at_a_time(stage: Stage) -> None:
    """Answers go on between the prompts of an evaluation, and the states come in the order of the prompts."""
    stage.put(ReadStates(1, "base", tuple(map(str, range(64))), "", user="background"), ask(100, "ann"))

    assert stage.play(100) <= 2 * 4 * STEP + COUNT
    stage.play(1, StatesRead)
    (read,) = (message for _, message in stage.sent if isinstance(message, StatesRead))
    assert read.states == tuple([float(number)] for number in range(64))


def test_single_answers_of_several_users_share_a_batch(stage: Stage) -> None:
    """Eight users with one question each are decoded together, as eight questions of one user are."""
    stage.put(*(ask(number, f"user{number}", 40) for number in range(8)))
    for _ in range(8):
        stage.child.turn()
    assert len(stage.generators) == 1

    stage.put(*(ask(number, "user7") for number in range(100, 104)))
    stage.play(103)
    assert len(stage.generators) == 2


def test_one_user_alone_has_one_batch(stage: Stage) -> None:
    """Nothing changes for a user without others: all answers begin together."""
    stage.put(*(ask(number, "ann") for number in range(16)))
    stage.play(15)

    assert (len(stage.generators), stage.generators[0].most) == (1, 16)


def test_what_was_dropped_or_waited_too_long_is_not_begun(stage: Stage) -> None:
    """A question whose client has gone is forgotten, one that waited 30 s is refused."""
    stage.put(ask(1, "mallory", 40), ask(2, "mallory"), Drop(2))
    stage.child.turn()
    assert stage.generators[0].most == 1

    stage.put(count(3, "mallory"))
    stage.child._take_messages()
    stage.clock.now += 31
    stage.play(3, Refused)


def test_nobody_saves_up_more_than_a_head_start() -> None:
    """Whoever was away for long is a little behind the least of those who were there, not all the time of others."""
    turns = Turns()
    for _ in range(10):
        assert turns.next(["ann"]) == "ann"
        turns.charge("ann", 1)
    assert turns.next(["ann", "bob"]) == "bob"
    turns.charge("bob", HEAD_START_SECONDS + 0.5)
    assert turns.next(["ann", "bob"]) == "ann"
    turns.charge("ann", 1)
    assert turns.next(["ann", "bob"]) == "bob"


def test_a_short_answer_is_not_interrupted_by_the_steps_of_others() -> None:
    """All turns of a user who comes back are next to each other, until the head start is used up."""
    turns = Turns()
    turns.next(["ann"])
    turns.charge("ann", 100)
    turn = HEAD_START_SECONDS / 4
    for _ in range(4):
        assert turns.next(["ann", "bob"]) == "bob"
        turns.charge("bob", turn)
    assert turns.next(["ann", "bob"]) == "ann"


def test_many_short_answers_have_no_more_time_than_a_long_one() -> None:
    """A user who asks again at once after each short answer has half of the time in the long run, not all of it."""
    turns, had = Turns(), Counter[str]()
    for _ in range(1000):
        user = turns.next(["ann", "bob"])
        turns.charge(user, 0.1)
        had[user] += 1
        if user == "bob":
            assert turns.next(["ann"]) == "ann"  # bob's answer has ended, the next question is not there yet
    assert had["bob"] == pytest.approx(500, abs=HEAD_START_SECONDS / 0.1)


def test_long_answers_leave_a_tuning_job_its_part_of_the_time(stage: Stage) -> None:
    """Two long answers beside a tuning job pause after steps, in all for the part that is not theirs."""
    stage.put(Beside(is_tuning=True), ask(1, "ann", 100), ask(2, "ann", 100))

    ended = stage.play(2)

    expected = (1 - BESIDE_TUNING) * ended - SAVED_SECONDS
    assert stage.clock.slept == pytest.approx(expected, abs=2 * STEP)


def test_a_short_answer_beside_a_tuning_job_has_no_pause(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of less than `SAVED_SECONDS` is not slowed, nor is the next after a rest."""
    monkeypatch.setattr(sys.modules[__name__], "STEP", SAVED_SECONDS / 4)
    stage.put(Beside(is_tuning=True))
    for number in (1, 2):
        stage.put(ask(number, "ann"))
        stage.play(number)
        assert not stage.clock.slept
        stage.clock.now += SAVED_SECONDS / BESIDE_TUNING


def test_without_a_tuning_job_no_answer_has_a_pause(stage: Stage) -> None:
    """Before a tuning job begins, and after it has ended, long answers go on step after step."""
    stage.put(ask(1, "ann", 50))
    stage.play(1)
    stage.put(Beside(is_tuning=True), Beside(is_tuning=False), ask(2, "ann", 50))
    stage.play(2)

    assert not stage.clock.slept
