"""Answers through vLLM's routes: equal to transformers and PEFT, of the right adapter, whatever engines do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.engine.answers.test_generator import random_adapter
from tests.engine.tiny_bases import make_folder
from tests.service.vllm_double import Double, Running, listening
from tunery.engine.adapter import write_adapter
from tunery.engine.base import load_folder
from tunery.engine.catalog import Catalog
from tunery.engine.encoding import Encoder
from tunery.engine.tokenizer import Tokenizer
from tunery.errors import DataLoss, FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable
from tunery.files import publish, sha256_of
from tunery.service import vllm
from tunery.service.answering_child import (
    Count,
    Counted,
    CountRows,
    Question,
    ReadStates,
    RowsCounted,
    StatesRead,
)
from tunery.service.vllm import EngineAddress, Reach, Ring
from tunery.types import AnswerForm, SamplingSettings, TuningExample, Turn

UNUSED = "http://127.0.0.1:9"
LABELS = ("bug", "billing", "other thing")


def weights_of(adapter: str | None) -> str | None:
    """Return the digest of an adapter's weights, wherever it was copied to."""
    return None if adapter is None else sha256_of(Path(adapter) / "adapter_model.safetensors")


class Home:
    """A data folder with a tiny base, published adapters, and the same by transformers and PEFT."""

    def __init__(self, folder: Path) -> None:
        self.base = make_folder(folder / "base", max_position_embeddings=512)
        self.path = folder / "home"
        Catalog(self.path).add(str(self.base), "tiny")
        network = load_folder(self.base, dtype=torch.float32).network
        self.adapters = []
        for seed in range(6):
            target = folder / "published" / str(seed)
            adapter = random_adapter(network, seed)
            self.adapters.append((target, publish(target, lambda to, a=adapter: write_adapter(to, a, base_model="t"))))
        self.encoder = Encoder(Tokenizer.read(self.base), 512)
        # made here, since transformers' loader is not made for several threads
        self.models: dict[str | None, Any] = {
            None: self._loaded(None),
            **{weights_of(str(path)): self._loaded(path) for path, _ in self.adapters},
        }

    def double(self) -> Double:
        double = Double(self.encoder)
        double.answer, double.score = self.greedy, self.scores
        return double

    def _loaded(self, adapter: Path | None) -> Any:
        plain = AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)
        return (PeftModel.from_pretrained(plain, str(adapter)) if adapter else plain).eval()

    @torch.no_grad()
    def greedy(self, adapter: str | None, prompt: Sequence[int], body: dict[str, Any]) -> tuple[list[int], str]:
        row = list(prompt)
        for _ in range(body["max_tokens"]):
            token = int(self.models[weights_of(adapter)](torch.tensor([row])).logits[0, -1].argmax())
            row.append(token)
            if token in body["stop_token_ids"]:
                return row[len(prompt) :], "stop"
        return row[len(prompt) :], "length"

    @torch.no_grad()
    def scores(self, adapter: str | None, tokens: Sequence[int]) -> list[float]:
        logits = self.models[weights_of(adapter)](torch.tensor([tokens])).logits[0, :-1].log_softmax(1)
        return [float(row[token]) for row, token in zip(logits, tokens[1:], strict=True)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("vllm"))


@pytest.fixture
def engines(home: Home) -> Iterator[Callable[[int], list[Double]]]:
    with ExitStack() as stack:
        yield lambda count: [stack.enter_context(listening(home.double())) for _ in range(count)]


def question(home: Home, adapter: int | None, text: str = "7", **settings: Any) -> Question:
    chosen = SamplingSettings(**{"max_output_tokens": 8, **settings})
    return Question("tiny", (Turn("user", text),), chosen, None if adapter is None else home.adapters[adapter])


def expected(home: Home, adapter: int | None, text: str = "7") -> str:
    path = None if adapter is None else str(home.adapters[adapter][0])
    body = {"max_tokens": 8, "stop_token_ids": home.encoder.stop_token_ids}
    return home.encoder.whole_text(home.greedy(path, home.encoder.prompt(text), body)[0])


