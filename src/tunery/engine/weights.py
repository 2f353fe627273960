"""
The named tensors of a base and their places in a decoder: safetensors, memory-mapped if the number format allows.

Query, key and value weights are joined into one product; everything else is used directly from the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from torch import Tensor

from tunery.engine.base_config import Unknown
from tunery.engine.families import DecoderSpec, Names, NormSpec
from tunery.engine.loss import Head
from tunery.engine.quantized import ROUNDED_TABLE, Kind, QuantizedWeight, Weight, plain, rounded, stacked
from tunery.types import WeightFormat

# Stored by older checkpoints in addition to weights: masks and frequencies, which follow from the settings
_DERIVED = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")


@dataclass(frozen=True, slots=True)
class Norm:
    """
    A norm: `scale` and, for LayerNorm, `bias` `[H]`; a root-mean-square norm has no bias. The rest is as in NormSpec.
    """

    scale: Tensor
    bias: Tensor | None
    epsilon: float
    rounds_first: bool


@dataclass(frozen=True, slots=True)
class Linear:
    """A frozen product: weight `[out, in]`, bias `[out]` or None; a quantized weight is widened at each use."""

    stored: Weight
    bias: Tensor | None

    @property
    def weight(self) -> Tensor:
        return plain(self.stored)

    def __call__(self, rows: Tensor) -> Tensor:
        """Map `[T, in]` to `[T, out]`."""
        weight = self.weight.t()
        return rows @ weight if self.bias is None else torch.addmm(self.bias, rows, weight)


class LayerNorms(NamedTuple):
    """The norms before and after both halves of a layer, None where there is none."""

    before_mixer: Norm | None
    after_mixer: Norm | None
    before_feed: Norm | None
    after_feed: Norm | None


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """
    The frozen part of a layer.

    `head_norm` are those of query and key heads. `queries` has the rows of query, key and value stacked; `wide` are the
    first products of the feed-forward part, gate and up if there are two.

    In a layer with a convolution, `queries` has the rows of both gates and the input, and `kernel` is `[tokens, H]`,
    the weights of the newest token last.
    """

    norms: LayerNorms
    queries: Linear
    head_norm: Norm | tuple[Norm, Norm] | None
    output: Linear
    wide: tuple[Linear, ...]
    down: Linear
    kernel: Tensor | None = None


@dataclass(frozen=True, slots=True)
class DecoderWeights:
    """The tensors of a decoder: embedding `[V, H]`, learned positions `[P, H]` if it has some, layers, norm, head."""

    embedding: Weight
    positions: Tensor | None
    layers: tuple[LayerWeights, ...]
    last_norm: Norm
    head: Head
    linears: Mapping[str, tuple[int, int]]  # layers that an adapter changes, path → (out, in), in the adapter's order

    @property
    def quantized_kinds(self) -> list[str]:
        """Return the names of the types of ggml in which weights are kept, none if all are plain."""
        tables = (self.embedding, self.head.weight, *self._stored())
        return sorted({name for table in tables if isinstance(table, QuantizedWeight) for name in table.kinds})

    @property
    def format(self) -> WeightFormat:
        """Return in how many bits the quantized weights of linear layers are kept, on average."""
        found = [part for one in self._stored() if isinstance(one, QuantizedWeight) for part in one.blocks]
        if not found:
            return WeightFormat.FULL
        return WeightFormat.of(8 * sum(part.data.nbytes for part in found) / sum(prod(part.shape) for part in found))

    @property
    def mapped_bytes(self) -> int:
        """Return the bytes of quantized weights that may be read from their file at any time, as they are needed."""
        tables = {id(table): table for table in (self.embedding, self.head.weight, *self._stored())}
        blocks = [part for one in tables.values() if isinstance(one, QuantizedWeight) for part in one.blocks]
        return sum(part.data.nbytes for part in blocks if part.is_mapped)

    def _stored(self) -> list[Weight]:
        parts = [part for layer in self.layers for part in (layer.queries, layer.output, *layer.wide, layer.down)]
        return [part.stored for part in parts]


def read_tensors(
    folder: Path, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> dict[str, Tensor]:
    """
    Return the tensors of a folder's safetensors by name, memory-mapped if `dtype` is that of the file.

    Of a model that also reads images or sound, only the part for text, under the names of a model for text alone.
    """
    found: dict[str, Tensor] = {}
    for path, names in _names_in_files(folder).items():
        with safetensors.safe_open(path, framework="pt") as file:
            for name, stored in names.items():
                tensor = file.get_tensor(stored)
                found[name] = tensor.to(device, dtype if tensor.is_floating_point() else None)
    return found


class TensorsInTurn(Mapping[str, Tensor]):
    """
    The tensors of `read_tensors` as they are stored, each read when it is asked for.

    A mapping of the file ends with its tensor, so that only those in use count as memory of this process.
    """

    def __init__(self, folder: Path) -> None:
        names = _names_in_files(folder)
        self._places = {name: (path, stored) for path, own in names.items() for name, stored in own.items()}

    def __getitem__(self, name: str) -> Tensor:
        path, stored = self._places[name]
        with safetensors.safe_open(path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(stored)
        return tensor

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _names_in_files(folder: Path) -> dict[Path, dict[str, str]]:
    """Return, for each file of weights, the names of its tensors in a model for text alone, and those in the file."""
    found: dict[Path, dict[str, str]] = {}
    is_part = is_more_than_text(folder)
    for path in sorted(folder.glob("model*.safetensors")):
        with safetensors.safe_open(path, framework="pt") as file:
            stored = list(file.keys())
        names = {(_name_in_text(name) if is_part else name): name for name in stored}
        found[path] = {name: its for name, its in names.items() if name is not None}
    return found


def read_config(folder: Path) -> dict[str, Any]:
    """Return the settings of a folder in transformers' layout; those of its part for text, if it has more."""
    config = _whole_config(folder)
    if not is_more_than_text(folder):
        return config
    ids = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id") if name in config}
    own = {name: config[name] for name in ("tie_word_embeddings", "dtype", "torch_dtype") if name in config}
    return {**ids, **config["text_config"], **own}  # transformers ties the head of the whole model


