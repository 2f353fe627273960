"""
A server that speaks the routes of vLLM that tunery uses, with answers by transformers and PEFT on a tiny base.

Held against vLLM's own source (`vllm/entrypoints/openai`): statuses, bodies and messages are the same. `fault` makes
it behave as engines do under load or after a restart.
"""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tunery.engine.answers.drawing import TextStream
from tunery.engine.encoding import Encoder
from tunery.errors import TuneryError
from tunery.service import vllm
from tunery.service.answering_child import AnswerChunk, Ask, Question, Refused
from tunery.service.process import Channel
from tunery.service.vllm import EngineAddress

Answer = Callable[[str | None, Sequence[int], dict[str, Any]], tuple[list[int], str]]  # tokens and finish_reason
Scores = Callable[[str | None, Sequence[int]], list[float]]  # of each token after the first


class Double:
    """One engine. `answer` and `score` get the path of the adapter, or None for the base."""

    BASE = "the-base"

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.encode = encoder, encoder.tokenizer.encode
        self.answer: Answer = lambda adapter, prompt, body: ([], "stop")  # noqa: ARG005
        self.score: Scores = lambda adapter, tokens: [0.0] * (len(tokens) - 1)  # noqa: ARG005
        self.adapters: dict[str, str] = {}
        self.fault = ""  # full, cut, base
        self.loads: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.url = ""
        routes = {"/v1/load_lora_adapter": self._load, "/v1/unload_lora_adapter": self._unload,
                  "/v1/completions": self._complete, "/tokenize": self._tokenize}  # fmt: skip
        posts = [Route(path, handler, methods=["POST"]) for path, handler in routes.items()]
        self.app = Starlette(routes=[Route("/v1/models", self._models), *posts])

    async def _models(self, _: Request) -> Response:
        cards = [{"id": self.BASE, "root": self.BASE, "parent": None, "max_model_len": 512}]
        cards += [{"id": name, "root": path, "parent": self.BASE} for name, path in self.adapters.items()]
        return JSONResponse({"object": "list", "data": cards})

    async def _tokenize(self, request: Request) -> Response:
        tokens = self.encode((await request.json())["prompt"])
        return JSONResponse({"count": len(tokens), "max_model_len": 512, "tokens": tokens})

    async def _load(self, request: Request) -> Response:
        body = await request.json()
        name, path = body["lora_name"], body["lora_path"]
        if name in self.adapters:
            return _error(400, "InvalidUserInput", f"The lora adapter '{name}' has already been loaded.")
        if not (Path(path) / "adapter_config.json").is_file():
            return _error(404, "NotFoundError", f"Loading lora {name} failed: No adapter found for {path}")
        self.loads.append(name)
        self.adapters[name] = path
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: Request) -> Response:
        name = (await request.json())["lora_name"]
        if self.adapters.pop(name, None) is None:
            return _error(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        if self.fault == "full":
            return _error(429, "TooManyRequests", "The engine is full.")
        if body["model"] not in (self.BASE, *self.adapters):
            return _error(404, "NotFoundError", f"The model `{body['model']}` does not exist.")
        adapter, model = self.adapters.get(body["model"]), body["model"]
        if self.fault == "base":  # a data-parallel rank that was never told to load the adapter
            adapter, model = None, self.BASE
        if not body.get("stream"):
            choices = [self._scored(index, adapter, prompt) for index, prompt in enumerate(body["prompt"])]
            return JSONResponse({"model": model, "choices": choices})
        tokens, reason = self.answer(adapter, body["prompt"], body)
        return StreamingResponse(self._events(model, tokens, reason), media_type="text/event-stream")

    def _scored(self, index: int, adapter: str | None, tokens: list[int]) -> dict[str, Any]:
        scores = self.score(adapter, tokens)
        told = [{str(t): {"logprob": s, "rank": 1}} for t, s in zip(tokens[1:], scores, strict=True)]
        return {"index": index, "text": "", "prompt_logprobs": [None, *told], "finish_reason": "length"}

    def _events(self, model: str, tokens: list[int], reason: str) -> Iterator[str]:
        stream = TextStream(self.encoder.text, self.encoder.whole_text)
        for token in tokens:
            choice = {"index": 0, "text": stream.push(token), "token_ids": [token], "finish_reason": None}
            yield _event(model, choice)
            if self.fault == "cut":
                return
        yield _event(model, {"index": 0, "text": stream.flush(), "token_ids": [], "finish_reason": reason})
        yield "data: [DONE]\n\n"


def _event(model: str, choice: dict[str, Any]) -> str:
    return f"data: {json.dumps({'object': 'text_completion', 'model': model, 'choices': [choice]})}\n\n"


def _error(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind, "code": status}}, status)


@contextmanager
def listening(double: Double) -> Iterator[Double]:
    """Serve within the block on a free port; `double.url` is its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(double.app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        double.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield double
        finally:
            server.force_exit = server.should_exit = True
            thread.join()


class Running:
    """The child in a thread of this process."""

    def __init__(self, home: Path, urls: Sequence[str], adapters: Path | None = None) -> None:
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        channel = SimpleNamespace(messages=self._messages, send=self._replies.put, show_life=lambda: None)
        addresses = [EngineAddress(url, "tiny") for url in urls]
        child = vllm._VllmChild(cast(Channel, channel), home, addresses, adapters)
        threading.Thread(target=lambda: asyncio.run(child.serve()), daemon=True).start()
        self._numbers = iter(range(1, 1_000_000))

    def ask(self, *questions: Question) -> list[str | TuneryError]:
        """Ask all at once; return the answers, or why there is none."""
        numbers = [next(self._numbers) for _ in questions]
        for number, question in zip(numbers, questions, strict=True):
            self._messages.put(Ask(number, question))
        found = self._answers(numbers)
        return [found[number] for number in numbers]

    def chunks(self, question: Question) -> list[AnswerChunk]:
        self._messages.put(Ask(next(self._numbers), question))
        found = [self._replies.get(timeout=30)]
        while isinstance(found[-1], AnswerChunk) and found[-1].finish_reason is None:
            found.append(self._replies.get(timeout=30))
        return found

    def reply(self, message: object) -> Any:
        self._messages.put(message)
        return self._replies.get(timeout=30)

    def _answers(self, numbers: Sequence[int]) -> dict[int, str | TuneryError]:
        texts, ended = dict.fromkeys(numbers, ""), dict[int, str | TuneryError]()
        while len(ended) < len(numbers):
            reply = self._replies.get(timeout=60)
            if isinstance(reply, Refused):
                ended[reply.number] = reply.error
            else:
                texts[reply.number] += reply.text
                if reply.finish_reason:
                    ended[reply.number] = texts[reply.number]
        return ended
