"""
Calls the compiled decoding step on the tensors of a model, its caches and the adapters of the running rows.

Weights are read in bfloat16, or in fewer bits if that is exact, and adapters in place; everything in between is
float32, even for a base that is tuned in bfloat16. The result is that of `decoder.py`, up to the order of sums.
`step.c` explains the numbers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tunery.engine.answers.cache import KeyValueCache
from tunery.engine.compiled import library
from tunery.engine.conversion import BLOCK_WEIGHTS, FourBitWeight
from tunery.engine.decoder import angles, embedded
from tunery.engine.lora import Adapter
from tunery.engine.network import Network
from tunery.engine.quantized import plain
from tunery.engine.weights import LayerWeights, Norm

LANES = 8  # sizes that are summed over must be a multiple of this
WIDE, PAIRED, FOUR_BIT, EIGHT_BIT = range(4)  # forms of a weight
RECORD, RECORD_WORDS = 64, 12  # weights of a record in 4 bits, and its size in words of 32 bits
BYTE_WORDS = 9  # of a record of BLOCK_WEIGHTS weights in 8 bits
KEPT_ADAPTERS = 32  # adapters whose tables of addresses are kept

ReadFourBit = Callable[[], Mapping[str, FourBitWeight]]

_Address = ctypes.c_void_p
_Int = ctypes.c_int32


class _Matrix(ctypes.Structure):
    _fields_ = (("weight", _Address), ("bias", _Address), ("rows", _Int), ("columns", _Int), ("form", _Int))


class _Norm(ctypes.Structure):
    _fields_ = (("scale", _Address), ("epsilon", ctypes.c_float))


class _Layer(ctypes.Structure):
    _fields_ = (("matrices", _Matrix * 7), ("norms", _Norm * 2), ("head_norms", _Norm * 2), ("window", _Int))


class _Model(ctypes.Structure):
    _fields_ = (
        ("layers", ctypes.POINTER(_Layer)),
        ("head", _Matrix),
        ("last_norm", _Norm),
        *((name, _Int) for name in ("layer_count", "hidden", "inner", "heads", "kinds", "width")),
        ("scaling", ctypes.c_float),
    )


class _LowRank(ctypes.Structure):
    _fields_ = (("down", _Address), ("up", _Address), ("rank", _Int), ("scale", ctypes.c_float))


class _Step(ctypes.Structure):
    _fields_ = (
        *((name, _Int) for name in ("rows", "is_one_answer", "threads", "max_rank", "capacity")),
        *((name, _Address) for name in ("positions", "cosines", "sines", "keys", "values", "adapters")),
        ("state", _Address),
        ("logits", _Address),
    )


class CompiledStep:
    """
    A decoder laid out for the compiled step, if `of` finds that possible. It is made once and used by any number of
    generators; weights are converted at the first step.
    """

    def __init__(self, compiled: ctypes.CDLL, network: Network, read_four_bit: ReadFourBit | None) -> None:
        self._compiled, self._network, self._read_four_bit = compiled, network, read_four_bit
        self._kept: list[Tensor] = []  # the tensors that the addresses point to
        self._paths: list[str] = []
        self._model: _Model | None = None
        self._adapters: dict[int, tuple[Adapter, Any]] = {}
        self._turns = torch.empty(2, 0, network.spec.width)

    @classmethod
    def of(cls, network: Network, read_four_bit: ReadFourBit | None = None) -> CompiledStep | None:
        """
        Return the compiled form of a decoder, None if there is no compiled code for it or for this machine.

        `read_four_bit` returns, by path, the weights that the base came with in 4 bits.
        """
        compiled = library()
        return cls(compiled, network, read_four_bit) if compiled is not None and is_fit(network) else None

    @property
    def forms(self) -> set[int]:
        """Return the forms in which the layers' weights are kept."""
        return {matrix.form for layer in self._layers for matrix in layer.matrices}

    @property
    def head_form(self) -> int:
        return int(self._prepared().head.form)

    def logits(self, token_ids: Sequence[int], cache: KeyValueCache, adapters: Sequence[Adapter | None]) -> Tensor:
        """
        Return the logits `[M, V]` after one new token for each slot of the cache, in slot order.

        The keys and values of the tokens are added to the cache, which is float32; the caller updates `cache.lengths`.
        """
        return self._logits(token_ids, cache, adapters, list(cache.lengths), is_one_answer=False)

    def logits_ahead(self, token_ids: Sequence[int], cache: KeyValueCache, adapter: Adapter | None) -> Tensor:
        """Return the logits `[T, V]` after each of these successive tokens in the only slot of the cache."""
        count, first = len(token_ids), cache.lengths[0]
        positions = list(range(first, first + count))
        return self._logits(token_ids, cache, [adapter] * count, positions, is_one_answer=count > 1)

    def _logits(
        self,
        token_ids: Sequence[int],
        cache: KeyValueCache,
        adapters: Sequence[Adapter | None],
        positions: list[int],
        *,
        is_one_answer: bool,
    ) -> Tensor:
        model, spec, weights = self._prepared(), self._network.spec, self._network.weights
        buffers = cache.buffers(len(spec.layers), max(positions) + 1, torch.empty(spec.key_heads, 0, spec.width))
        addresses = _Address * len(buffers)
        keys = addresses(*(keys.data_ptr() for keys, _ in buffers))
        values = addresses(*(values.data_ptr() for _, values in buffers))
        at = torch.tensor(positions, dtype=torch.int32)
        cosines, sines = self._angles(positions)
        state = embedded(spec, weights, torch.tensor(token_ids), at).float()
        logits = torch.empty(len(token_ids), model.head.rows)
        step = _Step(
            len(token_ids), is_one_answer, torch.get_num_threads(), self._max_rank(adapters), buffers[0][0].shape[2],
            at.data_ptr(), cosines.data_ptr(), sines.data_ptr(), ctypes.addressof(keys), ctypes.addressof(values),
            ctypes.addressof(tables := self._tables(adapters)), state.data_ptr(), logits.data_ptr(),
        )  # fmt: skip
        if not self._compiled.tunery_step(ctypes.byref(model), ctypes.byref(step)):
            raise MemoryError(f"no memory for {len(token_ids)} rows of a decoding step")
        del tables  # until here
        return weights.head.capped(logits)

    def _prepared(self) -> _Model:
        if self._model is None:
            given = {} if self._read_four_bit is None else self._read_four_bit()
            four_bit = {path.removesuffix(".weight"): weight for path, weight in given.items()}
            spec, weights = self._network.spec, self._network.weights
            self._layers = (_Layer * len(spec.layers))(
                *(self._layer(number, layer, four_bit) for number, layer in enumerate(weights.layers))
            )
            self._model = _Model(
                self._layers,
                self._matrix(plain(weights.head.weight), weights.head.bias),
                self._norm(weights.last_norm),
                len(spec.layers),
                *(spec.hidden, spec.inner, spec.heads, spec.key_heads, spec.width),
                spec.layers[0].rule.scaling,
            )
        return self._model

    def _layer(self, number: int, layer: LayerWeights, four_bit: dict[str, FourBitWeight]) -> _Layer:
        spec = self._network.spec
        sizes = [heads * spec.width for heads in (spec.heads, spec.key_heads, spec.key_heads)]
        weights = [
            *torch.split(layer.queries.weight, sizes),
            *(part.weight for part in (layer.output, *layer.wide, layer.down)),
        ]
        bias = layer.queries.bias
        biases: list[Tensor | None] = [None] * 3 if bias is None else [*torch.split(bias, sizes)]
        biases += [part.bias for part in (layer.output, *layer.wide, layer.down)]
        names = (*spec.names.queries, spec.names.output, *spec.names.wide, spec.names.down)
        paths = [f"{spec.names.layer}{number}.{name}" for name in names]
        self._paths += paths
        given = zip(weights, biases, paths, strict=True)
        matrices = (_Matrix * 7)(
            *(self._matrix(weight, bias, four_bit.pop(path, None)) for weight, bias, path in given)
        )
        norms = (_Norm * 2)(
            *(self._norm(norm) for norm in (layer.norms.before_mixer, layer.norms.before_feed) if norm is not None)
        )
        return _Layer(matrices, norms, self._head_norms(layer), spec.layers[number].rule.window or 0)

    def _head_norms(self, layer: LayerWeights) -> Any:
        norm = layer.head_norm
        if not isinstance(norm, Norm):
            return (_Norm * 2)()
        of_query, of_key = norm.scale[0], norm.scale[-1]  # the same for all heads of the same kind
        return (_Norm * 2)(*(_Norm(self._address(scale), norm.epsilon) for scale in (of_query, of_key)))

    def _matrix(self, weight: Tensor, bias: Tensor | None, four_bit: FourBitWeight | None = None) -> _Matrix:
        form, stored = stored_form(self._compiled, weight.float(), four_bit)
        return _Matrix(self._address(stored), self._address(bias), *weight.shape, form)

    def _norm(self, norm: Norm) -> _Norm:
        return _Norm(self._address(norm.scale), norm.epsilon)

    def _address(self, tensor: Tensor | None) -> int | None:
        if tensor is None:
            return None
        if tensor.is_floating_point() and tensor.ndim == 1:  # norms and biases
            tensor = tensor.float()
        self._kept.append(tensor := tensor.detach().contiguous())
        return tensor.data_ptr()

    def _angles(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return cosines and sines `[M, D]`; they depend only on the position and are cached."""
        if max(positions) >= self._turns.shape[1]:
            (rotation,) = self._network.spec.rotations.values()
            every = torch.arange(2 * (max(positions) + 1))
            self._turns = torch.stack(angles(rotation, every, self._network.dtype)).float()
        cosines, sines = self._turns[:, torch.tensor(positions)]
        return cosines, sines

    @staticmethod
    def _max_rank(adapters: Sequence[Adapter | None]) -> int:
        return max((adapter.shape.rank for adapter in adapters if adapter is not None), default=0)

    def _tables(self, adapters: Sequence[Adapter | None]) -> Any:
        """Return the addresses of the rows' tables, None for the plain base."""
        if len(self._adapters) > KEPT_ADAPTERS:
            self._adapters.clear()
        return (_Address * len(adapters))(*map(self._table, adapters))

    def _table(self, adapter: Adapter | None) -> int | None:
        if adapter is None:
            return None
        if id(adapter) not in self._adapters:
            pairs = {path: (down.data_ptr(), up.data_ptr()) for path, down, up in adapter.shape.pairs(adapter.flat)}
            rank, scale = adapter.shape.rank, adapter.shape.scale
            table = [_LowRank(*pairs[path], rank, scale) if path in pairs else _LowRank() for path in self._paths]
            self._adapters[id(adapter)] = adapter, (_LowRank * len(table))(*table)
        return ctypes.addressof(self._adapters[id(adapter)][1])


def is_fit(network: Network) -> bool:
    """Return whether the compiled step supports every part of a decoder."""
    spec = network.spec
    rules = {(layer.rule.scaling, layer.rule.softcap, layer.rotation) for layer in spec.layers}
    summed = (spec.hidden, spec.inner, spec.width, spec.heads * spec.width)
    is_llama = (
        spec.is_gated and len(spec.names.wide) == 2 and spec.activation == "silu" and len(spec.names.queries) == 3
    )
    is_serial = not spec.is_parallel and spec.residual_multiplier == 1 and spec.names.norms[1::2] == (None, None)
    has_known_norms = not spec.norm.has_bias and spec.names.norms[0] is not None and spec.head_norm in (None, "head")
    return (
        network.device.type == "cpu"
        and network.dtype in (torch.float32, torch.bfloat16)
        and not network.quantized_kinds
        and is_llama
        and is_serial
        and not spec.turns_neighbours
        and spec.query_growth is None
        and not any(layer.kernel for layer in spec.layers)
        and has_known_norms
        and len(rules) == 1
        and all(softcap is None and rotation is not None for _, softcap, rotation in rules)
        and all(2 * len(r.frequencies) == spec.width and r.long is None for r in spec.rotations.values())
        and not any(size % LANES for size in summed)
    )


def stored_form(compiled: ctypes.CDLL, weight: Tensor, four_bit: FourBitWeight | None) -> tuple[int, Tensor]:
    """Return the most compact form that represents a float32 weight `[N, K]` exactly, numbered as in `step.c`."""
    if four_bit is not None and weight.shape[1] % RECORD == 0:
        records = torch.empty(weight.numel() // RECORD, RECORD_WORDS, dtype=torch.int32)
        given = (four_bit.quants.contiguous(), four_bit.scales.contiguous(), four_bit.zeros.contiguous())
        expected = weight.contiguous()
        addresses = [_Address(tensor.data_ptr()) for tensor in (*given, expected, records)]
        if compiled.tunery_pack(*addresses[:3], *weight.shape, *addresses[3:]):
            return FOUR_BIT, records
    if weight.shape[1] % BLOCK_WEIGHTS == 0:
        records, expected = (
            torch.empty(weight.numel() // BLOCK_WEIGHTS, BYTE_WORDS, dtype=torch.int32),
            weight.contiguous(),
        )
        count = ctypes.c_int64(weight.numel())
        if compiled.tunery_pack_bytes(_Address(expected.data_ptr()), count, _Address(records.data_ptr())):
            return EIGHT_BIT, records
    narrow = weight.bfloat16()
    if weight.shape[1] % (2 * LANES) == 0 and torch.equal(narrow.float(), weight):
        return PAIRED, narrow.view(len(weight), -1, 2, LANES).transpose(2, 3).contiguous()
    return WIDE, weight