def is_more_than_text(folder: Path) -> bool:
    """Return whether the model in a folder has parts for images or sound beside the one for text."""
    inner = _whole_config(folder).get("text_config")
    return isinstance(inner, dict) and "model_type" in inner


def _whole_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return config


# `language_model.model.layers` in older files, `model.language_model.layers` in newer ones
_TEXT_ALONE = re.compile(r"(?:lm_head|model\.(?:layers|embed_tokens|norm))\.")
_TEXT_PART = re.compile(r"(model\.)?(?:language_model|text_model)\.")


def _name_in_text(name: str) -> str | None:
    """Return the name of a tensor in a model for text alone, None if it belongs to another part."""
    found = _TEXT_PART.match(name)
    if found is None:
        return name if _TEXT_ALONE.match(name) else None
    return (found[1] or "") + name[found.end() :]


def parameter_names(spec: DecoderSpec) -> list[str]:
    """Return the names of all tensors of a decoder; a tied head has no tensor."""
    names = spec.names
    ends = ("weight", "bias") if spec.norm.has_bias else ("weight",)
    found = [f"{names.embedding}.weight"] + ([f"{names.positions}.weight"] if names.positions else [])
    for number in range(len(spec.layers)):
        found += [f"{names.layer}{number}.{part}" for part in _layer_parts(spec, spec.names_in(number), ends)]
    found += [f"{names.last_norm}.{end}" for end in ends]
    found += [] if spec.is_tied else [f"{names.heads[0]}.weight"]
    return found + ([f"{names.heads[0]}.bias"] if spec.has_head_bias else [])


def _layer_parts(spec: DecoderSpec, names: Names, ends: tuple[str, ...]) -> list[str]:
    norms = [name for name in dict.fromkeys(names.norms) if name is not None]
    norms += names.head_norms if spec.head_norm and names.kernel is None else ()
    parts = [f"{name}.{end}" for name in norms for end in ends]
    parts += [f"{name}.weight" for name in names.order]
    parts += [f"{name}.bias" for name in names.order if name in spec.biased]
    return parts if names.kernel is None else [*parts, f"{names.kernel}.weight"]


