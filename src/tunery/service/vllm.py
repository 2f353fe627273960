"""
Answers from vLLM servers: the child process that is used in place of `answering_child`.

It takes the same messages. Prompts are rendered and encoded here, as for tuning, and sent as token ids; each server
("engine") computes one base and the adapters it is told to load. An adapter is known to engines by its digest, and its
questions go to the same engine as long as that has room, so that each engine holds only its part of all adapters.
"""

from __future__ import annotations

import asyncio
import bisect
import hashlib
import json
import logging
import math
import os
import shutil
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2

from tunery.engine.catalog import Catalog
from tunery.errors import (
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    TuneryError,
    Unavailable,
    as_tunery_error,
)
from tunery.files import open_published
from tunery.service import folder
from tunery.service.answering_child import (
    MAX_WAIT_SECONDS,
    AnswerChunk,
    Ask,
    Count,
    Counted,
    CountRows,
    Drop,
    Question,
    ReadStates,
    Refused,
    RenderRows,
    RowsCounted,
    RowsRendered,
    StatesRead,
    Warm,
    counted_in_portions,
    rendered_in_portions,
)
from tunery.service.process import Channel
from tunery.types import AnswerForm, SamplingSettings

if TYPE_CHECKING:
    from tunery.engine.encoding import Encoder, Encoders

POINTS = 64  # of each engine on the ring; four engines then had 18 to 30 % of 20,000 keys each
OVERLOAD = 1.25  # most questions of an engine, as a multiple of the mean (Mirrokni, Thorup and Zadimoghaddam 2018)
RUNNING_PER_ENGINE = 256  # questions; vLLM decodes as many together by default (--max-num-seqs)
ADAPTERS_PER_ENGINE = 256  # registered at an engine; it keeps fewer in memory (--max-loras, --max-cpu-loras)
LABELS_AT_ONCE = 64  # labels in one request
DOWN_SECONDS = 5.0  # in which a lost engine is not asked again
REACH_SECONDS = 2.0
TIMEOUT = httpx2.Timeout(60.0, connect=5.0)
FULL = (429, 503)
_PROBE = "Straße 12, \U0001f600 0.75 %\n\tdef f(x): return x"  # encoded by both sides, to notice another tokenizer

_log = logging.getLogger("tunery.vllm")


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """A vLLM server, and the base that it serves; None for the default base."""

    url: str
    base_model: str | None = None

    @classmethod
    def read(cls, text: str) -> EngineAddress:
        """Read URL or BASE=URL; raises InvalidArgument."""
        name, _, url = text.partition("=") if "=" in text.partition("://")[0] else ("", "", text)
        if not url.startswith(("http://", "https://")):
            raise InvalidArgument(f"{text!r} is not the address of a vLLM server. Give URL or BASE=URL, with http://.")
        return cls(url.rstrip("/"), name or None)


class Reach:
    """Whether any engine can be reached; known for REACH_SECONDS, since health is asked about often."""

    def __init__(self, addresses: Sequence[EngineAddress]) -> None:
        self._urls = [address.url for address in addresses]
        self._lock = threading.Lock()
        self._time, self._is_any_up = float("-inf"), False

    def __call__(self) -> bool:
        with self._lock:
            if time.monotonic() - self._time > REACH_SECONDS:
                self._is_any_up = self._ask()
                self._time = time.monotonic()
            return self._is_any_up

    def _ask(self) -> bool:
        """Ask all engines at once, and wait for the first that answers."""
        threads = ThreadPoolExecutor(len(self._urls))
        try:
            return any(found.result() for found in as_completed(threads.submit(_is_up, url) for url in self._urls))
        finally:
            threads.shutdown(wait=False)


def _is_up(url: str) -> bool:
    try:
        with httpx2.Client(timeout=httpx2.Timeout(3.0, connect=1.0), trust_env=False) as client:
            return client.get(f"{url}/v1/models").is_success
    except httpx2.HTTPError:
        return False


