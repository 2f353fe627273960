"""Tests of `engine.answers.prefixes`: a beginning that was read before changes nothing but the work."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.engine.answers.test_generator import Numbers, make_network, random_adapter, tokens
from tests.engine.tiny_bases import make_folder
from tunery.engine.answers.cache import KeyValueCache, PrefillLayout
from tunery.engine.answers.generator import Generator, Request
from tunery.engine.answers.native.step import CompiledStep
from tunery.engine.answers.prefixes import KnownPrefix, PrefixStore
from tunery.engine.base import load_folder
from tunery.engine.encoding import EncodedExample, Encoder
from tunery.engine.lora import RowGroup
from tunery.engine.network import Network
from tunery.engine.packing import ROUND_TOKENS, lane, pack
from tunery.engine.resident import ResidentBase
from tunery.types import SamplingSettings

INSTRUCTIONS = tuple(3 + number * 7 % 90 for number in range(2 * ROUND_TOKENS + 5))
PROMPTS = tuple((*INSTRUCTIONS, *rest) for rest in ((5, 6, 7), (8,), (9, 10, 11, 12), (8, 9)))
SETTINGS = SamplingSettings(max_output_tokens=8)


def layers_of(count: int, tokens: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.ones(2, tokens, 8), torch.ones(2, tokens, 8)) for _ in range(count)]


def read(network: Network, prompt: tuple[int, ...], known: KnownPrefix | None) -> tuple[torch.Tensor, KeyValueCache]:
    """Return the logits that follow a prompt of slot 1, and the cache that it has left."""
    whole, cache = pack([EncodedExample(prompt, len(prompt))]), KeyValueCache()
    begin = known.tokens if known else 0
    batch = lane(whole, begin, len(whole.token_ids))
    layout = PrefillLayout(batch.layout, cache, (cache.add_slot(),), ((0, len(prompt)),), known)
    groups = [RowGroup(0, len(prompt) - begin, 1)]
    hidden = network.hidden(batch.token_ids, batch.positions, layout, groups)
    return network.head.logits(hidden[len(prompt) - 1 - begin][None]), cache


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral", "gemma3_text", "gpt2", "lfm2"])
@torch.inference_mode()
def test_logits_are_those_of_the_whole_prompt(family: str, dtype: torch.dtype, tolerance: float) -> None:
    """Behind a known beginning the logits and the cache are those of reading everything, with windows too."""
    network, store = make_network(family, dtype), PrefixStore()
    network.install(1, random_adapter(network, 1, scale=0.05))
    store.keep(1, PROMPTS[0], read(network, PROMPTS[0], None)[1].layers(0), dtype)

    known = store.find(1, [PROMPTS[2]])
    assert known is not None
    ours, our_cache = read(network, PROMPTS[2], known)

    plain, plain_cache = read(network, PROMPTS[2], None)
    torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance * float(plain.abs().max()))
    for ours_of_layer, plain_of_layer in zip(our_cache.layers(0), plain_cache.layers(0), strict=True):
        torch.testing.assert_close(ours_of_layer, plain_of_layer, rtol=tolerance, atol=tolerance * 10)


def test_answers_are_equal_with_and_without() -> None:
    """Requests on two adapters and the base, one after another and together: every text is the same."""
    network, store = make_network(dtype=torch.float64), PrefixStore()
    for slot in (1, 2):
        network.install(slot, random_adapter(network, slot))
    batches = [
        [Request(PROMPTS[0], SETTINGS, 1)],
        [Request(PROMPTS[1], SETTINGS, 2)],
        [Request(prompt, SETTINGS, slot) for prompt in PROMPTS for slot in (None, 1, 2)],
        [Request(PROMPTS[3], SETTINGS)],
        [Request((50, 51), SETTINGS, 1), Request(PROMPTS[1], SETTINGS, 1)],
        [Request(PROMPTS[1], SETTINGS, 1)],
    ]

    for requests in batches:
        answers = []
        for prefixes in (store, None):
            generator = Generator(
                network, Encoder(Numbers(), 128), compiled=CompiledStep.of(network), prefixes=prefixes
            )
            answers.append(tokens(list(generator.answer(requests)), len(requests)))
        assert answers[0] == answers[1]


def test_slots_do_not_see_each_other() -> None:
    """What one slot has read is nothing to another, and nothing to the plain base."""
    store = PrefixStore()
    store.keep(1, PROMPTS[0], layers_of(2, 64), torch.float32)

    assert store.find(2, [PROMPTS[0]]) is None
    assert store.find(None, [PROMPTS[0]]) is None


def test_found_beginning_is_a_round_part_of_every_prompt() -> None:
    """As long as all prompts agree, rounded down, and never all of a prompt: its last token is still to be read."""
    store = PrefixStore()
    exact = INSTRUCTIONS[: 2 * ROUND_TOKENS]
    store.keep(1, PROMPTS[0], layers_of(2, 64), torch.float32)

    def found(*prompts: tuple[int, ...]) -> int:
        known = store.find(1, prompts)
        return known.tokens if known else 0

    assert found(PROMPTS[1], PROMPTS[2]) == 2 * ROUND_TOKENS
    assert found(exact) == ROUND_TOKENS
    assert found(PROMPTS[1], (*exact[:20], 1, 1, 1)) == ROUND_TOKENS
    assert found(PROMPTS[1], (1, 2, 3)) == 0


def test_newest_beginning_of_a_slot_replaces_the_one_before() -> None:
    """A slot has one beginning; other instructions take its place."""
    store = PrefixStore()
    store.keep(1, PROMPTS[0], layers_of(2, 64), torch.float32)
    first = store.bytes
    store.keep(1, tuple(range(3, 40)), layers_of(2, 64), torch.float32)

    assert store.find(1, [PROMPTS[1]]) is None
    assert store.find(1, [tuple(range(3, 60))]) is not None
    assert store.bytes == first


def test_budget_drops_what_was_used_longest_ago() -> None:
    """Two beginnings fit: the third drops the one that nobody asked for; one larger than the budget is not kept."""
    size = 2 * 2 * 2 * (2 * ROUND_TOKENS) * 8 * 4  # layers, keys and values, heads, tokens, width, float32
    store = PrefixStore(budget_bytes=2 * size)
    for slot in (1, 2):
        store.keep(slot, PROMPTS[0], layers_of(2, 64), torch.float32)
    store.find(1, [PROMPTS[1]])
    store.keep(3, PROMPTS[0], layers_of(2, 64), torch.float32)

    assert [slot for slot in (1, 2, 3) if store.find(slot, [PROMPTS[1]])] == [1, 3]
    assert store.bytes == 2 * size
    store.keep(1, PROMPTS[0] * 5, layers_of(2, 512), torch.float32)
    assert store.find(1, [PROMPTS[0]]) is None


def test_removed_model_leaves_nothing_behind(tmp_path: Path) -> None:
    """Whoever takes an adapter out of a resident base takes its beginning out too."""
    resident = ResidentBase(load_folder(make_folder(tmp_path / "tiny"), dtype=torch.float32))
    slot = resident.add(random_adapter(resident.network, 1))
    resident.answers(["x" * 40], SamplingSettings(max_output_tokens=2), slot)
    kept = resident.prefixes.bytes

    resident.remove(slot)

    assert kept > 0
    assert resident.prefixes.bytes == 0
