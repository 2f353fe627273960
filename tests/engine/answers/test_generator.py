"""Tests of `engine.answers.generator`: the text is that of transformers + PEFT, whatever else is in the batch."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import PeftModel

from tests.engine.tiny_bases import tiny_config, tiny_text_side
from tests.fakes import any_network, network_of, tiny_model
from tunery.engine.adapter import write_adapter
from tunery.engine.answers import generator as generator_module
from tunery.engine.answers.generator import Generator, Piece, Request
from tunery.engine.answers.guides import Guides
from tunery.engine.answers.native.step import CompiledStep
from tunery.engine.answers.prefixes import PrefixStore
from tunery.engine.encoding import Encoder
from tunery.engine.fallback import FallbackNetwork
from tunery.engine.families import FAMILIES
from tunery.engine.lanes import LanePair
from tunery.engine.lora import Adapter
from tunery.engine.network import Network
from tunery.errors import NotFound
from tunery.types import AnswerForm, SamplingSettings, TokenLogprob

PROMPTS = ((5, 6, 7, 8), (5, 6, 9), (5, 6, 7, 8, 10, 11, 12, 13, 14), (5,), (20, 21))
SETTINGS = SamplingSettings(max_output_tokens=12)


class Numbers:
    """A tokenizer whose text is the token ids themselves: what was drawn can be read from the text."""

    special_ids, control_tokens = frozenset({2}), ()
    backend = SimpleNamespace(normalizer=None, decoder=None)

    def token_id(self, name: str) -> int | None:
        return 2 if name == "eos_token" else None

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split() if word.isdigit()]

    def render(self, turns: list[dict[str, str]], **_: Any) -> str:
        return " ".join(turn["content"] for turn in turns)

    def decode(self, token_ids: list[int], **_: Any) -> str:
        return "".join(f"{token} " for token in token_ids)


def make_network(family: str = "llama", dtype: torch.dtype = torch.float32) -> Any:
    return any_network(family, dtype)


def make_generator(network: Any, *, is_compiled: bool = True, **options: Any) -> Generator:
    compiled = CompiledStep.of(network) if is_compiled and isinstance(network, Network) else None
    return Generator(network, Encoder(Numbers(), 128), compiled=compiled, **options)


def random_adapter(network: Network | FallbackNetwork, seed: int, scale: float = 0.2) -> Adapter:
    adapter = network.fresh_adapter(4, 8, seed)
    adapter.flat.normal_(0, scale, generator=torch.Generator().manual_seed(seed))
    return adapter


def tokens(pieces: list[Piece], count: int) -> list[list[int]]:
    texts = [""] * count
    for piece in pieces:
        texts[piece.number] += piece.text
    return [[int(word) for word in text.split()] for text in texts]


def greedy(model: Any, prompt: tuple[int, ...]) -> list[int]:
    """The plain way: transformers' own generate, one prompt alone."""
    with torch.no_grad():
        row = model.generate(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=2,
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
    return row[: row.index(2)] if 2 in row else row


@pytest.mark.parametrize("family", [*sorted(FAMILIES), "opt"])
def test_greedy_tokens_equal_those_of_transformers_and_peft(family: str, tmp_path: Path) -> None:
    """Five prompts in one batch give token by token what PEFT on the plain model gives for each alone."""
    network = make_network(family, torch.float64 if family != "gemma2" else torch.float32)
    adapter = random_adapter(network, seed=1)
    write_adapter(tmp_path, adapter, base_model="tiny")
    theirs = PeftModel.from_pretrained(
        tiny_model(family, network.dtype, "eager" if family == "gemma2" else "sdpa"), str(tmp_path)
    )
    network.install(1, adapter)

    pieces = list(make_generator(network).answer([Request(prompt, SETTINGS, 1) for prompt in PROMPTS]))

    assert tokens(pieces, len(PROMPTS)) == [greedy(theirs.to(network.dtype).eval(), prompt) for prompt in PROMPTS]


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "lfm2"])
def test_prompts_read_in_two_lanes_give_the_same_tokens(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a shared prefix, a known one and none, in full attention, windows and convolutions."""
    network, beginning = make_network(family, torch.float64), tuple(5 + place % 20 for place in range(40))
    requests = [Request((*beginning, *prompt), SETTINGS, 1) for prompt in PROMPTS]
    network.install(1, random_adapter(network, seed=1))
    threads, found = torch.get_num_threads(), {}
    calls: list[int] = []
    run = LanePair.run
    monkeypatch.setattr(LanePair, "run", lambda *parts: calls.append(1) or run(*parts))
    torch.set_num_threads(2)
    try:
        for least in (1, 1_000):
            monkeypatch.setattr(generator_module, "LANE_TOKENS", least)
            generator = make_generator(network, prefixes=PrefixStore())
            found[least] = [
                tokens(list(generator.answer(part)), len(part)) for part in (requests, requests[:1], requests)
            ]
            assert bool(calls) == (least == 1)
            calls.clear()
    finally:
        torch.set_num_threads(threads)

    assert found[1] == found[1_000]


def test_adapters_in_one_batch_do_not_touch_each_other() -> None:
    """Two adapters and the plain base, together and over few rows, answer as each does alone."""
    network = make_network(dtype=torch.float64)
    for slot in (1, 2):
        network.install(slot, random_adapter(network, slot))
    requests = [Request(prompt, SETTINGS, slot) for prompt in PROMPTS for slot in (None, 1, 2)]

    together = tokens(list(make_generator(network, max_rows=4).answer(requests)), len(requests))

    alone = [tokens(list(make_generator(network).answer([request])), 1)[0] for request in requests]
    assert together == alone
    assert len({tuple(row) for row in together}) > len(PROMPTS)


def test_requests_join_and_leave_between_steps() -> None:
    """A request submitted while another runs, and one dropped, change nothing for the rest."""
    network = make_network(dtype=torch.float64)
    generator = make_generator(network)
    first = generator.submit(Request(PROMPTS[0], SETTINGS))
    pieces = generator.step() + generator.step()
    dropped = generator.submit(Request(PROMPTS[1], SETTINGS))
    second = generator.submit(Request(PROMPTS[2], SETTINGS))
    pieces += generator.step()
    generator.drop(dropped)
    while not generator.is_idle:
        pieces += generator.step()

    def text(number: int) -> str:
        return "".join(piece.text for piece in pieces if piece.number == number)

    for number, prompt in ((first, PROMPTS[0]), (second, PROMPTS[2])):
        alone = "".join(piece.text for piece in make_generator(network).answer([Request(prompt, SETTINGS)]))
        assert text(number) == alone


def test_answers_that_outgrow_the_cache_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest waits until there is room again, and goes on where it was; the text is that of an answer alone."""
    monkeypatch.setattr("tunery.engine.answers.cache.CHUNK_TOKENS", 32)
    monkeypatch.setattr("tunery.engine.answers.generator.RESERVED_TOKENS", 8)
    network = make_network(dtype=torch.float64)
    settings = SamplingSettings(max_output_tokens=110, temperature=1, top_p=1, top_k=None)
    requests = [Request(prompt, replace(settings, seed=prompt[0])) for prompt in PROMPTS]
    budget = 5 * 32 * network.token_bytes(torch.float64)
    generator = make_generator(network, cache_bytes=budget)
    numbers = [generator.submit(request) for request in requests]
    texts, together = dict.fromkeys(numbers, ""), []
    while not generator.is_idle:
        for piece in generator.step():
            texts[piece.number] += piece.text
        together.append(len(numbers) - len(generator.waiting))
        assert generator.cache_bytes <= budget or len(generator.waiting) == len(numbers) - 1

    alone = ["".join(piece.text for piece in make_generator(network).answer([request])) for request in requests]
    assert [texts[number] for number in numbers] == alone
    assert together[0] == len(PROMPTS)
    assert min(together) < len(PROMPTS)


def test_leaving_the_loop_frees_the_rows() -> None:
    """After a break nothing runs and nothing waits."""
    generator = make_generator(make_network(), max_rows=2)
    answers = generator.answer([Request(prompt, SETTINGS) for prompt in PROMPTS])

    next(answers)
    answers.close()  # type: ignore[attr-defined]

    assert generator.is_idle


class Spelled(Guides):
    """Tokens are spelled as the text of `Numbers`."""

    def spelling(self, token: int) -> bytes:
        return f"{token} ".encode()


def told(pieces: list[Piece], count: int) -> list[list[TokenLogprob]]:
    found: list[list[TokenLogprob]] = [[] for _ in range(count)]
    for piece in pieces:
        found[piece.number] += piece.logprobs
    return found


LIKELY = SamplingSettings(max_output_tokens=12, top_logprobs=3)
WAYS = {
    "greedy": LIKELY,
    "drawn": replace(LIKELY, temperature=1.5, top_k=8, top_p=0.8, presence_penalty=1.0, seed=3),
    "label": replace(LIKELY, form=AnswerForm(labels=("9", "7 8", "30 31 32"))),
    "own label": replace(LIKELY, form=AnswerForm(labels=("9", "7 8", "30 31 32"), is_own=True)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["llama", "gemma2", "opt"])
def test_log_probabilities_are_those_of_transformers_and_peft(family: str, way: str, tmp_path: Path) -> None:
    """At temperature 1 and without any constraint, of each token of the answer and of the likeliest in its place."""
    network = make_network(family)
    adapter = random_adapter(network, seed=1)
    write_adapter(tmp_path, adapter, base_model="tiny")
    plain = tiny_model(family, network.dtype, "eager" if family == "gemma2" else "sdpa")
    theirs = PeftModel.from_pretrained(plain, str(tmp_path)).eval()
    network.install(1, adapter)
    encoder = Encoder(Numbers(), 128)
    compiled = CompiledStep.of(network) if isinstance(network, Network) else None
    generator = Generator(network, encoder, compiled=compiled, guides=Spelled(encoder))

    pieces = list(generator.answer([Request(prompt, WAYS[way], 1) for prompt in PROMPTS]))

    said = tokens(pieces, len(PROMPTS))
    assert any(said)
    for prompt, answer, found in zip(PROMPTS, said, told(pieces, len(PROMPTS)), strict=True):
        with torch.no_grad():
            logits = theirs(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        logs = torch.log_softmax(logits.double(), -1)
        assert [each.token_id for each in found] == answer
        assert [each.logprob for each in found] == pytest.approx(
            [float(row[token]) for row, token in zip(logs, answer, strict=False)], abs=1e-4
        )
        for each, row in zip(found, logs, strict=False):
            assert [top.logprob for top in each.top] == pytest.approx(row.topk(3).values.tolist(), abs=1e-4)
            assert [float(row[top.token_id]) for top in each.top] == pytest.approx(
                row.topk(3).values.tolist(), abs=1e-4
            )


def test_log_probabilities_change_no_answer() -> None:
    """Text, pieces, counts and label probabilities are those of the same request without them."""
    network = make_network()
    encoder = Encoder(Numbers(), 128)
    for settings in WAYS.values():
        requests = [Request(prompt, settings) for prompt in PROMPTS]
        plain = [replace(request, settings=replace(settings, top_logprobs=None)) for request in requests]
        found, expected = (
            list(Generator(network, encoder, guides=Spelled(encoder)).answer(each)) for each in (requests, plain)
        )

        assert tokens(found, len(PROMPTS)) == tokens(expected, len(PROMPTS))
        for number in range(len(PROMPTS)):
            last, other = ([piece for piece in each if piece.number == number][-1] for each in (found, expected))
            assert replace(last, text="", logprobs=()) == replace(other, text="", logprobs=())


def test_tokens_behind_a_stop_sequence_are_not_told() -> None:
    """Neither are those that begin it."""
    network = make_network()
    encoder = Encoder(Numbers(), 128)
    whole = told(list(make_generator(network).answer([Request(PROMPTS[0], SETTINGS)])), 1)[0]
    assert whole == []  # nobody asked

    said = tokens(list(make_generator(network).answer([Request(PROMPTS[0], SETTINGS)])), 1)[0]
    stop = f"{said[3]} {said[4]} "
    settings = replace(LIKELY, stop_sequences=(stop,))
    pieces = list(Generator(network, encoder, guides=Spelled(encoder)).answer([Request(PROMPTS[0], settings)]))

    left = tokens(pieces, 1)[0]
    assert len(left) < len(said)
    assert [each.token_id for each in told(pieces, 1)[0]] == left


def test_finish_reason_tells_why() -> None:
    """MAX_TOKENS after max_output_tokens, STOP at a stop sequence, whose text is cut off."""
    network = make_network()
    (limited,) = [p for p in make_generator(network).answer([Request((5, 6), SETTINGS)]) if p.finish_reason]
    words = tokens(list(make_generator(network).answer([Request((5, 6), SETTINGS)])), 1)[0]
    stopping = SamplingSettings(max_output_tokens=12, stop_sequences=(f"{words[3]} ",))
    stopped = list(make_generator(network).answer([Request((5, 6), stopping)]))

    assert limited.finish_reason == "MAX_TOKENS"
    assert stopped[-1].finish_reason == "STOP"
    assert tokens(stopped, 1)[0] == words[: words.index(words[3])]


def test_window_ends_an_answer() -> None:
    """No position beyond the window is ever computed."""
    network = make_network()
    generator = Generator(network, Encoder(Numbers(), 10))

    pieces = list(generator.answer([Request((5, 6, 7), SamplingSettings(max_output_tokens=50))]))

    assert len(tokens(pieces, 1)[0]) == 7
    assert pieces[-1].finish_reason == "MAX_TOKENS"


def test_sampled_text_follows_from_the_seed() -> None:
    """Equal seeds give equal text, whatever else is in the batch; another seed gives another."""
    network = make_network(dtype=torch.float64)

    def sampled(seed: int, others: int) -> list[int]:
        settings = SamplingSettings(temperature=1.5, seed=seed, max_output_tokens=12)
        requests = [Request(PROMPTS[0], settings), *[Request(PROMPTS[1], SETTINGS)] * others]
        return tokens(list(make_generator(network).answer(requests)), len(requests))[0]

    assert sampled(3, 0) == sampled(3, 2)
    assert sampled(3, 0) != sampled(4, 0)


def test_long_prompts_pass_the_first_capacity() -> None:
    """The cache grows with the answer and nothing is lost on the way."""
    network = make_network(dtype=torch.float64)
    plain = copy.deepcopy(tiny_model("llama", torch.float64, "sdpa"))
    prompt = tuple(3 + index % 90 for index in range(118))

    pieces = list(make_generator(network).answer([Request(prompt, SamplingSettings(max_output_tokens=10))]))

    assert tokens(pieces, 1)[0] == greedy(plain, prompt)[:10]


def test_texts_of_a_real_tokenizer_are_streamed_whole() -> None:
    """Pieces of a byte-level tokenizer join to what decoding all tokens at once gives."""
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    network = network_of(LlamaForCausalLM(tiny_config()))
    encoder = Encoder(tiny_text_side(), 128)
    request = Request(tuple(encoder.prompt("hello")), SamplingSettings(max_output_tokens=30))

    pieces = [piece.text for piece in Generator(network, encoder).answer([request])]

    assert len(pieces) > 3
    assert "".join(pieces)


def test_a_slot_without_an_adapter_is_no_plain_base() -> None:
    """An adapter that was removed is missed: answers of the base would pass for its own."""
    network = make_network()
    generator = make_generator(network)
    network.install(1, random_adapter(network, 1))
    network.remove(1)

    with pytest.raises(NotFound, match="slot 1"):
        generator.submit(Request((1, 2), SamplingSettings(), 1))
