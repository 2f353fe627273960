"""Tests of `engine.answers.native`: the compiled step gives the numbers of torch's, from weights in any form."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tests.engine.answers.test_generator import make_network
from tests.engine.answers.test_lean import adapted, filled, generic_logits
from tunery.engine.answers.lean import LeanModel
from tunery.engine.answers.native import library, step
from tunery.engine.conversion import FourBitWeight
from tunery.engine.layers.lora import Adapter
from tunery.engine.layers.network import Network

SLOTS: list[int | None] = [1, 2, 1, None, 3]
TOKENS = [11, 12, 13, 14, 15]


@pytest.fixture(autouse=True)
def compiled() -> None:
    """A package without its step answers too, slower; here it must be there, and of this source."""
    if not library.can_run():
        pytest.skip("this processor has no AVX2: torch's operations answer")
    assert library.library() is not None, "there is no compiled step of this source: make step"


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
    network = adapted(Network(model))
    lean = LeanModel.of(network, lambda: four_bit)
    assert lean is not None
    adapters = [None if slot is None else network.adapters[slot] for slot in SLOTS]

    ours = lean.logits(TOKENS, filled(network, SLOTS, lean.dtype), lean.bank(), adapters)

    theirs = generic_logits(network, SLOTS, TOKENS)
    assert float((ours - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())
    assert lean.native is not None
    assert lean.native.forms == {form}


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_an_answer_does_not_depend_on_its_neighbours_or_on_threads(form: int, threads: int) -> None:
    """The logits of each row are, bit by bit, those of the row alone on one thread."""
    model = make_model()
    four_bit = FORMS[form](model)
    network = adapted(Network(model))
    lean = LeanModel.of(network, lambda: four_bit)
    assert lean is not None
    rows = list(zip(SLOTS * 2, TOKENS * 2, strict=True))

    def logits(chosen: list[tuple[int | None, int]]) -> Tensor:
        slots = [slot for slot, _ in chosen]
        adapters = [None if slot is None else network.adapters[slot] for slot in slots]
        cache = filled(network, [None], lean.dtype)
        for _ in chosen[1:]:
            cache.add_slot()
        cache.lengths = [0] * len(chosen)
        return lean.logits([token for _, token in chosen], cache, lean.bank(), adapters)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = torch.cat([logits([row]) for row in rows])
        torch.set_num_threads(threads)
        together = logits(rows)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, alone)


@pytest.mark.parametrize("family", ["llama", "mistral"])
@torch.inference_mode()
def test_long_rows_give_the_logits_of_torchs_operations(family: str) -> None:
    """Seventy tokens after one another, beyond Mistral's window of the test: keys and values are the same too."""
    network = adapted(make_network(family))
    ours, theirs = LeanModel.of(network), LeanModel.of(network, is_compiled=False)
    assert ours is not None
    assert theirs is not None
    caches, banks = [filled(network, [1], lean.dtype) for lean in (ours, theirs)], (ours.bank(), theirs.bank())

    for token in range(70):
        pair = [
            lean.logits([token % 40 + 3], cache, bank, [network.adapters[1]])
            for lean, cache, bank in zip((ours, theirs), caches, banks, strict=True)
        ]
        assert float((pair[0] - pair[1]).abs().max()) <= 1e-5 * float(pair[1].abs().max())
        for cache in caches:
            cache.lengths[0] += 1


@pytest.mark.parametrize("slot", [None, 1])
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen3"])
@torch.inference_mode()
def test_tokens_ahead_are_those_of_one_after_another(family: str, slot: int | None) -> None:
    """Four successive tokens of one answer at once give, bit by bit, the logits of four steps."""
    network = adapted(make_network(family))
    lean = LeanModel.of(network)
    assert lean is not None
    adapter = None if slot is None else network.adapters[slot]
    together, single = filled(network, [slot], lean.dtype), filled(network, [slot], lean.dtype)

    ahead = lean.logits_ahead([11, 12, 13, 14], together, lean.bank(), adapter)

    assert lean.native is not None
    for index, token in enumerate([11, 12, 13, 14]):
        (logits,) = lean.logits([token], single, lean.bank(), [adapter])
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
    lean = LeanModel.of(network)
    assert lean is not None

    ours = lean.logits([11], filled(network, [1], lean.dtype), lean.bank(), [network.adapters[1]])

    assert lean.native is not None
    theirs = generic_logits(network, [1], [11])
    assert float((ours - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())
    assert not torch.allclose(ours, generic_logits(network, [None], [11]), atol=1e-2)


def test_a_weight_that_differs_in_one_bit_is_not_kept_in_fewer_bits() -> None:
    """Records are taken only if they widen to every weight exactly."""
    compiled = library.library()
    assert compiled is not None
    four_bit = random_four_bit(8, 64, 1)
    weight = four_bit.dense().bfloat16().float()
    assert step.stored_form(compiled, weight, four_bit)[0] == step.FOUR_BIT

    weight.view(torch.int32)[5, 7] += 1 << 16

    assert step.stored_form(compiled, weight, four_bit)[0] == step.PAIRED


def test_rounding_that_fails_at_the_top_of_a_binade_is_noticed() -> None:
    """2 − 2^-23 is all ones: rounded by adding 2^16 times itself it does not become 2, so no record is made."""
    compiled = library.library()
    assert compiled is not None
    four_bit = FourBitWeight(
        torch.full((8, 64), 9, dtype=torch.uint8),
        torch.full((8, 2), -(2.0**-23)).bfloat16(),
        torch.full((8, 2), 2.0).bfloat16(),
    )
    weight = four_bit.dense()
    assert bool((weight < 2).all())

    assert step.stored_form(compiled, weight.bfloat16().float(), four_bit)[0] != step.FOUR_BIT


def test_a_library_of_another_source_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of the source, or an update that left an old library, torch's operations answer."""
    shutil.copytree(library.SOURCE, tmp_path / "other")
    with (tmp_path / "other" / "model.h").open("a") as header:
        header.write("\n")
    monkeypatch.setattr(library, "SOURCE", tmp_path / "other")

    assert library.library.__wrapped__() is None


def test_without_a_library_torchs_operations_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package built where there was no compiler has no library."""
    monkeypatch.setattr(library, "LIBRARY", tmp_path / "missing.so")

    assert library.library.__wrapped__() is None


@torch.inference_mode()
def test_sizes_that_do_not_come_in_eights_are_left_to_torch() -> None:
    """A hidden size of 36 has no compiled form, and answers all the same."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 36, "intermediate_size": 52, "num_attention_heads": 3, "num_key_value_heads": 3}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=99, num_hidden_layers=2, head_dim=12, **sizes)).eval()
    network = Network(model.requires_grad_(False))
    lean = LeanModel.of(network)
    assert lean is not None

    ours = lean.logits([11], filled(network, [None], lean.dtype), lean.bank(), [None])

    assert lean.native is None
    torch.testing.assert_close(ours, generic_logits(network, [None], [11]), rtol=1e-4, atol=1e-5)