def test_answers_are_those_of_transformers_and_peft(home: Home, engines: Callable[[int], list[Double]]) -> None:
    """Of the base and of three adapters, over two engines, with as many tokens as were given."""
    child = Running(home.path, [double.url for double in engines(2)])
    asked = [question(home, adapter, text) for adapter in (None, 0, 1, 2) for text in ("7", "a longer text")]

    answers = child.ask(*asked)

    assert answers == [expected(home, a, text) for a in (None, 0, 1, 2) for text in ("7", "a longer text")]
    assert len(set(answers)) > 4
    last = child.chunks(question(home, 0))[-1]
    assert (last.prompt_tokens, last.finish_reason) == (len(home.encoder.prompt("7")), "MAX_TOKENS")
    assert last.output_tokens == 8


def test_labels_are_chosen_by_their_likelihood(home: Home, engines: Callable[[int], list[Double]]) -> None:
    """The probabilities are those of transformers and PEFT, and the answer is the likeliest, the model's own or not."""
    [double] = engines(1)
    child = Running(home.path, [double.url])
    prompt, path = home.encoder.prompt("7"), str(home.adapters[1][0])
    sums = [sum(home.scores(path, [*prompt, *label])[len(prompt) - 1 :]) for label in home.encoder.answers(LABELS)]
    chances = torch.softmax(torch.tensor(sums, dtype=torch.float64), 0).tolist()

    for is_own in (False, True):
        [chunk] = child.chunks(question(home, 1, form=AnswerForm(labels=LABELS, is_own=is_own), max_output_tokens=40))
        assert dict(chunk.label_probabilities) == pytest.approx(dict(zip(LABELS, chances, strict=True)), abs=1e-6)
        assert (chunk.text, chunk.finish_reason) == (LABELS[chances.index(max(chances))], "STOP")
    [cut] = child.chunks(question(home, 1, form=AnswerForm(labels=LABELS, is_own=True), max_output_tokens=2))
    assert (cut.text, cut.finish_reason) == (LABELS[chances.index(max(chances))][:2], "MAX_TOKENS")


def test_settings_reach_the_engine(home: Home, engines: Callable[[int], list[Double]]) -> None:
    """All of them, those that an engine would otherwise take from the base's own settings too."""
    [double] = engines(1)
    child = Running(home.path, [double.url])
    schema = json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}})
    settings = {"temperature": 0.5, "top_p": 0.7, "top_k": 9, "seed": 3, "stop_sequences": ("END",)}
    child.ask(question(home, 0, **settings, presence_penalty=0.5, frequency_penalty=0.25))
    child.ask(question(home, 0, top_k=None, form=AnswerForm(json_schema=schema)))
    child.ask(question(home, 0, form=AnswerForm(pattern="[ab]+")))

    first, second, third = double.bodies
    wanted = {"temperature": 0.5, "top_p": 0.7, "top_k": 9, "seed": 3, "stop": ["END"], "min_p": 0.0,
              "presence_penalty": 0.5, "frequency_penalty": 0.25, "repetition_penalty": 1.0}  # fmt: skip
    assert {name: first[name] for name in wanted} == wanted
    assert (first["prompt"], first["model"]) == (home.encoder.prompt("7"), home.adapters[0][1])
    assert (second["top_k"], second["structured_outputs"]) == (0, {"json": json.loads(schema)})
    assert third["structured_outputs"] == {"regex": "[ab]+"}


def test_a_cold_adapter_is_loaded_once(home: Home, engines: Callable[[int], list[Double]]) -> None:
    """However many questions wait for it; then it stays on that engine."""
    doubles = engines(3)
    child = Running(home.path, [double.url for double in doubles])

    for _ in range(2):
        assert set(child.ask(*[question(home, 3)] * 3)) == {expected(home, 3)}
    loads = [len(double.loads) for double in doubles]

    assert sorted(loads)[:1] == [0]
    assert all(count <= 1 for count in loads)


