"""Tests of `engine.answers.lean`: few operations, the numbers of transformers' own modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from tests.engine.answers.test_generator import PROMPTS, SETTINGS, greedy, make_generator, make_network, tokens
from tests.fakes import tiny_model
from tunery.engine.adapter import write_adapter
from tunery.engine.answers.cache import DecodeLayout, KeyValueCache, PrefillLayout
from tunery.engine.answers.generator import Request
from tunery.engine.answers.lean import LEAN_FAMILIES, LeanModel
from tunery.engine.encoding import EncodedExample
from tunery.engine.layers.lora import Adapter, RowGroup
from tunery.engine.layers.network import Network
from tunery.engine.layers.packing import pack
from tunery.types import SamplingSettings

SLOTS = {1: 4, 2: 2, 3: 7}  # slot → rank


def adapted(network: Network) -> Network:
    """Install adapters of different rank."""
    for slot, rank in SLOTS.items():
        adapter = network.fresh_adapter(rank, 2.0 * rank, slot)
        adapter.flat.normal_(0, 0.2, generator=torch.Generator().manual_seed(slot))
        network.install(slot, adapter)
    return network


def filled(network: Network, slots: list[int | None], dtype: torch.dtype | None) -> KeyValueCache:
    """Return a cache in which each row holds a prompt that its adapter has read."""
    cache = KeyValueCache(dtype)
    for prompt, slot in zip(PROMPTS, slots, strict=False):
        batch = pack([EncodedExample(prompt, len(prompt))])
        layout = PrefillLayout(batch.layout, cache, (cache.add_slot(),), ((0, len(prompt)),))
        with network.rows([RowGroup(0, None, slot)]):
            network.hidden(batch.token_ids, batch.positions, layout)
        cache.lengths[-1] = len(prompt)
    return cache


def generic_logits(network: Network, slots: list[int | None], token_ids: list[int]) -> torch.Tensor:
    cache = filled(network, slots, None)
    lengths = torch.tensor(cache.lengths)
    with network.rows([RowGroup(index, index + 1, slot) for index, slot in enumerate(slots)]):
        hidden = network.hidden(torch.tensor([token_ids]), lengths[None], DecodeLayout(cache, lengths))
    return network.head.logits(hidden)


def lean_logits(network: Network, slots: list[int | None], token_ids: list[int]) -> torch.Tensor:
    lean = LeanModel.of(network)
    assert lean is not None
    adapters: list[Adapter | None] = [None if slot is None else network.adapters[slot] for slot in slots]
    return lean.logits(token_ids, filled(network, slots, lean.dtype), lean.bank(), adapters)


@pytest.mark.parametrize(
    "slots",
    [[None], [1], [1, 2, 3, None], [2, 2, 2], [1, 2, 1, None, 1], [None, None]],
    ids=["base", "one", "all different", "all the same", "mixed", "bases"],
)
@pytest.mark.parametrize("family", sorted(LEAN_FAMILIES))
@torch.inference_mode()
def test_logits_are_those_of_the_modules_in_float64(family: str, slots: list[int | None]) -> None:
    """Whatever adapters the rows use, the lean step gives the logits of the generic path to 1e-9."""
    network = adapted(make_network(family, torch.float64))
    token_ids = [11, 12, 13, 14, 15][: len(slots)]

    ours = lean_logits(network, slots, token_ids)

    torch.testing.assert_close(ours, generic_logits(network, slots, token_ids), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", sorted(LEAN_FAMILIES))
@torch.inference_mode()
def test_logits_are_those_of_the_modules_in_float32(family: str) -> None:
    """In float32 to 1e-5 of the largest."""
    network = adapted(make_network(family, torch.float32))
    slots: list[int | None] = [1, 2, 1, None, 3]

    ours = lean_logits(network, slots, [11, 12, 13, 14, 15])

    theirs = generic_logits(network, slots, [11, 12, 13, 14, 15])
    assert float((ours - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())


@pytest.mark.parametrize("family", sorted(LEAN_FAMILIES))
@pytest.mark.parametrize("slot", [None, 1])
@torch.inference_mode()
def test_logits_ahead_are_those_of_one_token_after_another(family: str, slot: int | None) -> None:
    """Four tokens of one answer at once give what four steps give, to 1e-9 in float64."""
    network = adapted(make_network(family, torch.float64))
    lean = LeanModel.of(network)
    assert lean is not None
    adapter = None if slot is None else network.adapters[slot]
    together, single = filled(network, [slot], lean.dtype), filled(network, [slot], lean.dtype)

    ahead = lean.logits_ahead([11, 12, 13, 14], together, lean.bank(), adapter)

    bank = lean.bank()
    for index, token in enumerate([11, 12, 13, 14]):
        (logits,) = lean.logits([token], single, bank, [adapter])
        single.lengths[0] += 1
        torch.testing.assert_close(ahead[index], logits, rtol=1e-9, atol=1e-9)


@torch.inference_mode()
def test_logits_in_bfloat16_are_no_further_from_the_truth_than_those_of_the_modules() -> None:
    """Reordered products and float32 in between: the distance from float64 does not grow."""
    slots: list[int | None] = [1, 2, 1, None, 3]
    token_ids = [11, 12, 13, 14, 15]
    network = adapted(make_network("llama", torch.bfloat16))
    exact = make_network("llama", torch.float64)  # the same weights, then rounded the same way
    for parameter, rounded in zip(exact.model.parameters(), network.model.parameters(), strict=True):
        parameter.copy_(rounded)
    for path, layer in exact.layers.items():
        layer.weight = network.layers[path].weight.double()
    for slot in SLOTS:
        exact.install(slot, Adapter(network.adapters[slot].shape, network.adapters[slot].flat.double()))
    truth = generic_logits(exact, slots, token_ids)

    logits = lean_logits(network, slots, token_ids)
    ours = (logits - truth).norm()

    best = logits.amax(1)
    assert not torch.equal(best, best.bfloat16().to(best.dtype))  # the tokens that are drawn have more digits
    assert ours <= 1.2 * (generic_logits(network, slots, token_ids) - truth).norm()


def test_greedy_tokens_equal_those_of_peft_with_adapters_of_different_rank(tmp_path: Path) -> None:
    """Rows of three adapters and the base, more than run at once, in float32, are those of PEFT for each alone."""
    network = adapted(make_network("llama", torch.float32))
    slots = (1, 2, None, 3, 1)

    requests = [Request(prompt, SETTINGS, slot) for prompt, slot in zip(PROMPTS, slots, strict=True)]
    ours = tokens(list(make_generator(network, max_rows=3).answer(requests)), len(PROMPTS))

    for prompt, slot, row in zip(PROMPTS, slots, ours, strict=True):
        model = tiny_model("llama", torch.float32, "sdpa")
        if slot is not None:
            write_adapter(tmp_path / str(slot), network.adapters[slot], base_model="tiny")
            model = PeftModel.from_pretrained(model, str(tmp_path / str(slot))).eval()
        assert row == greedy(model, prompt)


@pytest.mark.parametrize("temperature", [0.0, 1.2])
def test_guesses_change_nothing_but_the_number_of_steps(temperature: float) -> None:
    """A row alone, whose guesses are checked, draws the tokens that it draws beside others, where none are made."""
    network = adapted(make_network("llama", torch.float64))
    prompt = (5, 6, 7, 8) * 5
    settings = SamplingSettings(max_output_tokens=40, temperature=temperature, top_k=2, seed=3)
    requests = [Request(prompt, settings, 1), Request(prompt, settings)]

    def answered(count: int) -> tuple[list[int], int]:
        generator, steps, pieces = make_generator(network), 0, []
        numbers = [generator.submit(request) for request in requests[:count]]
        while not generator.is_idle:
            pieces += [piece for piece in generator.step() if piece.number == numbers[0]]
            steps += 1
        return [int(word) for piece in pieces for word in piece.text.split()], steps

    alone, steps = answered(1)

    assert alone == answered(2)[0]
    assert steps < len(alone)


@pytest.mark.parametrize("family", ["gemma2", "gpt2", "olmo2", "phi3", "opt"])
def test_other_families_keep_their_modules(family: str) -> None:
    """A family of another shape has no lean form, which is no error."""
    assert LeanModel.of(make_network(family)) is None


def test_rotation_that_depends_on_the_length_is_left_to_the_modules() -> None:
    """Dynamic scaling of positions changes cached keys' meaning with the length of a row."""
    model = tiny_model("llama", torch.float32)
    model.model.rotary_emb.rope_type = "dynamic"

    assert LeanModel.of(Network(model)) is None


def test_cache_stays_within_its_bytes() -> None:
    """Rows wait while the cache has no room for them; every answer is the one it would be alone."""
    network = make_network(dtype=torch.float64)
    budget = 2 * 256 * 2 * 2 * 2 * 8 * 8  # two rows of one chunk: layers, keys and values, heads, width, bytes
    generator = make_generator(network, cache_bytes=budget)
    numbers = [generator.submit(Request(prompt, SETTINGS)) for prompt in PROMPTS]
    texts, most = dict.fromkeys(numbers, ""), 0

    while not generator.is_idle:
        for piece in generator.step():
            texts[piece.number] += piece.text
        most = max(most, generator.cache_bytes)

    assert 0 < most <= budget
    for prompt, number in zip(PROMPTS, numbers, strict=True):
        alone = "".join(piece.text for piece in make_generator(network).answer([Request(prompt, SETTINGS)]))
        assert texts[number] == alone
