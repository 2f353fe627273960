"""Tests of `engine.answers.native`: the compiled step gives the numbers of torch's, from weights in any form."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tests.engine.answers.test_generator import PROMPTS, SETTINGS, greedy, make_generator, make_network, tokens
from tests.fakes import network_of, tiny_model
from tunery.engine import compiled as built
from tunery.engine.adapter import write_adapter
from tunery.engine.answers.cache import DecodeLayout, KeyValueCache, PrefillLayout
from tunery.engine.answers.generator import Request
from tunery.engine.answers.native import step
from tunery.engine.answers.native.step import CompiledStep
from tunery.engine.conversion import FourBitWeight
from tunery.engine.lora import Adapter, RowGroup
from tunery.engine.network import Network
from tunery.engine.packing import pack
from tunery.engine.rows import EncodedExample
from tunery.types import SamplingSettings

RANKS = {1: 4, 2: 2, 3: 7}  # slot → rank
SLOTS: list[int | None] = [1, 2, 1, None, 3]
TOKENS = [11, 12, 13, 14, 15]


@pytest.fixture(autouse=True)
def library_is_there() -> None:
    """A package without its step answers too, slower; here it must be there, and of this source."""
    assert built.library() is not None, "there is no compiled step of this source: make step"


def adapted(network: Network) -> Network:
    """Install adapters of different rank."""
    for slot, rank in RANKS.items():
        adapter = network.fresh_adapter(rank, 2.0 * rank, slot)
        adapter.flat.normal_(0, 0.2, generator=torch.Generator().manual_seed(slot))
        network.install(slot, adapter)
    return network


def filled(network: Network, slots: list[int | None], dtype: torch.dtype | None = None) -> KeyValueCache:
    """Return a cache in which each row holds a prompt that its adapter has read."""
    cache = KeyValueCache(dtype)
    for prompt, slot in zip(PROMPTS, slots, strict=False):
        batch = pack([EncodedExample(prompt, len(prompt))])
        layout = PrefillLayout(batch.layout, cache, (cache.add_slot(),), ((0, len(prompt)),))
        network.hidden(batch.token_ids, batch.positions, layout, [RowGroup(0, None, slot)])
        cache.lengths[-1] = len(prompt)
    return cache


def plain_logits(network: Network, slots: list[int | None], token_ids: list[int]) -> Tensor:
    """Return what `decoder.py` gives for one new token of each row."""
    cache = filled(network, slots)
    lengths = torch.tensor(cache.lengths)
    groups = [RowGroup(index, index + 1, slot) for index, slot in enumerate(slots)]
    hidden = network.hidden(torch.tensor(token_ids), lengths, DecodeLayout(cache, lengths), groups)
    return network.head.logits(hidden)


def compiled_logits(network: Network, slots: list[int | None], token_ids: list[int]) -> Tensor:
    compiled = CompiledStep.of(network)
    assert compiled is not None
    adapters = [None if slot is None else network.adapters[slot] for slot in slots]
    return compiled.logits(token_ids, filled(network, slots, torch.float32), adapters)


def random_four_bit(rows: int, columns: int, seed: int) -> FourBitWeight:
    random = torch.Generator().manual_seed(seed)
    quants = torch.randint(0, 16, (rows, columns), generator=random, dtype=torch.uint8)
    scales = torch.empty(rows, columns // 32).uniform_(0.01, 0.1, generator=random).bfloat16()
    return FourBitWeight(quants, scales, torch.empty_like(scales).normal_(0, 0.1, generator=random))


def make_model() -> LlamaForCausalLM:
    """Return a Llama whose layers are wide enough for records, 64 inputs each."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(vocab_size=99, num_hidden_layers=2, head_dim=16, tie_word_embeddings=False, **sizes)
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(0, 0.15)
    return model


