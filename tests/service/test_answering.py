"""The parent's side of answering, with fake children: bounded, and intact when a child dies or freezes."""

from __future__ import annotations

import os
import queue
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.served import wait_until
from tunery.errors import ResourceExhausted, Unavailable
from tunery.service import answering as module
from tunery.service.answering import Answering, Pace, Reply
from tunery.service.answering_child import AnswerChunk, Ask, Beside, Drop, Question, Refused
from tunery.service.process import Alive, Channel
from tunery.types import Turn

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither kill -9 nor SIGSTOP")


def echo(channel: Channel, data_folder: Path) -> None:  # noqa: ARG001
    """Answer each question with its text, or with what it was told to be "beside"; keep silent on "wait"."""
    is_tuning = False
    while True:
        try:
            message = channel.messages.get(timeout=0.2)
        except queue.Empty:
            channel.send(Alive())
            continue
        match message:
            case Beside():
                is_tuning = message.is_tuning
            case Ask(number, question) if question.turns[0].text == "beside":
                channel.send(AnswerChunk(number, "tuning" if is_tuning else "nothing", "STOP", 1, 1))
            case Ask(number, question) if question.turns[0].text != "wait":
                channel.send(AnswerChunk(number, question.turns[0].text, None, 1, 1))
                channel.send(AnswerChunk(number, "!", "STOP", 1, 2))
            case Drop(number):
                channel.send(AnswerChunk(number, "late", "STOP", 1, 1))


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Answering]:
    answering = Answering(tmp_path, max_waiting=2, lease_seconds=1, main=echo)
    yield answering
    answering.stop()


def asked(answering: Answering, text: str) -> queue.SimpleQueue[Reply]:
    arrived: queue.SimpleQueue[Reply] = queue.SimpleQueue()
    answering.ask(Question("tiny", (Turn("user", text),)), arrived.put)
    return arrived


def said(arrived: queue.SimpleQueue[Reply]) -> Reply:
    return arrived.get(timeout=30)


def text_of(arrived: queue.SimpleQueue[Reply]) -> str:
    answer = said(arrived)
    assert isinstance(answer, AnswerChunk)
    return answer.text


def test_pieces_come_as_they_are_made(answering: Answering) -> None:
    """The pieces of an answer reach its listener in order; afterwards nothing of it is kept."""
    arrived = asked(answering, "hello")

    pieces = [said(arrived), said(arrived)]
    assert [piece.text for piece in pieces if isinstance(piece, AnswerChunk)] == ["hello", "!"]
    assert (answering.waiting, answering.running) == (0, 0)


def test_too_many_that_wait_are_refused(answering: Answering) -> None:
    """Beyond the limit of waiting questions another one is refused; a dropped one makes room."""
    asked(answering, "wait")
    number = answering.ask(Question("tiny", (Turn("user", "wait"),)), lambda _: None)
    with pytest.raises(ResourceExhausted, match="2 requests are already waiting"):
        asked(answering, "hello")

    answering.drop(number)

    assert isinstance(said(asked(answering, "hello")), AnswerChunk)


def test_one_user_leaves_room_for_others(tmp_path: Path) -> None:
    """Three of four that may wait are the most of one user; counts are counted like questions."""
    answering = Answering(tmp_path, max_waiting=4, main=echo)
    wait = Question("tiny", (Turn("user", "wait"),))
    try:
        for asked in (answering.ask, answering.count, answering.ask):
            asked(wait, lambda _: None, "mallory")
        for refused in (answering.ask, answering.count):
            with pytest.raises(ResourceExhausted, match="3 of your requests are already waiting"):
                refused(wait, lambda _: None, "mallory")
        answering.require_room("ann")
        with pytest.raises(ResourceExhausted, match="3 requests are already waiting"):
            answering.require_room("ann", 2)
        answering.ask(wait, lambda _: None, "ann")
        with pytest.raises(ResourceExhausted, match="4 requests are already waiting"):
            answering.count(wait, lambda _: None, "bob")
    finally:
        answering.stop()


def test_the_pace_is_that_of_questions_that_wait() -> None:
    """Sixteen that begin 2 s after each other while more wait: 2 s; as many that found room at once: none."""
    pace = Pace()
    for number in range(1, 18):
        pace.note(since=0.5, now=2.0 * number)
    assert pace.seconds == 2.0
    for number in range(18, 34):
        pace.note(since=2.0 * number - 0.1, now=2.0 * number)
    assert pace.seconds == 0.0


def test_what_would_wait_too_long_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the pace of the last answers a user's second question would wait too long; another user's first is taken."""
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.0)
    answering = Answering(tmp_path, main=echo)
    wait = Question("tiny", (Turn("user", "wait"),))
    try:
        for now in (1.0, 2.0):
            answering._pace.note(since=0.5, now=now)
        answering.ask(wait, lambda _: None, "mallory")
        with pytest.raises(ResourceExhausted, match="would wait about"):
            answering.ask(wait, lambda _: None, "mallory")
        answering.ask(wait, lambda _: None, "ann")
    finally:
        answering.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_child_that_dies_or_freezes_is_replaced(answering: Answering, number: signal.Signals) -> None:
    """Its questions are refused as unavailable, and the next question is answered by another child."""
    said(asked(answering, "hello"))
    lost = asked(answering, "wait")
    pid = answering.child_pid
    assert pid is not None
    os.kill(pid, number)

    refused = said(lost)
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, Unavailable)
    assert isinstance(said(asked(answering, "hello")), AnswerChunk)
    assert answering.child_pid != pid


def test_a_frozen_child_does_not_hold_up_who_asks_or_leaves(answering: Answering) -> None:
    """Asking questions larger than the pipe and dropping them return while the child is frozen."""
    said(asked(answering, "hello"))
    assert answering.child_pid is not None
    os.kill(answering.child_pid, signal.SIGSTOP)

    for _ in range(5):
        number = answering.ask(Question("tiny", (Turn("user", "x" * 100_000),)), lambda _: None)
        answering.drop(number)

    assert answering.waiting == 0
    wait_until(lambda: isinstance(_tried(answering), AnswerChunk))


def test_the_child_knows_whether_a_tuning_job_runs(answering: Answering) -> None:
    """It is told when one begins and ends, and a child that starts meanwhile is told as well."""
    answering.start()
    with answering.beside_tuning():
        assert text_of(asked(answering, "beside")) == "tuning"
        assert answering.child_pid is not None
        pid = answering.child_pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: answering.is_ready() and answering.child_pid != pid)
        assert text_of(asked(answering, "beside")) == "tuning"
    assert text_of(asked(answering, "beside")) == "nothing"


def test_after_the_stop_nothing_is_asked(answering: Answering) -> None:
    """Running questions are refused when answering stops, and so is a new one."""
    lost = asked(answering, "wait")
    answering.stop()

    assert isinstance(said(lost), Refused)
    with pytest.raises(Unavailable, match="stopping"):
        asked(answering, "hello")


def _tried(answering: Answering) -> Reply:
    return said(asked(answering, "hello"))
