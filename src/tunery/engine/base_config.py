"""
The settings of a `config.json`, and the rotary positions that they describe.

A setting that is read nowhere may change the arithmetic, so it is never ignored; see `families.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class Unknown(Exception):
    """A family or setting that `decoder.py` does not support; the text says which."""


class Settings:
    """The settings of a `config.json`; remembers which have been read."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values, self._read = values, set[str]()

    def __call__(self, name: str, default: Any = None) -> Any:
        """Return a setting, even if it is null; `default` if it is missing."""
        self._read.add(name)
        return self._values.get(name, default)

    def number(self, name: str) -> Any:
        """Return a required setting."""
        if self(name) is None:
            raise Unknown(f"config.json does not give {name}")
        return self._values[name]

    def expect(self, name: str, *allowed: object) -> None:
        """Raise Unknown unless a setting is missing, null or one of these values."""
        if self(name) not in (None, *allowed):
            raise Unknown(f"{name} is {self._values[name]!r} in config.json")

    def require_all_known(self) -> None:
        """Raise Unknown for a setting that was not read, has a value, and may change the arithmetic."""
        for name, value in self._values.items():
            is_harmless = name in _HARMLESS or name.endswith(_HARMLESS_ENDS)
            if name not in self._read and not is_harmless and value is not None and value is not False:
                raise Unknown(f"config.json sets {name} to {value!r}")