def as_four_bit(model: LlamaForCausalLM) -> dict[str, FourBitWeight]:
    """Give all layers weights that came in 4 bits and were kept in bfloat16 since."""
    weights = {}
    for seed, (name, parameter) in enumerate(model.named_parameters()):
        if "proj" in name:
            weights[name] = random_four_bit(*parameter.shape, seed)
            parameter.copy_(weights[name].dense().bfloat16())
    return weights


def as_eight_bit(model: LlamaForCausalLM) -> dict[str, FourBitWeight]:
    """Give all layers and the head weights that came in 8 bits and were kept in bfloat16 since."""
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.copy_(eight_bit(parameter))
    return {}


def eight_bit(weight: Tensor) -> Tensor:
    blocks = weight.view(-1, 32)
    scales = (blocks.abs().amax(1, keepdim=True) / 127).half().float()
    quants = (blocks / scales).round() + 0.0  # whole numbers have no negative zero
    return (quants * scales).view(weight.shape).bfloat16().float()


def as_bfloat16(model: LlamaForCausalLM) -> dict[str, FourBitWeight]:
    for parameter in model.parameters():
        parameter.copy_(parameter.bfloat16())
    return {}


def as_it_is(_model: LlamaForCausalLM) -> dict[str, FourBitWeight]:
    return {}


FORMS: dict[int, Callable[[LlamaForCausalLM], Mapping[str, FourBitWeight]]] = {
    step.WIDE: as_it_is,
    step.PAIRED: as_bfloat16,
    step.FOUR_BIT: as_four_bit,
    step.EIGHT_BIT: as_eight_bit,
}