def named(tensors: Mapping[str, Tensor], spec: DecoderSpec) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint under the names of `parameter_names`; raises the errors of `arranged`."""
    source = _Source(tensors, spec)
    return {name: source.take(name) for name in parameter_names(spec)}


@dataclass(frozen=True, slots=True)
class Rounding:
    """Rounding of full weights on loading: the type of blocks of linear layers, and the type that others come to."""

    kind: Kind
    dtype: torch.dtype


def arranged(tensors: Mapping[str, Weight], spec: DecoderSpec, rounding: Rounding | None = None) -> DecoderWeights:
    """
    Return the tensors of a checkpoint in their places in the decoder; linear layers and tables may be quantized.

    With `rounding` they are rounded, one at a time; tables are kept in 8 bits. Raises ValueError if one is missing or
    has a different shape, Unknown if there is one that the decoder would not read.
    """
    source = _Source(tensors, spec, rounding)
    names = spec.names
    layers = tuple(source.layer(f"{names.layer}{number}.", spec.names_in(number)) for number in range(len(spec.layers)))
    embedding = source.table(f"{names.embedding}.weight")
    positions = None if names.positions is None else source.take(f"{names.positions}.weight")
    last_norm = source.norm(names.last_norm, spec.norm)
    head = Head(*source.head(embedding), spec.logits_softcap, spec.logits_divisor)
    source.require_all_read()
    return DecoderWeights(embedding, positions, layers, last_norm, head, source.linears())


class _Source:
    """The tensors of a checkpoint; remembers which have been used."""

    def __init__(self, tensors: Mapping[str, Weight], spec: DecoderSpec, rounding: Rounding | None = None) -> None:
        self._tensors, self._spec, self._rounding = tensors, spec, rounding
        self._taken: set[str] = set()
        self._sizes: dict[str, tuple[int, int]] = {}
        self._prefix = spec.names.layer.partition(".")[0] + "."  # files of a bare decoder leave this prefix out

    def find(self, name: str) -> Weight | None:
        first, *others = self._spec.names.heads
        older = [other + name.removeprefix(first) for other in others if name.startswith(f"{first}.")]
        for known in (name, name.removeprefix(self._prefix), *older):
            if known in self._tensors:
                self._taken.add(known)
                return self._tensors[known]
        return None

    def stored(self, name: str) -> Weight:
        weight = self.find(name)
        if weight is None:
            raise ValueError(f"weights are missing: {name}")
        return weight

    def take(self, name: str) -> Tensor:
        weight = plain(self.stored(name))
        return weight if self._rounding is None else weight.to(self._rounding.dtype, copy=True)  # not the mapped one

    def table(self, name: str) -> Weight:
        """Return a table of tokens; 4 bits would cost more there than they save."""
        return self._rounded(self.stored(name), ROUNDED_TABLE)

    def _rounded(self, weight: Weight, kind: Kind | None = None) -> Weight:
        if self._rounding is None or not isinstance(weight, Tensor):
            return weight
        return rounded(weight, kind or self._rounding.kind, self._rounding.dtype)

    def norm(self, path: str, kind: NormSpec, times: int = 1) -> Norm:
        """Return a norm; its weight is repeated `times`, once for each head."""
        weight = self.take(f"{path}.weight")
        bias = self.take(f"{path}.bias") if kind.has_bias else None
        if not kind.rounds_first:  # scaled in float32 or wider
            weight = weight.to(torch.promote_types(weight.dtype, torch.float32)) + kind.offset
        return Norm(weight.expand(times, -1) if times > 1 else weight, bias, kind.epsilon, kind.rounds_first)

    def linear(self, layer: str, names: tuple[str, ...]) -> Linear:
        """Return layers side by side as one product."""
        weights: list[Weight] = []
        biases = []
        for name in names:
            weight = self.stored(f"{layer}{name}.weight")
            weight = weight.t() if self._spec.is_transposed and isinstance(weight, Tensor) else weight
            self._sizes[f"{layer}{name}"] = (weight.shape[0], weight.shape[1])
            weights.append(self._rounded(weight))
            biases += [self.take(f"{layer}{name}.bias")] if name in self._spec.biased else []
        if len(names) == 1:
            return Linear(weights[0], biases[0] if biases else None)
        return Linear(stacked(weights), torch.cat(biases) if biases else None)

    def layer(self, path: str, names: Names) -> LayerWeights:
        spec, kernel = self._spec, None
        norms = LayerNorms(*(None if name is None else self.norm(path + name, spec.norm) for name in names.norms))
        queries, rows = self.linear(path, names.queries), (spec.heads + 2 * spec.key_heads) * spec.width
        if names.kernel is not None:  # stored as [H, 1, tokens]
            kernel, rows = self.take(f"{path}{names.kernel}.weight").flatten(1).t().contiguous(), 3 * spec.hidden
        if len(queries.stored) != rows:
            raise ValueError(
                f"{path}{names.queries[0]} has {len(queries.stored)} rows, which does not match config.json"
            )
        return LayerWeights(
            norms=norms,
            queries=queries,
            head_norm=self._head_norm(path) if kernel is None else None,
            output=self.linear(path, (names.output,)),
            wide=tuple(self.linear(path, (name,)) for name in names.wide),
            down=self.linear(path, (names.down,)),
            kernel=kernel,
        )

    def _head_norm(self, path: str) -> Norm | tuple[Norm, Norm] | None:
        spec, (query, key) = self._spec, self._spec.names.head_norms
        if spec.head_norm is None:
            return None
        if spec.head_norm == "whole":
            return self.norm(path + query, spec.norm), self.norm(path + key, spec.norm)
        both = [self.norm(path + query, spec.norm, spec.heads), self.norm(path + key, spec.norm, spec.key_heads)]
        scale = torch.cat([norm.scale.view(-1, spec.width) for norm in both])  # (H + K, D)
        return Norm(scale, None, spec.norm.epsilon, spec.norm.rounds_first)

    def head(self, embedding: Weight) -> tuple[Weight, Tensor | None]:
        name = self._spec.names.heads[0]
        bias = self.take(f"{name}.bias") if self._spec.has_head_bias else None
        if self._spec.is_tied:
            self.find(f"{name}.weight")  # some files contain it a second time
            return embedding, bias
        return self.table(f"{name}.weight"), bias

    def linears(self) -> dict[str, tuple[int, int]]:
        paths = [
            f"{self._spec.names.layer}{number}.{name}"
            for number in range(len(self._spec.layers))
            for name in self._spec.names_in(number).order
        ]
        return {path: self._sizes[path] for path in paths}

    def require_all_read(self) -> None:
        left = sorted(name for name in self._tensors.keys() - self._taken if not name.endswith(_DERIVED))
        if left:
            raise Unknown(f"the checkpoint has {left[0]}, which the family {self._spec.family} is not known to have")