_HARMLESS = frozenset(
    {"model_type", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache", "_name_or_path"}
    | {"max_position_embeddings", "vocab_size", "initializer_range", "pretraining_tp", "cache_implementation"}
    | {"id2label", "label2id", "problem_type", "task_specific_params", "return_dict", "chunk_size_feed_forward"}
    | {"num_labels", "n_ctx", "n_positions", "is_llama_config", "transformers.js_config", "attn_implementation"}
    | {"is_decoder", "tokenizer_class", "unsloth_version", "unsloth_fixed", "max_window_layers"}
    | {"summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels", "prefix"}
    # of LFM2, whose classes in transformers do not read them either
    | {"block_dim", "block_norm_eps", "block_mlp_init_scale", "block_out_init_scale", "block_use_xavier_init"}
    | {"block_use_swiglu", "conv_dim", "conv_dim_out", "conv_use_xavier_init", "num_heads", "use_pos_enc", "theta"}
)
_HARMLESS_ENDS = (
    "_token_id",
    "_dropout",
    "_pdrop",
    "_attn_implementation_autoset",
)  # dropout has no effect, because bases are frozen


@dataclass(frozen=True, slots=True)
class Rotation:
    """
    Rotates the first `2 · len(frequencies)` numbers of a head by position × frequency.

    `scale` multiplies cosines and sines; rows longer than `limit` tokens use the `long` frequencies.
    """

    frequencies: Tensor  # [W/2], float32
    scale: float = 1.0
    long: Tensor | None = None
    limit: int = 0


def rotation_of(settings: Settings, width: int, theta: float = 10_000.0, part: float | None = None) -> Rotation:
    """
    Return the only rotation of a model, in the notation of older or newer files; `part` is the rotated share of a head.
    """
    older, newer = settings("rope_scaling"), settings("rope_parameters")
    stated, base = newer or older or {}, settings("rope_theta")
    if part is None and stated.get("partial_rotary_factor", 1.0) != 1.0:
        raise Unknown(f"partial_rotary_factor is {stated['partial_rotary_factor']!r} in config.json")
    part = 1.0 if part is None else part
    return _made(settings, {"rope_theta": base or theta, "partial_rotary_factor": part, **stated}, width)


def rotations_of_kinds(settings: Settings, width: int, theta: float, local: float | None) -> dict[str, Rotation]:
    """Return the rotations of full and sliding attention; an older file scales only that of full attention."""
    stated = settings("rope_parameters") or {}
    base = settings("rope_theta", theta)
    full = {"rope_theta": base, **(stated.get("full_attention") or {}), **(settings("rope_scaling") or {})}
    sliding = {"rope_theta": base if local is None else local, **(stated.get("sliding_attention") or {})}
    if not set(stated) <= {"full_attention", "sliding_attention"}:
        raise Unknown(f"rope_parameters is {stated!r} in config.json")
    return {
        "full_attention": _made(settings, full, width),
        "sliding_attention": _made(settings, sliding, width),
    }


def _made(settings: Settings, stated: Mapping[str, Any], width: int) -> Rotation:
    kind = stated.get("rope_type", stated.get("type", "default"))
    if settings("model_type") == "phi3" and kind in ("su", "yarn"):  # the first name of longrope
        kind = "longrope"
    size = int(width * stated.get("partial_rotary_factor", 1.0))
    own = settings("original_max_position_embeddings")  # Phi-3 has it outside of `stated`
    original = own or stated.get("original_max_position_embeddings") or settings("max_position_embeddings")
    if kind not in _ROTATIONS:
        raise Unknown(f"rotary positions of the type {kind} are not known")
    own_settings = _MINISTRAL_SETTINGS if settings("model_type") == "ministral3" else frozenset()
    if unknown := set(stated) - _ROTATION_SETTINGS - own_settings:
        raise Unknown(f"rotary positions have the setting {min(unknown)}")
    exponents = torch.arange(0, size, 2, dtype=torch.float) / size
    return _ROTATIONS[kind](stated, exponents, original, settings("max_position_embeddings"))


def _plain(stated: Mapping[str, Any], exponents: Tensor, *_: int) -> Rotation:
    return Rotation(1.0 / stated["rope_theta"] ** exponents)


def _linear(stated: Mapping[str, Any], exponents: Tensor, *_: int) -> Rotation:
    return Rotation(1.0 / stated["rope_theta"] ** exponents / stated["factor"])


def _llama3(stated: Mapping[str, Any], exponents: Tensor, original: int, _: int) -> Rotation:
    """Long waves are stretched by `factor`, short ones are unchanged, and those in between are mixed (Llama 3.1)."""
    frequencies = 1.0 / stated["rope_theta"] ** exponents
    low, high, factor = stated["low_freq_factor"], stated["high_freq_factor"], stated["factor"]
    lengths = 2 * math.pi / frequencies
    is_long, is_short = lengths > original / low, lengths < original / high
    stretched = torch.where(is_long, frequencies / factor, frequencies)
    share = (original / lengths - low) / (high - low)
    mixed = (1 - share) * stretched / factor + share * stretched
    return Rotation(torch.where(~is_long & ~is_short, mixed, stretched))


def _yarn(stated: Mapping[str, Any], exponents: Tensor, original: int, longest: int) -> Rotation:
    """Waves that turn often within the original window are unchanged, others are stretched (arXiv 2309.00071)."""
    base, size = stated["rope_theta"], 2 * len(exponents)
    factor = stated.get("factor") or longest / original

    def turning(times: float) -> float:
        return size * math.log(original / (times * 2 * math.pi)) / (2 * math.log(base))

    first, last = turning(stated.get("beta_fast") or 32), turning(stated.get("beta_slow") or 1)
    if stated.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, size - 1)
    last += 0.001 if first == last else 0
    stays = 1 - ((torch.arange(size // 2, dtype=torch.float) - first) / (last - first)).clamp(0, 1)
    waves = base**exponents
    return Rotation(1.0 / (factor * waves) * (1 - stays) + 1.0 / waves * stays, _yarn_scale(stated, factor))


def _yarn_scale(stated: Mapping[str, Any], factor: float) -> float:
    def of(multiplier: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * multiplier * math.log(factor) + 1.0

    if stated.get("attention_factor") is not None:
        return float(stated["attention_factor"])
    if stated.get("mscale") and stated.get("mscale_all_dim"):
        return of(stated["mscale"]) / of(stated["mscale_all_dim"])
    return of(1.0)


def _longrope(stated: Mapping[str, Any], exponents: Tensor, original: int, longest: int) -> Rotation:
    """Each wave has a factor, and a different one in rows beyond the original window (Phi-3)."""
    factor = stated.get("factor") or longest / original
    scale = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
    waves = stated["rope_theta"] ** exponents
    short, long = (1.0 / (torch.tensor(stated[f"{name}_factor"]) * waves) for name in ("short", "long"))
    return Rotation(short, stated.get("attention_factor") or scale, long, original)


_ROTATION_SETTINGS = frozenset(
    {"rope_type", "type", "rope_theta", "partial_rotary_factor", "factor", "original_max_position_embeddings"}
    | {"low_freq_factor", "high_freq_factor", "attention_factor", "beta_fast", "beta_slow", "truncate"}
    | {"mscale", "mscale_all_dim", "short_factor", "long_factor"}
)
# read by its family, and repeated from outside
_MINISTRAL_SETTINGS = frozenset({"llama_4_scaling_beta", "max_position_embeddings"})
_ROTATIONS: dict[str, Callable[[Mapping[str, Any], Tensor, int, int], Rotation]] = {
    "default": _plain, "linear": _linear, "llama3": _llama3, "yarn": _yarn, "longrope": _longrope,
}  # fmt: skip
