"""Places for long work: who gets one, who waits, who is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tunery.errors import ResourceExhausted
from tunery.server.shares import Places


class Stage:
    """Callers who ask for places and hold them until they are told to leave."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.order: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def enter(self, caller: str, number: int = 0) -> str:
        key = f"{caller}{number}"
        self._leave[key] = asyncio.Event()

        async def hold() -> None:
            async with self._places.place(caller):
                self.order.append(key)
                await self._leave[key].wait()

        self.tasks[key] = asyncio.create_task(hold())
        await settle()
        return key

    async def leave(self, key: str) -> None:
        self._leave[key].set()
        await settle()

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def staged(size: int, line: int, play: Callable[[Stage], Awaitable[None]]) -> None:
    async def run() -> None:
        stage = Stage(Places("files are being read", size, line))
        try:
            await play(stage)
        finally:
            await stage.end()

    asyncio.run(run())


def test_one_caller_gets_half_of_the_places() -> None:
    """The other half is free for others, at once."""

    async def play(stage: Stage) -> None:
        for number in range(4):
            await stage.enter("ann", number)
        assert stage.order == ["ann0", "ann1"]
        await stage.enter("bob")
        assert stage.order == ["ann0", "ann1", "bob0"]

    staged(4, 8, play)


def test_the_line_is_bounded_for_one_caller_and_for_all() -> None:
    """Whoever finds it full is refused at once; half of it is the most that one caller fills."""

    async def play(stage: Stage) -> None:
        for number in range(4):
            await stage.enter("ann", number)  # one place, two in line, one refused
        with pytest.raises(ResourceExhausted, match="Too many files are being read at the moment"):
            await stage.tasks["ann3"]
        for number in range(3):
            await stage.enter("bob", number)
        await stage.enter("cid")
        with pytest.raises(ResourceExhausted):
            await stage.tasks["cid0"]
        assert stage.order == ["ann0", "bob0"]

    staged(2, 4, play)


def test_who_holds_least_is_next() -> None:
    """A free place goes to the caller without one, however long another has waited for a second."""

    async def play(stage: Stage) -> None:
        for number in range(4):
            await stage.enter("ann", number)
        for caller in ("bob", "cid"):
            await stage.enter(caller)
        assert stage.order == ["ann0", "ann1", "bob0", "cid0"]
        await stage.enter("dan")
        await stage.leave("ann0")
        assert stage.order[-1] == "dan0"

    staged(4, 8, play)


def test_who_leaves_the_line_takes_no_place() -> None:
    """A client that has gone while it waited frees its place in line."""

    async def play(stage: Stage) -> None:
        await stage.enter("ann")
        await stage.enter("ann", 1)
        stage.tasks["ann1"].cancel()
        await settle()
        await stage.leave("ann0")
        await stage.enter("ann", 2)
        assert stage.order == ["ann0", "ann2"]

    staged(2, 2, play)


def test_work_runs_in_a_thread_and_its_error_comes_back() -> None:
    """The place is free again afterwards."""
    places = Places("files are being read", 1, 1)

    async def run() -> None:
        with pytest.raises(ZeroDivisionError):
            await places.run("ann", lambda: 1 // 0)
        assert await places.run("ann", lambda: 7) == 7

    asyncio.run(run())
