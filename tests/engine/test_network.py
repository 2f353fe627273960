"""Tests of `engine.network`: both ways through a model give what stock PEFT on the plain padded batch gives."""

from __future__ import annotations

import copy
import gc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from tests.fakes import any_network, network_of, random_rows, tiny_model, tiny_network
from tunery.engine import attention, packing
from tunery.engine.decoder import forward
from tunery.engine.fallback import FallbackNetwork
from tunery.engine.families import FAMILIES
from tunery.engine.lora import Adapter, RowGroup
from tunery.engine.loss import LABEL_SMOOTHING
from tunery.engine.network import Network, _AnswersObjective
from tunery.engine.packing import pack
from tunery.engine.rows import EncodedExample
from tunery.engine.weights import arranged

# transformers has no attention in float64 for gemma2: its soft cap needs the eager form, whose softmax is in float32
FLOAT64_FAMILIES = sorted(FAMILIES.keys() - {"gemma2"})
UNKNOWN = ("opt", "bloom", "mamba", "gptj")


def adapted(network: Network | FallbackNetwork, seed: int = 1) -> tuple[Adapter, Tensor]:
    """Install an adapter of random weights with a place for its gradient."""
    adapter = network.fresh_adapter(4, 8, seed)
    adapter.flat.normal_(0, 0.2, generator=torch.Generator().manual_seed(seed))
    gradient = torch.zeros_like(adapter.flat)
    network.install(0, adapter, gradient)
    return adapter, gradient


def peft_twin(model: Any, adapter: Adapter) -> Any:
    names = sorted({path.rpartition(".")[2] for path, _, _ in adapter.shape.layers})
    is_transposed = model.config.model_type == "gpt2"
    twin = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=names, fan_in_fan_out=is_transposed)).to(
        adapter.flat.dtype
    )
    weights = dict(twin.named_parameters())
    for path, down, up in adapter.shape.pairs(adapter.flat):
        weights[f"base_model.model.{path}.lora_A.default.weight"].data.copy_(down)
        weights[f"base_model.model.{path}.lora_B.default.weight"].data.copy_(up)
    return twin.eval()


def padded_loss(model: Any, rows: Sequence[EncodedExample]) -> Tensor:
    """The plain way: a padded rectangle, a mask, cross-entropy on the answer tokens."""
    longest = max(len(row.token_ids) for row in rows)
    token_ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(token_ids)
    for index, row in enumerate(rows):
        token_ids[index, : len(row.token_ids)] = torch.tensor(row.token_ids)
        mask[index, : len(row.token_ids)] = 1
    logits = model(input_ids=token_ids, attention_mask=mask, use_cache=False).logits
    total = torch.zeros((), dtype=torch.float64)
    for row, scores in zip(rows, logits, strict=True):
        targets = torch.tensor(row.token_ids[row.answer_offset :])
        chosen = scores[row.answer_offset - 1 : len(row.token_ids) - 1]
        total = total + torch.nn.functional.cross_entropy(chosen.double(), targets, reduction="sum")
    return total


def peft_gradient(twin: Any, adapter: Adapter) -> Tensor:
    weights = dict(twin.named_parameters())
    gradient = torch.zeros_like(adapter.flat)
    for path, down, up in adapter.shape.pairs(gradient):
        for part, name in ((down, "A"), (up, "B")):
            grad = weights[f"base_model.model.{path}.lora_{name}.default.weight"].grad
            if grad is not None:  # mamba reads the weight of dt_proj past its module
                part.copy_(grad)
    return gradient


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


class WideNorm(nn.Module):
    """The root-mean-square norm of transformers without its detour over float32."""

    def __init__(self, theirs: Any) -> None:
        super().__init__()
        self.scale = theirs.weight + (1.0 if type(theirs).__name__.startswith("Gemma") else 0.0)
        self.epsilon = getattr(theirs, "variance_epsilon", None) or theirs.eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.scale


def widen_norms(model: Any) -> None:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__.endswith("RMSNorm"):
                setattr(parent, name, WideNorm(child))