class Ring:
    """
    A consistent hash of names: those that go away or come back move only their own share of the keys.

    Karger et al. 1997; with a limit on the load of each name, see `OVERLOAD`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        points = sorted((_place(f"{name}#{point}"), name) for name in names for point in range(POINTS))
        self._places = [place for place, _ in points]
        self._names = [name for _, name in points]

    def order(self, key: str) -> list[str]:
        """Return all names, beginning with the one that the key belongs to, then the ones that stand in for it."""
        start = bisect.bisect(self._places, _place(key))
        return list(dict.fromkeys(self._names[start:] + self._names[:start]))

    def choice(self, key: str, loads: Mapping[str, int]) -> list[str]:
        """Return the names in `loads` in the order to try them: the overloaded ones last."""
        limit = math.ceil(OVERLOAD * (sum(loads.values()) + 1) / max(1, len(loads)))
        names = [name for name in self.order(key) if name in loads]
        return sorted(names, key=lambda name: loads[name] >= limit)


def _place(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


class Full(Exception):
    """The engine has no room for another question."""


class Lost(Exception):
    """The engine cannot be reached, or broke off."""


class Forgotten(Exception):
    """The engine does not have the adapter; it may have been restarted."""


class Engine:
    """One vLLM server: which adapters it has, how many questions it is answering, and whether it was lost."""

    def __init__(self, address: EngineAddress, client: httpx2.AsyncClient) -> None:
        self.address, self._client = address, client
        self.running = 0
        self.down_until = 0.0
        self._model: str | None = None  # what the engine calls its base
        self._window_tokens = 0
        self._adapters: OrderedDict[str, None] = OrderedDict()  # the least recently used first
        self._in_use: Counter[str] = Counter()
        self._loading: dict[str, asyncio.Lock] = {}  # one load however many questions wait for it

    @property
    def url(self) -> str:
        return self.address.url

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a question within the block; note a loss of the engine."""
        self.running += 1
        try:
            yield
        except Lost as lost:
            _log.warning("%s was lost: %s", self.url, lost)
            self.down_until = time.monotonic() + DOWN_SECONDS
            self.forget()
            raise
        finally:
            self.running -= 1

    def forget(self) -> None:
        """Forget what the engine has, since another one may have taken its place."""
        self._model = None
        self._adapters.clear()

    async def base(self, encoder: Encoder) -> str:
        """
        Return the engine's name for its base, and compare its tokenizer with ours once.

        Raises FailedPrecondition if they differ, since every answer would be wrong.
        """
        if self._model is None:
            known = (await self._json("GET", "/v1/models"))["data"]
            bases = [model for model in known if not model.get("parent")]
            if not bases:
                raise FailedPrecondition(f"{self.url} serves no base model.")
            name, window = bases[0]["id"], bases[0].get("max_model_len") or encoder.window_tokens
            body = {"model": name, "prompt": _PROBE, "add_special_tokens": False}
            theirs = (await self._json("POST", "/tokenize", body))["tokens"]
            if theirs != encoder.tokenizer.encode(_PROBE):
                raise FailedPrecondition(
                    f"{self.url} serves {name}, whose tokenizer is not that of the base"
                    f" {self.address.base_model}. Start it with the same base, or name its base: --vllm-url BASE=URL."
                )
            self._model, self._window_tokens = name, int(window)
        return self._model

    def room(self, prompt_tokens: int) -> int:
        """Return how many tokens an answer may have; raises InvalidArgument if there is no room for any."""
        if prompt_tokens >= self._window_tokens:
            raise InvalidArgument(
                f"The prompt has {prompt_tokens:,} tokens; the engine was started with a window of"
                f" {self._window_tokens:,}. Shorten it, or start vLLM with a larger --max-model-len."
            )
        return self._window_tokens - prompt_tokens

    @asynccontextmanager
    async def using(self, name: str, place: Callable[[], Path]) -> AsyncIterator[None]:
        """Load an adapter if the engine does not have it, and keep it there within the block."""
        self._in_use[name] += 1
        try:
            async with self._loading.setdefault(name, asyncio.Lock()):
                if name not in self._adapters:
                    await self._load(name, await asyncio.to_thread(place))
            self._adapters.move_to_end(name)
            yield
        except Forgotten:
            self._adapters.pop(name, None)
            raise
        finally:
            self._in_use[name] -= 1
            if not self._in_use[name]:
                del self._in_use[name]
                self._loading.pop(name, None)

    async def _load(self, name: str, path: Path) -> None:
        await self._make_room()
        status, text = await self._post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})
        if status >= 400 and "already" not in text:
            raise FailedPrecondition(
                f"{self.url} could not load the adapter {path}: {_said(text)} It needs --enable-lora, a"
                " --max-lora-rank that is high enough, VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and the same folder"
                " under the same path (--vllm-adapters)."
            )
        models = (await self._json("GET", "/v1/models"))["data"]
        if not any(model["id"] == name and model.get("parent") for model in models):
            raise Unavailable(f"{self.url} has not loaded the adapter {name[:12]}. Try again.")
        self._adapters[name] = None

    async def _make_room(self) -> None:
        spare = [name for name in self._adapters if name not in self._in_use]
        for name in spare[: max(0, len(self._adapters) + 1 - ADAPTERS_PER_ENGINE)]:
            del self._adapters[name]
            await self._post("/v1/unload_lora_adapter", {"lora_name": name})

    async def scores(self, model: str, prompt: Sequence[int], options: Sequence[Sequence[int]]) -> list[float]:
        """Return the log-likelihood of each option, token ids, after a prompt."""
        found: list[float] = []
        for start in range(0, len(options), LABELS_AT_ONCE):
            portion = options[start : start + LABELS_AT_ONCE]
            body = {
                "model": model, "prompt": [[*prompt, *option] for option in portion], "max_tokens": 1,
                "temperature": 0.0, "prompt_logprobs": 0,
            }  # fmt: skip
            reply = await self._json("POST", "/v1/completions", body)
            self._require_model(reply, model)
            choices = sorted(reply["choices"], key=lambda choice: choice["index"])
            for choice, option in zip(choices, portion, strict=True):
                told = choice["prompt_logprobs"][len(prompt) :]
                found.append(sum(each[str(token)]["logprob"] for each, token in zip(told, option, strict=True)))
        return found

    async def chunks(self, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield the choices of a streamed completion; raises Full, Lost, Forgotten and the errors of `_checked`."""
        with _losses():
            async with self._client.stream("POST", f"{self.url}/v1/completions", json=body) as reply:
                if reply.status_code >= 400:
                    _checked(reply.status_code, (await reply.aread()).decode("utf-8", "replace"))
                async for line in reply.aiter_lines():
                    data = line.removeprefix("data:").strip()
                    if not line.startswith("data:") or data == "[DONE]":
                        continue
                    chunk = json.loads(data)
                    if "error" in chunk:
                        raise Lost(_said(data))
                    self._require_model(chunk, body["model"])
                    for choice in chunk["choices"]:
                        yield choice

    def _require_model(self, reply: Mapping[str, Any], model: str) -> None:
        if reply.get("model") != model:
            raise DataLoss(f"{self.url} answered with {reply.get('model')} instead of {model}. The answer was dropped.")

    async def _json(self, method: str, path: str, body: object = None) -> Any:
        with _losses():
            reply = await self._client.request(method, self.url + path, json=body)
        _checked(reply.status_code, reply.text)
        return reply.json()

    async def _post(self, path: str, body: object) -> tuple[int, str]:
        with _losses():
            reply = await self._client.post(self.url + path, json=body)
        if reply.status_code in FULL:
            raise Full
        return reply.status_code, reply.text


@contextmanager
def _losses() -> Iterator[None]:
    try:
        yield
    except (httpx2.TransportError, json.JSONDecodeError) as error:
        raise Lost(str(error) or type(error).__name__) from error


def _checked(status: int, text: str) -> None:
    """Raise the error that the status of a reply stands for."""
    if status in FULL:
        raise Full
    if status == 404:
        raise Forgotten(text)
    if status >= 500:
        raise Lost(f"status {status}: {_said(text)}")
    if status >= 400:
        raise InvalidArgument(f"vLLM refused the request: {_said(text)}")


def _said(text: str) -> str:
    """Return the message in vLLM's body of an error."""
    try:
        found = json.loads(text)
    except ValueError:
        return text.strip()[:500]
    error = found.get("error", found) if isinstance(found, dict) else found
    return str(error.get("message", error) if isinstance(error, dict) else error)[:500]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question, ready to be sent."""

    number: int
    question: Question
    prompt: tuple[int, ...]
    encoder: Encoder
    name: str | None  # of the adapter at engines
    has_begun: list[None] = field(default_factory=list)  # not empty once a piece of the answer was passed on


def vllm_child(
    channel: Channel, data_folder: Path, engines: Sequence[EngineAddress], adapters: Path | None = None
) -> None:
    """
    Run the child: answer until the server ends.

    `adapters` is a folder that all engines see under the same path; adapters are copied there. None if engines see the
    data folder itself.
    """
    channel.show_life()
    asyncio.run(_VllmChild(channel, data_folder, engines, adapters).serve())


class _VllmChild:
    def __init__(
        self, channel: Channel, data_folder: Path, engines: Sequence[EngineAddress], adapters: Path | None
    ) -> None:
        self._channel, self._data_folder, self._adapters = channel, data_folder, adapters
        self._catalog = Catalog(data_folder)
        self._addresses = [self._named(address) for address in engines]
        self._ring = Ring([address.url for address in self._addresses])
        self._engines: dict[str, Engine] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._encoders = lru_cache(8)(self._read_encoders)

    def _named(self, address: EngineAddress) -> EngineAddress:
        entry = self._catalog.resolve(address.base_model or self._catalog.default_base)
        return EngineAddress(address.url, entry.alias_of or entry.name)

    def _read_encoders(self, base_model: str) -> Encoders:
        from tunery.engine.encoding import Encoders

        return Encoders.read(self._catalog.resolve(base_model), self._data_folder)

    async def serve(self) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
        async with httpx2.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False) as client:
            self._engines = {address.url: Engine(address, client) for address in self._addresses}
            self._places = asyncio.Semaphore(RUNNING_PER_ENGINE * len(self._engines))
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._pass_on, args=(loop,), name="messages", daemon=True).start()
            await loop.create_future()  # the child ends with its channel

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            loop.call_soon_threadsafe(self._take, self._channel.messages.get())

    def _take(self, message: object) -> None:
        match message:
            case Ask(number, question):
                self._begin(number, self._answer(number, question))
            case Count() | CountRows() | RenderRows():
                self._begin(message.number, self._read(message))
            case ReadStates(number):
                self._channel.send(StatesRead(number, ()))  # vLLM tells no states of a model that generates
            case Drop(number):
                if (task := self._tasks.get(number)) is not None:
                    task.cancel()  # closes the connection, and the engine stops
            case Warm(base_model):
                self._begin(0, self._warm(base_model))

    def _begin(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(self._refusing(number, work))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    async def _refusing(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  # one question must not end the others
            if not isinstance(error, TuneryError):
                _log.exception("A question could not be taken")
            self._channel.send(Refused(number, as_tunery_error(error)))

    async def _warm(self, base_model: str) -> None:
        encoder = self._encoders(base_model).plain
        for engine in self._engines.values():
            try:
                await engine.base(encoder)
            except (TuneryError, Lost, Full, Forgotten) as error:  # the question that needs it will report it
                _log.warning("%s does not answer yet: %s", engine.url, error)

    async def _read(self, message: Count | CountRows | RenderRows) -> None:
        self._channel.send(await asyncio.to_thread(self._readings, message))

    def _readings(self, message: Count | CountRows | RenderRows) -> Counted | RowsCounted | RowsRendered:
        if isinstance(message, Count):
            encoder = self._encoders(message.question.base_model).of(message.question.rendering)
            return Counted(message.number, len(encoder.conversation(message.question.turns)))
        from tunery.engine.base import kept_weights

        encoder = self._encoders(message.base_model).plain
        found: Iterator[RowsCounted | RowsRendered | None]
        if isinstance(message, CountRows):
            kept = kept_weights(self._catalog.resolve(message.base_model), self._data_folder)
            found = counted_in_portions(message.number, encoder, kept, message.examples)
        else:
            found = rendered_in_portions(message.number, encoder, message.examples)
        return next(done for done in found if done is not None)

    async def _answer(self, number: int, question: Question) -> None:
        if question.settings.top_logprobs is not None:
            raise InvalidArgument("Log probabilities are not passed on from vLLM servers yet. Leave out logprobs.")
        encoder = self._encoders(question.base_model).of(question.rendering)
        prompt = tuple(await asyncio.to_thread(encoder.conversation, question.turns))
        asked = _Asked(number, question, prompt, encoder, _name(question))
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS) as limit, self._places:
                await self._routed(asked, lambda: limit.reschedule(None))
        except TimeoutError:
            raise DeadlineExceeded(
                f"The request waited {MAX_WAIT_SECONDS:.0f} s for its turn. The vLLM servers are busy; try again later."
            ) from None

    async def _routed(self, asked: _Asked, begin: Callable[[], None]) -> None:
        """Ask one engine after the other until one answers; a lost or full one is passed over."""
        base_model = asked.question.base_model
        mine = {e.url: e for e in self._engines.values() if e.address.base_model == base_model}
        if not mine:
            raise FailedPrecondition(
                f"No vLLM server was given for the base {base_model}: --vllm-url {base_model}=URL."
            )
        now = time.monotonic()
        up = {url: engine.running for url, engine in mine.items() if engine.down_until <= now} or dict.fromkeys(mine, 0)
        is_full = False
        for url in self._ring.choice(asked.name or str(asked.number), up):
            for _ in range(2):  # an engine that forgot the adapter is told to load it again
                try:
                    with mine[url].counted():
                        return await self._asked_of(mine[url], asked, begin)
                except Forgotten:
                    mine[url].forget()
                except Full:
                    is_full = True
                    break
                except Lost as lost:
                    if asked.has_begun:
                        raise Unavailable("The vLLM server that answered was lost. Ask again.") from lost
                    break
        if is_full:
            raise ResourceExhausted("All vLLM servers are busy. Try again in a moment.")
        raise Unavailable(f"No vLLM server can be reached ({', '.join(mine)}). Try again in a moment.")

    async def _asked_of(self, engine: Engine, asked: _Asked, begin: Callable[[], None]) -> None:
        base = await engine.base(asked.encoder)
        if asked.name is None:
            return await self._answered(engine, base, asked, begin)
        async with engine.using(asked.name, partial(self._placed, asked.question, asked.name)):
            return await self._answered(engine, asked.name, asked, begin)

    async def _answered(self, engine: Engine, model: str, asked: _Asked, begin: Callable[[], None]) -> None:
        settings = asked.question.settings
        room = min(engine.room(len(asked.prompt)), asked.encoder.window_tokens - len(asked.prompt))
        settings = replace(settings, max_output_tokens=max(1, min(settings.max_output_tokens, room)))
        if settings.form is not None and settings.form.labels:
            return await self._labelled(engine, model, asked, settings)
        tokens = 0
        async for choice in engine.chunks(_body(model, asked, settings)):
            begin()
            tokens += sum(token not in asked.encoder.stop_token_ids for token in choice.get("token_ids") or ())
            reason = _REASONS.get(choice.get("finish_reason") or "")
            if choice.get("finish_reason") and reason is None:
                raise Lost(f"finish_reason {choice['finish_reason']}")
            asked.has_begun.append(None)
            self._channel.send(AnswerChunk(asked.number, choice.get("text") or "", reason, len(asked.prompt), tokens))
            if reason is not None:
                return None
        raise Lost("the stream ended before the answer")

    async def _labelled(self, engine: Engine, model: str, asked: _Asked, settings: SamplingSettings) -> None:
        from tunery.engine.answers.labels import label_answer

        form, encoder = settings.form, asked.encoder
        assert form is not None
        tokens = (encoder.beginnings if form.are_beginnings else encoder.answers)(form.labels)
        scores = await engine.scores(model, asked.prompt, tokens)
        answer = label_answer(scores, settings, encoder)
        self._channel.send(
            AnswerChunk(
                asked.number, answer.text, answer.finish_reason, len(asked.prompt), answer.tokens, answer.ranked
            )
        )

    def _placed(self, question: Question, name: str) -> Path:
        """Return where engines find an adapter, after comparing it with its digest."""
        assert question.adapter is not None
        source = folder.epoch_folder(open_published(*question.adapter), question.epoch)
        return source if self._adapters is None else _copied(source, self._adapters / name)


_REASONS = {"stop": "STOP", "length": "MAX_TOKENS"}


def _name(question: Question) -> str | None:
    """Return the name of an adapter at engines: its digest, and the epoch unless it is the chosen one."""
    if question.adapter is None:
        return None
    return question.adapter[1] if question.epoch is None else f"{question.adapter[1]}-{question.epoch}"


def _body(model: str, asked: _Asked, settings: SamplingSettings) -> dict[str, Any]:
    # every setting is given, since an engine takes those that are missing from the base's generation_config.json
    return {
        "model": model,
        "prompt": list(asked.prompt),
        "max_tokens": settings.max_output_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k or 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": settings.presence_penalty,
        "frequency_penalty": settings.frequency_penalty,
        "seed": settings.seed,
        "stop": list(settings.stop_sequences),
        "stop_token_ids": sorted(asked.encoder.stop_token_ids),
        "return_token_ids": True,
        "stream": True,
        **({} if settings.form is None else {"structured_outputs": _constraint(settings.form)}),
    }


def _constraint(form: AnswerForm) -> dict[str, Any]:
    if form.pattern is not None:
        return {"regex": form.pattern}
    from tunery.engine.answers.guides import read_schema

    return {"json": read_schema(form)}


def _copied(source: Path, target: Path) -> Path:
    """Return `target` with the files of an adapter, all of them or none."""
    files = sorted(path.name for path in source.iterdir() if path.is_file())
    if not all((target / name).is_file() and _sha256(target / name) == _sha256(source / name) for name in files):
        partial_copy = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.rmtree(partial_copy, ignore_errors=True)
        partial_copy.mkdir(parents=True)
        for name in files:
            shutil.copyfile(source / name, partial_copy / name)
        shutil.rmtree(target, ignore_errors=True)
        partial_copy.rename(target)
    return target


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
