"""
Answers on their way to a client: pieces from the answering child as an asynchronous stream, and whole.

A client that goes away frees its row: leaving the stream drops the request. Knows asyncio and the child's values;
nothing of JSON.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from tunery.errors import TuneryError
from tunery.service.answering import Answer, Answering
from tunery.service.answering_child import Counted, Question, Refused, Said

T = TypeVar("T")


class ClientGone(TuneryError):
    """The client has closed the connection."""

    status, code = "CANCELLED", 1


@dataclass(frozen=True, slots=True)
class Whole:
    """A finished answer."""

    text: str
    finish_reason: str
    prompt_tokens: int
    output_tokens: int
    label_probabilities: tuple[tuple[str, float], ...] = ()


async def said(answering: Answering, questions: Sequence[Question]) -> AsyncGenerator[tuple[int, Said]]:
    """
    Ask, and yield the pieces of all answers as they come, each with the place of its question.

    Raises what the child refused with.
    """
    arrived: asyncio.Queue[tuple[int, Answer]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    numbers: list[int] = []
    try:
        for place, question in enumerate(questions):
            numbers.append(await run_in_threadpool(answering.ask, question, _Listener(loop, arrived, place)))
        left = len(numbers)
        while left:
            place, answer = await arrived.get()
            if isinstance(answer, Refused):
                raise answer.error
            assert isinstance(answer, Said)
            left -= answer.finish_reason is not None
            yield place, answer
    finally:
        for number in numbers:
            answering.drop(number)


async def whole(answering: Answering, questions: Sequence[Question]) -> list[Whole]:
    """Return the finished answers to some questions."""
    texts = [""] * len(questions)
    ends: list[Said | None] = [None] * len(questions)
    async with aclosing(said(answering, questions)) as pieces:
        async for place, piece in pieces:
            texts[place] += piece.text
            ends[place] = piece
    return [
        Whole(text, end.finish_reason or "STOP", end.prompt_tokens, end.output_tokens, end.label_probabilities)
        for text, end in zip(texts, ends, strict=True)
        if end is not None
    ]


async def counted(answering: Answering, question: Question) -> int:
    """Return how many tokens the prompt of a question has."""
    arrived: asyncio.Queue[tuple[int, Answer]] = asyncio.Queue()
    listener = _Listener(asyncio.get_running_loop(), arrived, 0)
    await run_in_threadpool(answering.count, question, listener)
    _, answer = await arrived.get()
    if isinstance(answer, Refused):
        raise answer.error
    assert isinstance(answer, Counted)
    return answer.tokens


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Return what `work` returns; if the client goes away first, end it and raise ClientGone."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        for task in (working, leaving):
            task.cancel()
        with suppress(asyncio.CancelledError, TuneryError):
            await working


async def with_first(pieces: AsyncGenerator[tuple[int, Said]]) -> AsyncIterator[tuple[int, Said]]:
    """Return the pieces once the first has come, so that an error before it is still an ordinary reply."""
    first = await anext(pieces)

    async def again() -> AsyncIterator[tuple[int, Said]]:
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    return again()


class _Listener:
    """Hands what the child says from the thread that reads it to the loop that waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, arrived: asyncio.Queue[tuple[int, Answer]], place: int) -> None:
        self._loop, self._arrived, self._place = loop, arrived, place

    def __call__(self, answer: Answer) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everybody who waited
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, (self._place, answer))


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
