"""
The description of a decoder as data, and how it follows from the `config.json` of each family.

An unknown setting may change the arithmetic, so it is never ignored: `spec_of` raises Unknown with the reason, and the
base goes through transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunery.engine.attention import AttentionRule
from tunery.engine.base_config import Rotation, Settings, Unknown, rotation_of, rotations_of_kinds


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """
    What differs between layers: their attention rule, and the name of their rotation in `rotations`.

    With a `kernel`, the layer has a short convolution over that many tokens in place of attention.
    """

    rule: AttentionRule
    rotation: str | None
    kernel: int = 0


@dataclass(frozen=True, slots=True)
class NormSpec:
    """
    A root-mean-square norm, or LayerNorm if `has_bias`.

    With `rounds_first`, the result is rounded to the type of the input before it is multiplied by the weight (Llama),
    otherwise after it (OLMo 2, Gemma). `offset` is added to the stored weight (1 for Gemma).
    """

    epsilon: float
    rounds_first: bool = True
    offset: float = 0.0
    has_bias: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """
    The names of the tensors in a checkpoint; names in a layer begin with `layer` and its number.

    `queries` are the linear layers whose outputs are query, key and value side by side, `wide` are the first ones of
    the feed-forward part. `norms` come before and after attention, before and after the feed-forward part. `order` is
    the order of the linear layers in an adapter.
    """

    layer: str = "model.layers."
    embedding: str = "model.embed_tokens"
    positions: str | None = None
    last_norm: str = "model.norm"
    heads: tuple[str, ...] = ("lm_head",)
    queries: tuple[str, ...] = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    output: str = "self_attn.o_proj"
    wide: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj")
    down: str = "mlp.down_proj"
    norms: tuple[str | None, str | None, str | None, str | None] = (
        "input_layernorm", None, "post_attention_layernorm", None,
    )  # fmt: skip
    head_norms: tuple[str, str] = ("self_attn.q_norm", "self_attn.k_norm")
    kernel: str | None = None  # of a layer with a convolution; it has no query and key heads

    @property
    def order(self) -> tuple[str, ...]:
        if self.queries == ("self_attn.qkv_proj",):  # Phi-3 declares the output layer first
            return (self.output, *self.queries, *self.wide, self.down)
        return (*self.queries, self.output, *self.wide, self.down)


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """A decoder: sizes, what its layers compute, and the names of its tensors."""

    family: str
    hidden: int
    inner: int
    heads: int
    key_heads: int
    width: int  # of a head
    layers: tuple[LayerSpec, ...]
    rotations: Mapping[str, Rotation]
    norm: NormSpec
    activation: str
    names: Names = Names()
    convolution_names: Names | None = None  # in layers with a convolution
    biased: frozenset[str] = frozenset()  # linear layers with a bias
    head_norm: str | None = None  # query and key are normed: "head" each head by itself, "whole" all together
    is_gated: bool = True
    is_parallel: bool = False  # attention and feed-forward part read the same input
    is_interleaved: bool = False  # query, key and value of each head are adjacent
    turns_neighbours: bool = False  # rotary positions turn numbers 2n and 2n + 1 of a head, not n and n + width / 2
    is_transposed: bool = False  # the checkpoint stores linear weights as [in, out]
    is_tied: bool = False
    has_head_bias: bool = False
    embedding_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    logits_divisor: float = 1.0
    logits_softcap: float | None = None
    # factor and tokens: a query is multiplied by 1 + factor · log(1 + position // tokens)
    query_growth: tuple[float, int] | None = None

    def names_in(self, layer: int) -> Names:
        """Return the names of the tensors in a layer."""
        own = self.convolution_names if self.layers[layer].kernel else None
        return own or self.names


_ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "relu": "relu",
    "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh", "relu2": "relu2",
}  # fmt: skip


def spec_of(config: Mapping[str, Any]) -> DecoderSpec:
    """Return the decoder that a `config.json` describes; raises Unknown with the reason if it is not supported."""
    family = str(config.get("model_type"))
    make = FAMILIES.get(family)
    if make is None:
        raise Unknown(f"the family {family} is not known")
    settings = Settings(config)
    try:
        spec = make(settings)
    except (TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise Unknown(f"config.json has a setting of an unusual form ({error})") from error
    settings.require_all_known()
    return spec


def _decoder(
    settings: Settings, *, norm: NormSpec | None = None, window: int | None = None, **given: Any
) -> DecoderSpec:
    """Return a spec with the settings that families share; `given` are the fields of DecoderSpec that differ."""
    hidden, heads = settings.number("hidden_size"), settings.number("num_attention_heads")
    width = settings("head_dim") or hidden // heads
    rule = AttentionRule(given.pop("scaling", None) or width**-0.5, window, given.pop("softcap", None))
    count = settings.number("num_hidden_layers")
    rotations = given.pop("rotations", None) or {"all": rotation_of(settings, width)}
    layers = given.pop("layers", None) or (LayerSpec(rule, "all"),) * count
    values = {
        "family": settings("model_type"),
        "hidden": hidden,
        "inner": given.pop("inner", None) or settings.number("intermediate_size"),
        "heads": heads,
        "key_heads": settings("num_key_value_heads") or heads,
        "width": width,
        "layers": layers,
        "rotations": rotations,
        "norm": norm or NormSpec(float(settings("rms_norm_eps", 1e-6))),
        "activation": _activation(settings("hidden_act", "silu")),
        "is_tied": bool(settings("tie_word_embeddings", False)),
        **given,
    }
    return DecoderSpec(**values)


def _activation(name: str) -> str:
    if name not in _ACTIVATIONS:
        raise Unknown(f"the activation {name} is not known")
    return _ACTIVATIONS[name]


def _llama(settings: Settings) -> DecoderSpec:
    names = Names()
    biased = _biased(settings("attention_bias"), (*names.queries, names.output))
    return _decoder(settings, biased=biased | _biased(settings("mlp_bias"), (*names.wide, names.down)))


def _biased(is_so: object, names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(names) if is_so else frozenset()


def _mistral(settings: Settings) -> DecoderSpec:
    return _decoder(settings, window=settings("sliding_window", 4096))


def _ministral3(settings: Settings) -> DecoderSpec:
    """Mistral with queries that grow beyond the window of its first training."""
    stated = settings("rope_parameters") or {}
    growth = stated.get("llama_4_scaling_beta"), stated.get("original_max_position_embeddings")
    if None in growth:
        raise Unknown("config.json does not give llama_4_scaling_beta and original_max_position_embeddings")
    return _decoder(
        settings,
        norm=NormSpec(float(settings("rms_norm_eps", 1e-5))),
        window=settings("sliding_window"),
        query_growth=growth,
    )


def _qwen2(settings: Settings) -> DecoderSpec:
    return _decoder(settings, biased=frozenset(Names().queries), layers=_windowed(settings, _qwen_kinds(settings)))


def _qwen3(settings: Settings) -> DecoderSpec:
    width = settings("head_dim", 128)
    biased = _biased(settings("attention_bias"), (*Names().queries, Names().output))
    layers = _windowed(settings, _qwen_kinds(settings), width)
    rotations = {"all": rotation_of(settings, width)}
    return _decoder(settings, biased=biased, layers=layers, rotations=rotations, width=width, head_norm="head")


def _qwen_kinds(settings: Settings) -> list[str]:
    is_windowed = settings("use_sliding_window", False) and settings("sliding_window", 4096) is not None
    first = settings("max_window_layers", 28)
    return _kinds(settings, lambda layer: bool(is_windowed) and layer >= first)


def _smollm3(settings: Settings) -> DecoderSpec:
    every = settings("no_rope_layer_interval", 4)
    count = settings.number("num_hidden_layers")
    turned = settings("no_rope_layers") or [int((layer + 1) % every != 0) for layer in range(count)]
    is_windowed = settings("use_sliding_window", False) and settings("sliding_window") is not None
    kinds = _kinds(settings, lambda layer: bool(is_windowed) and not turned[layer])
    plain = _windowed(settings, kinds if is_windowed else ["full_attention"] * count)
    layers = tuple(LayerSpec(layer.rule, "all" if turned[n] else None) for n, layer in enumerate(plain))
    biased = _biased(settings("attention_bias"), (*Names().queries, Names().output))
    biased |= _biased(settings("mlp_bias"), (*Names().wide, Names().down))
    rotations = {"all": rotation_of(settings, _width(settings), 2_000_000.0)}
    return _decoder(
        settings, biased=biased, layers=layers, rotations=rotations, is_tied=settings("tie_word_embeddings", True)
    )


def _kinds(settings: Settings, is_windowed: Callable[[int], bool]) -> list[str]:
    """Return the kind of attention of each layer, as stated or as usual in the family."""
    count = settings.number("num_hidden_layers")
    default = ["sliding_attention" if is_windowed(layer) else "full_attention" for layer in range(count)]
    kinds: list[str] = settings("layer_types") or default
    if len(kinds) != count or not {"sliding_attention", "full_attention"} >= set(kinds):
        raise Unknown(f"layer_types is {kinds!r} in config.json")
    return kinds


def _windowed(settings: Settings, kinds: list[str], width: int | None = None) -> tuple[LayerSpec, ...]:
    """Return layers of these kinds, with one rotation."""
    window, scaling = settings("sliding_window", 4096), (width or _width(settings)) ** -0.5
    rules = {"sliding_attention": AttentionRule(scaling, window), "full_attention": AttentionRule(scaling)}
    return tuple(LayerSpec(rules[kind], "all") for kind in kinds)


def _width(settings: Settings) -> int:
    return int(settings("head_dim") or settings.number("hidden_size") // settings.number("num_attention_heads"))


_GEMMA_NORMS = (
    "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
)  # fmt: skip


def _gemma(settings: Settings, **more: Any) -> DecoderSpec:
    settings.expect("use_bidirectional_attention", False)
    settings.expect("hidden_act", "gelu", "gelu_pytorch_tanh", "gelu_new")  # "gelu" means this in Gemma's first files
    settings.expect("hidden_activation", "gelu_pytorch_tanh")
    return _decoder(
        settings,
        norm=NormSpec(float(settings("rms_norm_eps", 1e-6)), rounds_first=False, offset=1.0),
        width=settings("head_dim", 256),
        activation="gelu_tanh",
        biased=_biased(settings("attention_bias"), (*Names().queries, Names().output)),
        embedding_multiplier=settings.number("hidden_size") ** 0.5,
        is_tied=settings("tie_word_embeddings", True),
        **more,
    )


def _gemma1(settings: Settings) -> DecoderSpec:
    width = settings("head_dim", 256)
    return _gemma(settings, rotations={"all": rotation_of(settings, width)}, scaling=width**-0.5)


def _gemma2(settings: Settings) -> DecoderSpec:
    scaling, cap = settings("query_pre_attn_scalar", 256) ** -0.5, settings("attn_logit_softcapping", 50.0)
    window = settings("sliding_window", 4096)
    rules = {True: AttentionRule(scaling, window, cap), False: AttentionRule(scaling, None, cap)}
    kinds = _kinds(settings, lambda layer: layer % 2 == 0)
    return _gemma(
        settings,
        names=Names(norms=_GEMMA_NORMS),
        layers=tuple(LayerSpec(rules[kind == "sliding_attention"], "all") for kind in kinds),
        rotations={"all": rotation_of(settings, settings("head_dim", 256))},
        logits_softcap=settings("final_logit_softcapping", 30.0),
    )


def _gemma3(settings: Settings) -> DecoderSpec:
    settings.expect("attn_logit_softcapping")  # the attention of transformers ignores it
    settings.expect("final_logit_softcapping")
    every = settings("sliding_window_pattern", settings("_sliding_window_pattern", 6))
    scaling, window = settings("query_pre_attn_scalar", 256) ** -0.5, settings("sliding_window", 4096)
    rules = {"sliding_attention": AttentionRule(scaling, window), "full_attention": AttentionRule(scaling)}
    kinds = _kinds(settings, lambda layer: (layer + 1) % every != 0)
    local = settings("rope_local_base_freq", 10_000.0)
    return _gemma(
        settings,
        names=Names(norms=_GEMMA_NORMS),
        head_norm="head",
        layers=tuple(LayerSpec(rules[kind], kind) for kind in kinds),
        rotations=rotations_of_kinds(settings, settings("head_dim", 256), 1_000_000.0, local),
    )


def _olmo2(settings: Settings, **more: Any) -> DecoderSpec:
    names = Names(norms=(None, "post_attention_layernorm", None, "post_feedforward_layernorm"))
    return _decoder(
        settings,
        norm=NormSpec(float(settings("rms_norm_eps", 1e-5)), rounds_first=False),
        names=names,
        biased=_biased(settings("attention_bias"), (*names.queries, names.output)),
        head_norm="whole",
        **more,
    )


def _olmo3(settings: Settings) -> DecoderSpec:
    kinds = _kinds(settings, lambda layer: (layer + 1) % 4 != 0)
    plain = _windowed(settings, kinds)
    rotations = rotations_of_kinds(settings, _width(settings), 500_000.0, None)
    layers = tuple(LayerSpec(layer.rule, kind) for layer, kind in zip(plain, kinds, strict=True))
    return _olmo2(settings, layers=layers, rotations=rotations)


def _exaone4(settings: Settings) -> DecoderSpec:
    window, pattern = settings("sliding_window", 4096), settings("sliding_window_pattern", 4)
    every = len(pattern) if isinstance(pattern, str) else pattern  # "LLLG" also has layer_types
    kinds = _kinds(settings, lambda layer: window is not None and (layer + 1) % every != 0)
    plain = _windowed(settings, kinds)
    # layers that see everything have no rotation, unless no layer has a window
    turned = ["all" if window is None or kind == "sliding_attention" else None for kind in kinds]
    return _decoder(
        settings,
        norm=NormSpec(float(settings("rms_norm_eps", 1e-5))),
        names=Names(norms=(None, "post_attention_layernorm", None, "post_feedforward_layernorm")),
        head_norm="head",
        layers=tuple(LayerSpec(layer.rule, name) for layer, name in zip(plain, turned, strict=True)),
    )


def _helium(settings: Settings) -> DecoderSpec:
    width = settings("head_dim", 128)
    return _decoder(
        settings,
        norm=NormSpec(float(settings("rms_norm_eps", 1e-8)), rounds_first=False),
        width=width,
        scaling=width**-0.5,
        rotations={"all": rotation_of(settings, width, 100_000.0)},
        biased=_biased(settings("attention_bias"), Names().queries)
        | _biased(settings("mlp_bias"), (*Names().wide, Names().down)),
        turns_neighbours=True,
    )


def _arcee(settings: Settings) -> DecoderSpec:
    names = Names(wide=("mlp.up_proj",))
    return _decoder(
        settings,
        norm=NormSpec(float(settings("rms_norm_eps", 1e-5))),
        names=names,
        activation=_activation(settings("hidden_act", "relu2")),
        biased=_biased(settings("attention_bias"), (*names.queries, names.output))
        | _biased(settings("mlp_bias"), (*names.wide, names.down)),
        is_gated=False,
    )


def _lfm2(settings: Settings) -> DecoderSpec:
    """Gated short convolutions, and attention in some layers."""
    settings.expect("conv_bias", False)
    count, kernel = settings.number("num_hidden_layers"), settings("conv_L_cache", 3)
    attentive = settings("full_attn_idxs")
    attentive = range(count) if attentive is None else attentive
    kinds = settings("layer_types") or ["full_attention" if n in attentive else "conv" for n in range(count)]
    if len(kinds) != count or not {"conv", "full_attention"} >= set(kinds):
        raise Unknown(f"layer_types is {kinds!r} in config.json")
    rule = AttentionRule(_width(settings) ** -0.5)
    seen, mixed = LayerSpec(rule, "all"), LayerSpec(rule, None, kernel)
    feed: dict[str, Any] = {
        "last_norm": "model.embedding_norm",
        "wide": ("feed_forward.w1", "feed_forward.w3"),
        "down": "feed_forward.w2",
        "norms": ("operator_norm", None, "ffn_norm", None),
    }
    return _decoder(
        settings,
        norm=NormSpec(float(settings("norm_eps", 1e-5))),
        inner=_lfm2_inner(settings),
        layers=tuple(seen if kind == "full_attention" else mixed for kind in kinds),
        rotations={"all": rotation_of(settings, _width(settings), 1_000_000.0)},
        names=Names(output="self_attn.out_proj", head_norms=("self_attn.q_layernorm", "self_attn.k_layernorm"), **feed),
        convolution_names=Names(queries=("conv.in_proj",), output="conv.out_proj", kernel="conv.conv", **feed),
        head_norm="head",
        is_tied=settings("tie_embedding", settings("tie_word_embeddings", True)),
    )


def _lfm2_inner(settings: Settings) -> int:
    """Return the size that two thirds of the stated one come to, rounded up."""
    inner = settings("block_ff_dim") or settings.number("intermediate_size")
    multiple, factor = settings("block_multiple_of", 256), settings("block_ffn_dim_multiplier", 1.0)
    if not settings("block_auto_adjust_ff_dim", True):
        return int(inner)
    inner = int(2 * inner / 3)
    return inner if factor is None else -(-int(factor * inner) // multiple) * multiple


def _granite(settings: Settings) -> DecoderSpec:
    names = Names()
    biased = _biased(settings("attention_bias"), (*names.queries, names.output))
    return _decoder(
        settings,
        biased=biased | _biased(settings("mlp_bias"), (*names.wide, names.down)),
        scaling=float(settings("attention_multiplier", 1.0)),
        embedding_multiplier=float(settings("embedding_multiplier", 1.0)),
        residual_multiplier=float(settings("residual_multiplier", 1.0)),
        logits_divisor=float(settings("logits_scaling", 1.0)),
    )


def _phi3(settings: Settings) -> DecoderSpec:
    settings.expect("lm_head_bias", False)
    part = settings("partial_rotary_factor", 1.0)
    return _decoder(
        settings,
        names=Names(queries=("self_attn.qkv_proj",), wide=("mlp.gate_up_proj",)),
        norm=NormSpec(float(settings("rms_norm_eps", 1e-5))),
        window=settings("sliding_window"),
        rotations={"all": rotation_of(settings, _width(settings), part=part)},
    )


def _starcoder2(settings: Settings) -> DecoderSpec:
    settings.expect("norm_type", "layer_norm")
    settings.expect("mlp_type", "default")
    names = Names(wide=("mlp.c_fc",), down="mlp.c_proj")
    return _decoder(
        settings,
        names=names,
        norm=NormSpec(float(settings("norm_epsilon", 1e-5)), has_bias=True),
        biased=_biased(settings("use_bias", True), names.order),
        activation=_activation(settings("hidden_act", "gelu_pytorch_tanh")),
        window=settings("sliding_window"),
        is_gated=False,
        is_tied=settings("tie_word_embeddings", True),
    )


def _gpt_neox(settings: Settings) -> DecoderSpec:
    names = Names(
        layer="gpt_neox.layers.",
        embedding="gpt_neox.embed_in",
        last_norm="gpt_neox.final_layer_norm",
        heads=("lm_head", "embed_out"),
        queries=("attention.query_key_value",),
        output="attention.dense",
        wide=("mlp.dense_h_to_4h",),
        down="mlp.dense_4h_to_h",
    )
    theta, part = settings("rotary_emb_base", 10_000.0), settings("rotary_pct", 0.25)
    biased = _biased(settings("attention_bias", True), (*names.queries, names.output))
    return _decoder(
        settings,
        names=names,
        norm=NormSpec(float(settings("layer_norm_eps", 1e-5)), has_bias=True),
        biased=biased | {*names.wide, names.down},
        activation=_activation(settings("hidden_act", "gelu")),
        rotations={"all": rotation_of(settings, _width(settings), theta, part=part)},
        key_heads=settings.number("num_attention_heads"),
        is_gated=False,
        is_interleaved=True,
        is_parallel=settings("use_parallel_residual", True),
    )


def _phi(settings: Settings) -> DecoderSpec:
    settings.expect("qk_layernorm", False)
    names = Names(
        last_norm="model.final_layernorm",
        output="self_attn.dense",
        wide=("mlp.fc1",),
        down="mlp.fc2",
        norms=("input_layernorm", None, "input_layernorm", None),
    )
    return _decoder(
        settings,
        names=names,
        norm=NormSpec(float(settings("layer_norm_eps", 1e-5)), has_bias=True),
        biased=frozenset(names.order),
        activation=_activation(settings("hidden_act", "gelu_new")),
        rotations={"all": rotation_of(settings, _width(settings), part=settings("partial_rotary_factor", 0.5))},
        is_gated=False,
        is_parallel=True,
        has_head_bias=True,
    )


def _gpt2(settings: Settings) -> DecoderSpec:
    settings.expect("scale_attn_weights", True)
    hidden, heads, count = settings.number("n_embd"), settings.number("n_head"), settings.number("n_layer")
    names = Names(
        layer="transformer.h.",
        embedding="transformer.wte",
        positions="transformer.wpe",
        last_norm="transformer.ln_f",
        queries=("attn.c_attn",),
        output="attn.c_proj",
        wide=("mlp.c_fc",),
        down="mlp.c_proj",
        norms=("ln_1", None, "ln_2", None),
    )
    return DecoderSpec(
        family="gpt2",
        hidden=hidden,
        inner=settings("n_inner") or 4 * hidden,
        heads=heads,
        key_heads=heads,
        width=hidden // heads,
        layers=(LayerSpec(AttentionRule((hidden // heads) ** -0.5), None),) * count,
        rotations={},
        norm=NormSpec(float(settings("layer_norm_epsilon", 1e-5)), has_bias=True),
        activation=_activation(settings("activation_function", "gelu_new")),
        names=names,
        biased=frozenset(names.order),
        is_gated=False,
        is_transposed=True,
        is_tied=settings("tie_word_embeddings", True),
    )


FAMILIES: dict[str, Callable[[Settings], DecoderSpec]] = {
    "llama": _llama, "mistral": _mistral, "ministral3": _ministral3, "qwen2": _qwen2, "qwen3": _qwen3,
    "smollm3": _smollm3,
    "gemma": _gemma1, "gemma2": _gemma2, "gemma3_text": _gemma3, "olmo2": _olmo2, "olmo3": _olmo3,
    "exaone4": _exaone4, "helium": _helium, "arcee": _arcee, "lfm2": _lfm2,
    "granite": _granite, "phi3": _phi3, "starcoder2": _starcoder2, "gpt_neox": _gpt_neox, "phi": _phi, "gpt2": _gpt2,
}  # fmt: skip