def test_an_unused_adapter_makes_room(
    home: Home, engines: Callable[[int], list[Double]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least recently used one is unloaded, and loaded again when it is asked for."""
    monkeypatch.setattr(vllm, "ADAPTERS_PER_ENGINE", 2)
    [double] = engines(1)
    child = Running(home.path, [double.url])

    answers = [child.ask(question(home, adapter))[0] for adapter in (0, 1, 0, 2, 1)]

    assert answers == [expected(home, adapter) for adapter in (0, 1, 0, 2, 1)]
    assert set(double.adapters) == {home.adapters[2][1], home.adapters[1][1]}


def test_an_engine_that_was_restarted_loads_again(home: Home, engines: Callable[[int], list[Double]]) -> None:
    """It says 404 for an adapter it had before; nobody notices."""
    [double] = engines(1)
    child = Running(home.path, [double.url])
    before = child.ask(question(home, 0))

    double.adapters.clear()

    assert child.ask(question(home, 0)) == before == [expected(home, 0)]
    assert double.loads == [home.adapters[0][1]] * 2


def test_another_engine_answers_for_a_lost_or_full_one(home: Home, engines: Callable[[int], list[Double]]) -> None:
    """A lost one is passed over; when all are full, the request is refused as too many, when all are lost as such."""
    doubles = engines(2)
    with listening(home.double()) as lost:
        urls = [lost.url, *(double.url for double in doubles)]
    child = Running(home.path, urls)

    assert child.ask(*(question(home, a) for a in range(6))) == [expected(home, a) for a in range(6)]
    doubles[0].fault = "full"
    assert child.ask(*(question(home, a) for a in range(6))) == [expected(home, a) for a in range(6)]
    doubles[1].fault = "full"
    [refused] = child.ask(question(home, 0))
    assert isinstance(refused, ResourceExhausted)
    [refused] = Running(home.path, [lost.url]).ask(question(home, 0))
    assert isinstance(refused, Unavailable)


def test_an_answer_that_breaks_off_is_said(home: Home, engines: Callable[[int], list[Double]]) -> None:
    """What was begun is not begun again by another engine, since its beginning has been shown."""
    doubles = engines(2)
    for double in doubles:
        double.fault = "cut"
    [refused] = Running(home.path, [double.url for double in doubles]).ask(question(home, 0))

    assert isinstance(refused, Unavailable)
    assert "was lost" in str(refused)


def test_the_base_never_answers_for_an_adapter(home: Home, engines: Callable[[int], list[Double]]) -> None:
    """An engine of which a part has not loaded the adapter answers with its base: nothing of that is passed on."""
    [double] = engines(1)
    double.fault = "base"
    [refused] = Running(home.path, [double.url]).ask(question(home, 0))

    assert isinstance(refused, DataLoss)
    [refused] = Running(home.path, [double.url]).ask(question(home, 0, form=AnswerForm(labels=LABELS)))
    assert isinstance(refused, DataLoss)


def test_a_changed_adapter_is_not_loaded(home: Home, engines: Callable[[int], list[Double]], tmp_path: Path) -> None:
    """Its files are compared with the digest first; the copy for the engines is made anew if it is not the same."""
    [double] = engines(1)
    child = Running(home.path, [double.url], tmp_path / "shared")
    child.ask(question(home, 0))
    copy = tmp_path / "shared" / home.adapters[0][1]
    (copy / "adapter_config.json").write_text("{}")
    assert Running(home.path, [double.url], tmp_path / "shared").ask(question(home, 0)) == [expected(home, 0)]
    assert (copy / "adapter_config.json").read_text() != "{}"

    [refused] = child.ask(replace(question(home, 0), adapter=(home.adapters[0][0], home.adapters[1][1])))
    assert isinstance(refused, DataLoss)


def test_another_base_is_noticed(home: Home, engines: Callable[[int], list[Double]]) -> None:
    """By its tokenizer; and a base that no engine serves is named with the option that would help."""
    [double] = engines(1)
    double.encode = lambda text: [1, *home.encoder.tokenizer.encode(text)]
    child = Running(home.path, [double.url])
    [refused] = child.ask(question(home, 0))
    assert isinstance(refused, FailedPrecondition)
    assert "tokenizer" in str(refused)

    Catalog(home.path).add(str(home.base), "second")
    [refused] = child.ask(replace(question(home, None), base_model="second"))
    assert "--vllm-url second=URL" in str(refused)


def test_a_prompt_beyond_the_window_is_refused(home: Home, engines: Callable[[int], list[Double]]) -> None:
    """In tokens, before anything is sent."""
    [double] = engines(1)
    [refused] = Running(home.path, [double.url]).ask(question(home, 0, "x" * 600))
    assert isinstance(refused, InvalidArgument)
    assert double.bodies == []


def test_log_probabilities_are_refused(home: Home, engines: Callable[[int], list[Double]]) -> None:
    """Rather than left out without a word."""
    [double] = engines(1)

    [refused] = Running(home.path, [double.url]).ask(question(home, 0, top_logprobs=2))

    assert isinstance(refused, InvalidArgument)
    assert "Leave out logprobs" in str(refused)
    assert double.bodies == []


def test_tokens_are_counted_here(home: Home) -> None:
    """No engine is needed for it."""
    child = Running(home.path, ["http://127.0.0.1:9"])
    counted = child.reply(Count(1, question(home, 0)))
    rows = child.reply(CountRows(2, "tiny", (TuningExample("7", "8"), TuningExample("9", "10"))))

    assert counted == Counted(1, len(home.encoder.prompt("7")))
    assert isinstance(rows, RowsCounted)
    assert rows.tokens == tuple(
        len(home.encoder.example(TuningExample(*row)).token_ids) for row in (("7", "8"), ("9", "10"))
    )


def test_states_are_not_told(home: Home) -> None:
    """vLLM does not tell them of a model that generates, so an evaluation goes on without them."""
    child = Running(home.path, ["http://127.0.0.1:9"])

    assert child.reply(ReadStates(1, "tiny", ("7", "8"), "")) == StatesRead(1, ())


def test_a_lost_engine_moves_only_its_own_keys() -> None:
    """Of 20,000 adapters on four engines, at most a quarter and 5 % move, and all of those belonged to it."""
    names, keys = ["a", "b", "c", "d"], [f"adapter-{number}" for number in range(20_000)]
    whole, without = Ring(names), Ring(names[:3])
    before, after = ([ring.order(key)[0] for key in keys] for ring in (whole, without))

    moved = [was for was, now in zip(before, after, strict=True) if was != now]

    assert set(moved) == {"d"}
    assert len(moved) <= (1 / 4 + 0.05) * len(keys)
    assert min(Counter(before).values()) > 0.15 * len(keys)


def test_an_overloaded_engine_is_tried_last() -> None:
    """A key goes to the next engine while its own has more than its share of the questions."""
    ring = Ring(["a", "b", "c", "d"])
    first, second, *_ = ring.order("key")
    idle = dict.fromkeys("abcd", 0)

    assert ring.choice("key", idle)[0] == first
    assert ring.choice("key", {**idle, first: 40})[0] == second
    assert ring.choice("key", {**idle, first: 40})[-1] == first
    assert ring.choice("key", dict.fromkeys("abcd", 40))[0] == first


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://a:1/", EngineAddress("http://a:1")),
        ("big=https://a/x?y=1", EngineAddress("https://a/x?y=1", "big")),
        ("http://a/?b=c", EngineAddress("http://a/?b=c")),
    ],
)
def test_addresses_are_read(text: str, address: EngineAddress) -> None:
    """With the base in front, or without."""
    assert EngineAddress.read(text) == address


def test_an_address_without_http_is_refused() -> None:
    """With what to give instead."""
    with pytest.raises(InvalidArgument, match="BASE=URL"):
        EngineAddress.read("localhost:8000")


def test_one_engine_is_enough_to_answer(home: Home) -> None:
    """Whichever of them it is; without any, nothing can be answered."""
    with listening(home.double()) as double:
        assert Reach([EngineAddress(UNUSED), EngineAddress(double.url)])()
        gone = EngineAddress(double.url)

    assert not Reach([EngineAddress(UNUSED), gone])()


def test_engines_are_not_asked_at_every_check(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found out holds for a while, then they are asked again."""
    with listening(home.double()) as double:
        reach = Reach([EngineAddress(double.url)])
        assert reach()

    assert reach()
    monkeypatch.setattr(vllm, "REACH_SECONDS", 0.0)
    assert not reach()