def require_equal_step(network: Network | FallbackNetwork, reference: Any, tolerance: float, count: int = 4) -> None:
    """Compare loss and gradient of a step with those of PEFT on the padded batch."""
    adapter, gradient = adapted(network)
    rows = random_rows(count)
    loss = network.add_gradient(rows)

    twin = peft_twin(reference, adapter)
    expected = padded_loss(twin, rows)
    expected.backward()
    assert abs(loss - float(expected.detach())) <= tolerance * float(expected.detach())
    assert relative_difference(gradient, peft_gradient(twin, adapter)) <= tolerance


@pytest.mark.parametrize("block_tokens", [256, 5])
@pytest.mark.parametrize("family", FLOAT64_FAMILIES)
def test_packed_step_equals_padded_step_in_float64(
    family: str, block_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss and gradient of the packed, shared-prefix step equal those of PEFT on the padded batch to 1e-9."""
    monkeypatch.setattr(packing, "BLOCK_TOKENS", block_tokens)
    model = tiny_model(family, attention="sdpa")
    network = network_of(model)
    widen_norms(model)

    require_equal_step(network, model, 1e-9)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_packed_step_equals_padded_step_in_float32(family: str) -> None:
    """Against the model just as transformers loads it, the packed step in float32 agrees to 1e-5."""
    model = tiny_model(family, torch.float32, "eager" if family == "gemma2" else "sdpa")

    require_equal_step(network_of(model), model, 1e-5)


LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 100.0, "short_factor": [1.0, 1.5, 2.0, 3.0],
    "long_factor": [1.0, 2.0, 4.0, 8.0], "original_max_position_embeddings": 20,
}  # fmt: skip
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama 3.1": ("llama", {"rope_parameters": LLAMA3}),
    "llama, as older files say it": ("llama", {"rope_theta": 500.0, "rope_scaling": LLAMA3}),
    "llama, stretched": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0}}),
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "llama with wide heads": ("llama", {"head_dim": 12, "hidden_act": "gelu"}),
    "qwen 2.5, yarn": ("qwen2", {"rope_parameters": YARN}),
    "qwen 2 with windows": (
        "qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}
    ),
    "olmo 3, yarn": ("olmo3", {"rope_scaling": YARN}),
    "smollm 3 without rotation": ("smollm3", {"no_rope_layers": [1, 0]}),
    "phi 3, long": ("phi3", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 20}),
    "phi 4 mini, part of a head": (
        "phi3",
        {
            "rope_parameters": {**LONGROPE, "partial_rotary_factor": 0.5, "short_factor": [1.0, 2.0],
                                "long_factor": [1.0, 4.0]},
            "original_max_position_embeddings": 20,
        },
    ),
    "phi 3 with a window": ("phi3", {"sliding_window": 6}),
    "starcoder 2 with a window": ("starcoder2", {"sliding_window": 6}),
    "gpt neox, serial": ("gpt_neox", {"use_parallel_residual": False, "tie_word_embeddings": True}),
    "exaone 4 without windows": ("exaone4", {"sliding_window": None, "sliding_window_pattern": None}),
    "helium with biases": ("helium", {"attention_bias": True, "mlp_bias": True}),
    "lfm 2, convolutions of four": (
        "lfm2",
        {"layer_types": ["full_attention", "conv", "conv"], "conv_L_cache": 4, "block_auto_adjust_ff_dim": False},
    ),
    "gemma 3, stretched": (
        "gemma3_text",
        {"rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        }, "layer_types": ["sliding_attention", "full_attention"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_settings_of_a_family_are_computed(name: str) -> None:
    """Rotations of every kind, windows, biases and orders of the parts, in float64."""
    family, changes = VARIANTS[name]
    model = tiny_model(family, attention="sdpa", **changes)
    network = network_of(model)
    widen_norms(model)

    require_equal_step(network, model, 1e-9)


@pytest.mark.parametrize("family", UNKNOWN)
def test_unknown_family_takes_the_slow_exact_path(family: str) -> None:
    """A family that the decoder does not compute is tuned by the padded pass and gives PEFT's loss and gradient."""
    model = tiny_model(family, torch.float32)

    require_equal_step(FallbackNetwork(copy.deepcopy(model)), model, 2e-5, count=3)


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_mean_states_are_those_of_transformers(family: str) -> None:
    """After two thirds of the layers, whatever adapter the tuner has and whatever else is read with a row."""
    model, rows = tiny_model(family, torch.float32), random_rows(4)
    network = any_network(family, torch.float32)
    adapted(network)

    found = network.mean_states(rows, 2 / 3)

    ids = [torch.tensor([row.token_ids]) for row in rows]
    states = [model(input_ids=each, output_hidden_states=True).hidden_states[1][0] for each in ids]  # of two layers
    means = [own[row.answer_offset - 1 : -1].mean(0) for own, row in zip(states, rows, strict=True)]
    torch.testing.assert_close(found, torch.stack(means), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", [family for family in sorted(FAMILIES) if family != "gpt2"])
def test_layers_of_an_adapter_are_in_the_order_of_the_modules(family: str) -> None:
    """A seed draws the adapter that it has always drawn."""
    model = tiny_model(family)
    network = network_of(model)
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]

    assert list(network.linears) == [path for path in linear if module_of(path) not in ("lm_head", "embed_out")]


def module_of(path: str) -> str:
    return path.rpartition(".")[2]


OPTIONS = [(7, 2), (7, 8, 2), (9, 2), (5, 5, 5, 2)]
SHARES = [0.4, 0.3, 0.2, 0.1]


def labelled_rows(count: int) -> list[EncodedExample]:
    """Return rows with one of OPTIONS as answer; their prompts share a beginning."""
    made = []
    for number, row in enumerate(random_rows(count)):
        prompt = row.token_ids[: row.answer_offset]
        made.append(EncodedExample((*prompt, *OPTIONS[number % len(OPTIONS)]), len(prompt)))
    return made


def require_equal_label_step(network: Network | FallbackNetwork, reference: Any, tolerance: float) -> None:
    """Compare both losses and the gradient of their mixture with those of PEFT, an option a row of its own."""
    adapter, gradient = adapted(network)
    rows = labelled_rows(5)

    plain, labels = network.add_label_gradient(rows, dict(zip(OPTIONS, SHARES, strict=True)), 0.3, 0.7)

    twin = peft_twin(reference, adapter)
    wanted_plain = wanted_labels = torch.zeros((), dtype=torch.float64)
    for number, row in enumerate(rows):
        prompt, right = row.token_ids[: row.answer_offset], number % len(OPTIONS)
        losses = [padded_loss(twin, [EncodedExample((*prompt, *option), len(prompt))]) for option in OPTIONS]
        wanted_plain = wanted_plain + losses[right]
        scores = -torch.stack(losses) + torch.tensor(SHARES, dtype=torch.float64).log()
        wanted_labels = wanted_labels + nn.functional.cross_entropy(
            scores, torch.tensor(right), label_smoothing=LABEL_SMOOTHING
        )
    (0.3 * wanted_plain + 0.7 * wanted_labels).backward()
    assert plain == pytest.approx(float(wanted_plain.detach()), rel=tolerance)
    assert labels == pytest.approx(float(wanted_labels.detach()), rel=tolerance)
    assert relative_difference(gradient, peft_gradient(twin, adapter)) <= tolerance


@pytest.mark.parametrize("block_tokens", [256, 5])
@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "lfm2"])
def test_label_step_equals_peft_in_float64(family: str, block_tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts read once with all options behind them give the losses and the gradient of one row for each option."""
    monkeypatch.setattr(packing, "BLOCK_TOKENS", block_tokens)
    model = tiny_model(family, attention="sdpa")
    network = network_of(model)
    widen_norms(model)

    require_equal_label_step(network, model, 1e-9)


def test_label_step_with_capped_logits_equals_peft() -> None:
    """The soft cap of gemma 2 has its part in the gradient."""
    model = tiny_model("gemma2", torch.float32, "eager")

    require_equal_label_step(network_of(model), model, 2e-5)


def test_label_step_of_an_unknown_family_equals_peft() -> None:
    """The padded pass gives the same."""
    model = tiny_model("opt", torch.float32)

    require_equal_label_step(FallbackNetwork(copy.deepcopy(model)), model, 2e-5)


def test_sharing_the_prefix_changes_nothing() -> None:
    """The packed row with and without a shared prefix has the same loss and gradient."""
    network = tiny_network("llama")
    _, gradient = adapted(network)
    rows = random_rows(4)

    network.add_gradient(rows)
    shared = gradient.clone()
    gradient.zero_()
    network.add_gradient(rows, share_prefix=False)

    assert relative_difference(shared, gradient) <= 1e-12


def test_fresh_adapter_answers_like_the_base() -> None:
    """A new adapter changes no loss."""
    network = tiny_network("llama")
    rows = random_rows(3)
    plain = network.loss(rows)

    network.install(0, network.fresh_adapter(4, 8, seed=0))
    fresh = network.loss(rows)

    assert fresh == pytest.approx(plain, abs=1e-12)


def test_head_is_not_adapted() -> None:
    """Every linear layer has a place for an adapter, the vocabulary projection has none."""
    network = tiny_network("llama")

    names = {module_of(path) for path in network.linears}

    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert len(network.linears) == 14


def test_an_adapter_without_some_layers_leaves_them_as_they_are() -> None:
    """An adapter of other makers may lack pairs: it counts as one whose pairs are zero there."""
    network = tiny_network("llama", lanes=False)
    adapter, _ = adapted(network)
    left_out = {"model.layers.0.mlp.up_proj", "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.down_proj"}
    for path, _, up in adapter.shape.pairs(adapter.flat):
        if path in left_out:
            up.zero_()
    expected = network.loss(random_rows(3))
    shape = replace(adapter.shape, layers=tuple(layer for layer in adapter.shape.layers if layer[0] not in left_out))
    parts = [part for name, *both in adapter.shape.pairs(adapter.flat) if name not in left_out for part in both]
    lacking = Adapter(shape, torch.cat([part.flatten() for part in parts]))
    gradient = torch.zeros_like(lacking.flat)

    network.remove(0)
    network.install(0, lacking, gradient)

    assert network.add_gradient(random_rows(3)) == pytest.approx(expected, rel=1e-12)
    assert gradient.abs().max() > 0


def test_removed_adapter_leaves_the_base() -> None:
    """After `remove` the loss is that of the base, in both lanes."""
    network = tiny_network("llama")
    plain = network.loss(random_rows(3))
    adapted(network)

    network.remove(0)

    assert network.loss(random_rows(3)) == pytest.approx(plain, rel=1e-12)


def test_only_named_rows_use_an_adapter() -> None:
    """While rows are named, only their slots count, whatever is being tuned in slot 0."""
    network = tiny_network("llama")
    batch = pack(random_rows(2))
    plain = network.hidden(batch.token_ids, batch.positions, batch.layout)
    adapted(network)

    served = network.hidden(batch.token_ids, batch.positions, batch.layout, [RowGroup(0, None, None)])

    assert torch.allclose(served, plain, rtol=1e-9, atol=1e-11)


def test_each_pass_reads_the_weights_as_they_are() -> None:
    """A change of the flat adapter counts from the next pass on, in both lanes."""
    network = tiny_network("llama")
    adapter, _ = adapted(network)
    network.add_gradient(random_rows(3))
    adapter.flat.mul_(0.5)

    loss = network.add_gradient(random_rows(3))

    other = tiny_network("llama")
    other.install(0, Adapter(adapter.shape, adapter.flat.clone()))
    assert loss == pytest.approx(other.loss(random_rows(3)), rel=1e-12)


def test_nothing_is_retained_after_a_pass() -> None:
    """No tensor of a pass is alive when it has ended."""
    network = tiny_network("llama", torch.float32, lanes=False)
    adapted(network)

    def living() -> int:
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())

    network.add_gradient(random_rows(3))
    gc.collect()
    before = living()
    for _ in range(3):
        network.add_gradient(random_rows(3))

    assert living() == before


def test_attention_weights_kept_or_made_anew_give_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long blocks compute them again for the gradient: the same bytes."""
    network = tiny_network("llama", torch.float32)
    _, gradient = adapted(network)
    network.add_gradient(random_rows(4))
    kept = gradient.clone()
    gradient.zero_()
    monkeypatch.setattr(attention, "KEPT_KEYS", 0)

    network.add_gradient(random_rows(4))

    assert torch.equal(kept, gradient)


@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_layers_computed_again_give_the_same_bytes(family: str, lanes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With only the inputs of layers saved: the same loss and the same gradient, bit by bit."""
    network, passed = tiny_network(family, torch.float32, lanes=lanes), []
    _, gradient = adapted(network)
    loss = network.add_gradient(random_rows(6))
    kept = gradient.clone()
    gradient.zero_()
    monkeypatch.setattr("tunery.engine.network.forward", lambda *given: passed.append(given[2]) or forward(*given))
    network.recomputes = True

    assert network.add_gradient(random_rows(6)) == loss

    assert torch.equal(kept, gradient)
    assert len(passed) == 2 * len(network.weights.layers) * (2 if lanes else 1)


def test_what_a_pass_saves_is_chosen_by_the_memory_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """First layers are computed again, which changes no number; only then are fewer rows taken at a time."""
    network = tiny_network("llama", torch.float32)
    whole = network.pass_bytes(4 * 20)
    network.recomputes = True
    again, two = network.pass_bytes(4 * 20), network.pass_bytes(2 * 20)
    assert whole > again > two

    def chosen(free: int | None) -> tuple[int, bool]:
        monkeypatch.setattr("tunery.engine.network.available_memory", lambda: free)
        return network.fit([5, 20, 20, 20, 20, 9], 4, 0), network.recomputes

    assert [chosen(free) for free in (None, whole, again, two, 0)] == [
        *((4, False), (4, False), (4, True), (2, True), (1, True))
    ]


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3_text", "olmo2", "lfm2"])
def test_bytes_do_not_depend_on_the_number_of_threads(family: str) -> None:
    """One thread or two: the same loss and the same gradient, bit by bit."""
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        network = tiny_network(family, torch.float32)
        _, gradient = adapted(network)
        found.append((network.add_gradient(random_rows(6)), gradient))
    torch.set_num_threads(before)

    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_step_leaves_no_tensor_on_the_host(family: str) -> None:
    """On the `meta` device, where a tensor of the host is an error, a step and hidden rows go through."""
    plain = tiny_network(family, torch.bfloat16)
    meta = {name: torch.empty_like(value, device="meta") for name, value in tiny_model(family).state_dict().items()}
    network = Network(plain.spec, arranged(meta, plain.spec))
    adapter, _ = adapted_on(network)
    batch = pack(random_rows(4))

    loss = network._lane(batch, _AnswersObjective(network.head, 1.0), 0)
    hidden = network.hidden(batch.token_ids.to("meta"), batch.positions.to("meta"), batch.layout)

    assert adapter.flat.device.type == loss.device.type == hidden.device.type == "meta"


def adapted_on(network: Network) -> tuple[Adapter, Tensor]:
    adapter = network.fresh_adapter(4, 8, 1)
    gradient = torch.zeros_like(adapter.flat)
    network.install(0, adapter, gradient)
    return adapter, gradient


def test_weights_are_views_of_what_was_read() -> None:
    """Only query, key and value weights are brought together in a copy."""
    model = tiny_model("llama", torch.float32)
    network = network_of(model)

    assert network.weights.embedding.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert network.weights.layers[1].down.weight.data_ptr() == model.model.layers[1].mlp.down_proj.weight.data_ptr()