@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_weights_in_any_form_give_the_logits_of_the_modules(form: int) -> None:
    """Five rows, three adapters and the base: to 1e-5 of the largest, and really from weights in that form."""
    model = make_model()
    four_bit = FORMS[form](model)
    network = adapted(network_of(model))
    compiled = CompiledStep.of(network, lambda: four_bit)
    assert compiled is not None
    adapters = [None if slot is None else network.adapters[slot] for slot in SLOTS]

    ours = compiled.logits(TOKENS, filled(network, SLOTS, torch.float32), adapters)

    theirs = plain_logits(network, SLOTS, TOKENS)
    assert float((ours - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())
    assert compiled.forms == {form}


@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_a_processor_without_avx2_gets_the_same_logits(form: int) -> None:
    """Both builds in the library give the logits of the modules, to 1e-5 of the largest."""
    loaded = built.library()
    assert loaded is not None
    model = make_model()
    four_bit = FORMS[form](model)
    network = adapted(network_of(model))
    theirs = plain_logits(network, SLOTS, TOKENS)
    adapters = [None if slot is None else network.adapters[slot] for slot in SLOTS]

    try:
        used = [built.use_build(loaded, name) for name in ("avx2", "plain")]
        for name in filter(None, used):
            built.use_build(loaded, name)
            compiled = CompiledStep(loaded, network, lambda: four_bit)
            ours = compiled.logits(TOKENS, filled(network, SLOTS, torch.float32), adapters)
            assert float((ours - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())
            assert compiled.forms == {form}
    finally:
        built.use_build(loaded)
    assert "plain" in used


def test_a_build_that_is_not_there_is_not_used() -> None:
    loaded = built.library()
    assert loaded is not None

    assert built.use_build(loaded, "none") is None
    assert built.use_build(loaded) in ("avx2", "plain")


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_an_answer_does_not_depend_on_its_neighbours_or_on_threads(form: int, threads: int) -> None:
    """The logits of each row are, bit by bit, those of the row alone on one thread."""
    model = make_model()
    four_bit = FORMS[form](model)
    network = adapted(network_of(model))
    compiled = CompiledStep.of(network, lambda: four_bit)
    assert compiled is not None
    rows = list(zip(SLOTS * 2, TOKENS * 2, strict=True))

    def logits(chosen: list[tuple[int | None, int]]) -> Tensor:
        slots = [slot for slot, _ in chosen]
        adapters = [None if slot is None else network.adapters[slot] for slot in slots]
        cache = filled(network, [None], torch.float32)
        for _ in chosen[1:]:
            cache.add_slot()
        cache.lengths = [0] * len(chosen)
        return compiled.logits([token for _, token in chosen], cache, adapters)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = torch.cat([logits([row]) for row in rows])
        torch.set_num_threads(threads)
        together = logits(rows)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, alone)


@pytest.mark.parametrize(
    "slots",
    [[None], [1], [1, 2, 3, None], [2, 2, 2], [1, 2, 1, None, 1], [None, None]],
    ids=["base", "one", "all different", "all the same", "mixed", "bases"],
)
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
@torch.inference_mode()
def test_logits_are_those_of_the_decoder(family: str, slots: list[int | None]) -> None:
    """Whatever adapters the rows use, to 1e-5 of the largest."""
    network = adapted(make_network(family))

    ours = compiled_logits(network, slots, TOKENS[: len(slots)])

    theirs = plain_logits(network, slots, TOKENS[: len(slots)])
    assert float((ours - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())


@torch.inference_mode()
def test_a_base_in_bfloat16_is_answered_nearer_to_the_truth() -> None:
    """Between its products the compiled step computes in float32: the distance from float64 does not grow."""
    network = adapted(make_network("llama", torch.bfloat16))
    model = tiny_model("llama", torch.bfloat16).double()
    exact = network_of(model)
    for slot in RANKS:
        exact.install(slot, Adapter(network.adapters[slot].shape, network.adapters[slot].flat.double()))
    truth = plain_logits(exact, SLOTS, TOKENS)

    ours = (compiled_logits(network, SLOTS, TOKENS) - truth).norm()

    assert ours <= 1.2 * (plain_logits(network, SLOTS, TOKENS) - truth).norm()


@pytest.mark.parametrize("family", ["llama", "mistral"])
@torch.inference_mode()
def test_long_rows_give_the_logits_of_the_decoder(family: str) -> None:
    """Seventy tokens after one another, beyond Mistral's window of the test: keys and values are the same too."""
    network = adapted(make_network(family))
    compiled = CompiledStep.of(network)
    assert compiled is not None
    ours, theirs = filled(network, [1], torch.float32), filled(network, [1])

    for number in range(70):
        token, lengths = number % 40 + 3, torch.tensor(theirs.lengths)
        logits = compiled.logits([token], ours, [network.adapters[1]])
        layout = DecodeLayout(theirs, lengths)
        expected = network.head.logits(network.hidden(torch.tensor([token]), lengths, layout, [RowGroup(0, 1, 1)]))
        assert float((logits - expected).abs().max()) <= 1e-5 * float(expected.abs().max())
        for cache in (ours, theirs):
            cache.lengths[0] += 1


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
    network = adapted(make_network("llama"))
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


@pytest.mark.parametrize("family", ["gemma2", "gpt2", "olmo2", "phi3", "gemma3_text", "granite", "lfm2", "helium"])
def test_other_shapes_are_left_to_the_decoder(family: str) -> None:
    """A family of another shape has no compiled form, which is no error."""
    assert CompiledStep.of(make_network(family)) is None


def test_rotation_that_depends_on_the_length_is_left_to_the_decoder() -> None:
    """Frequencies for long rows change cached keys' meaning with the length of a row."""
    network = make_network("llama")
    (rotation,) = network.spec.rotations.values()
    changed = replace(network.spec, rotations={"all": replace(rotation, long=rotation.frequencies, limit=9)})

    assert CompiledStep.of(Network(changed, network.weights)) is None


def test_cache_stays_within_its_bytes() -> None:
    """Rows wait while the cache has no room for them; every answer is the one it would be alone."""
    network = make_network()
    budget = 2 * 256 * network.token_bytes(torch.float32)  # two rows of one chunk
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


@pytest.mark.parametrize("slot", [None, 1])
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen3"])
@torch.inference_mode()
def test_tokens_ahead_are_those_of_one_after_another(family: str, slot: int | None) -> None:
    """Four successive tokens of one answer at once give, bit by bit, the logits of four steps."""
    network = adapted(make_network(family))
    compiled = CompiledStep.of(network)
    assert compiled is not None
    adapter = None if slot is None else network.adapters[slot]
    together, single = filled(network, [slot], torch.float32), filled(network, [slot], torch.float32)

    ahead = compiled.logits_ahead([11, 12, 13, 14], together, adapter)

    for index, token in enumerate([11, 12, 13, 14]):
        (logits,) = compiled.logits([token], single, [adapter])
        single.lengths[0] += 1
        assert torch.equal(ahead[index], logits)


@torch.inference_mode()
def test_an_adapter_of_some_layers_leaves_the_others_as_they_are() -> None:
    """PEFT adapters may adapt queries and values alone."""
    network = make_network()
    whole = network.fresh_adapter(4, 8.0, 1).shape
    chosen = tuple(layer for layer in whole.layers if layer[0].endswith(("q_proj", "v_proj")))
    shape = replace(whole, layers=chosen)
    values = torch.empty(shape.size).normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    network.install(1, Adapter(shape, values))
    compiled = CompiledStep.of(network)
    assert compiled is not None

    ours = compiled.logits([11], filled(network, [1], torch.float32), [network.adapters[1]])

    theirs = plain_logits(network, [1], [11])
    assert float((ours - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())
    assert not torch.allclose(ours, plain_logits(network, [None], [11]), atol=1e-2)


def test_a_weight_that_differs_in_one_bit_is_not_kept_in_fewer_bits() -> None:
    """Records are taken only if they widen to every weight exactly."""
    loaded = built.library()
    assert loaded is not None
    four_bit = random_four_bit(8, 64, 1)
    weight = four_bit.dense().bfloat16().float()
    assert step.stored_form(loaded, weight, four_bit)[0] == step.FOUR_BIT

    weight.view(torch.int32)[5, 7] += 1 << 16

    assert step.stored_form(loaded, weight, four_bit)[0] == step.PAIRED


def test_rounding_that_fails_at_the_top_of_a_binade_is_noticed() -> None:
    """2 − 2^-23 is all ones: rounded by adding 2^16 times itself it does not become 2, so no record is made."""
    loaded = built.library()
    assert loaded is not None
    four_bit = FourBitWeight(
        torch.full((8, 64), 9, dtype=torch.uint8),
        torch.full((8, 2), -(2.0**-23)).bfloat16(),
        torch.full((8, 2), 2.0).bfloat16(),
    )
    weight = four_bit.dense()
    assert bool((weight < 2).all())

    assert step.stored_form(loaded, weight.bfloat16().float(), four_bit)[0] != step.FOUR_BIT


def test_a_library_of_another_source_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of the source, or an update that left an old library, torch's operations answer."""
    shutil.copytree(built.SOURCE, tmp_path / "other")
    with (tmp_path / "other" / "model.h").open("a") as header:
        header.write("\n")
    monkeypatch.setattr(built, "SOURCE", tmp_path / "other")

    assert built.library.__wrapped__() is None


def test_without_a_library_torchs_operations_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package built where there was no compiler has no library."""
    monkeypatch.setattr(built, "LIBRARY", tmp_path / "missing.so")

    assert built.library.__wrapped__() is None


@torch.inference_mode()
def test_sizes_that_do_not_come_in_eights_are_left_to_the_decoder() -> None:
    """A hidden size of 36 has no compiled form, and answers all the same."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 36, "intermediate_size": 52, "num_attention_heads": 3, "num_key_value_heads": 3}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=99, num_hidden_layers=2, head_dim=12, **sizes)).eval()
    network = network_of(model.requires_grad_(False))

    assert CompiledStep.of(network) is None
    assert plain_logits(network, [None], [11]).isfinite().all()
