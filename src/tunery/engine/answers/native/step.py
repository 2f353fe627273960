"""
Calls the compiled decoding step on the tensors of a model, its caches and the adapters of the running rows.

Weights are read in bfloat16 where that is exact, which halves what a step has to read; adapters are read where they
lie. Only float32: there it computes what the step in torch does, up to the order of sums.
`step.c` says what the numbers mean.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tunery.engine.answers.cache import KeyValueCache, LayerMemory
from tunery.engine.answers.native.library import library
from tunery.engine.answers.workspace import Sizes
from tunery.engine.conversion import BLOCK_WEIGHTS, FourBitWeight
from tunery.engine.layers.lora import Adapter

LANES = 8  # sizes that are summed over must be a multiple of this
WIDE, PAIRED, FOUR_BIT, EIGHT_BIT = range(4)  # forms of a weight
RECORD, RECORD_WORDS = 64, 12  # weights of a record in 4 bits, and its size in words of 32 bits
BYTE_WORDS = 9  # of a record of BLOCK_WEIGHTS weights in 8 bits
KEPT_ADAPTERS = 32  # whose tables of addresses are kept

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


@dataclass(frozen=True, slots=True)
class NormParts:
    """x / sqrt(mean(x²) + ε) × scale `[in]`."""

    scale: Tensor
    epsilon: float


@dataclass(frozen=True, slots=True)
class LayerParts:
    """
    What the step reads of a layer: seven linear layers by path, in the order query, key, value, output, gate, up, down;
    the norms before its two halves, those of query and key heads where there are any, and its window in tokens.
    """

    linear: Mapping[str, tuple[Tensor, Tensor | None]]
    norms: tuple[NormParts, NormParts]
    head_norms: tuple[NormParts, NormParts] | None
    window: int | None


@dataclass(frozen=True, slots=True)
class ModelParts:
    """What the step reads of a model; `rotary(like, positions)` gives cosines and sines, as transformers' does."""

    layers: Sequence[LayerParts]
    embedding: Tensor
    head: tuple[Tensor, Tensor | None]
    last_norm: NormParts
    rotary: Any
    sizes: Sizes
    scaling: float


class NativeStep:
    """A model laid out for the compiled step; `of` says whether it can be. Weights are brought into form when made."""

    def __init__(self, compiled: ctypes.CDLL, parts: ModelParts, four_bit: dict[str, FourBitWeight]) -> None:
        self._compiled, self._parts, self._four_bit = compiled, parts, four_bit
        self._kept: list[Tensor] = []  # what addresses point to
        self._paths = [path for layer in parts.layers for path in layer.linear]
        self._layers = (_Layer * len(parts.layers))(*map(self._layer, parts.layers))
        sizes = parts.sizes
        self._model = _Model(
            self._layers,
            self._matrix(*parts.head),
            self._norm(parts.last_norm),
            len(parts.layers),
            *(sizes.hidden, sizes.inner, sizes.heads, sizes.kinds, sizes.width),
            parts.scaling,
        )
        self._adapters: dict[int, tuple[Adapter, Any]] = {}
        self._memories: tuple[Sequence[LayerMemory], Any, Any] | None = None
        self._turns = torch.empty(2, 0, sizes.width)

    @classmethod
    def of(cls, parts: ModelParts, read_four_bit: ReadFourBit | None = None) -> NativeStep | None:
        """
        Return the compiled form of a model, None where there is no compiled code for it or for this machine.

        `read_four_bit` gives, by path of the weight, those that the base came with in 4 bits.
        """
        sizes, compiled = parts.sizes, library()
        summed = (sizes.hidden, sizes.inner, sizes.width, sizes.heads * sizes.width)
        is_fit = parts.embedding.dtype == torch.float32 and not any(size % LANES for size in summed)
        if compiled is None or not is_fit:
            return None
        four_bit = {} if read_four_bit is None else dict(read_four_bit())
        return cls(compiled, parts, {path.removesuffix(".weight"): weight for path, weight in four_bit.items()})

    @property
    def forms(self) -> set[int]:
        """Return the forms in which the layers' weights are kept."""
        return {matrix.form for layer in self._layers for matrix in layer.matrices}

    @property
    def head_form(self) -> int:
        return int(self._model.head.form)

    def logits(
        self, token_ids: Sequence[int], cache: KeyValueCache, adapters: Sequence[Adapter | None], is_one_answer: bool
    ) -> Tensor:
        """
        Return the logits `[M, V]` that follow one new token of each slot or, `is_one_answer`, each of the only one's.

        Keys and values of the tokens are added to the cache; `cache.lengths` are left to the caller.
        """
        rows = len(token_ids)
        positions = [cache.lengths[0] + ahead for ahead in range(rows)] if is_one_answer else list(cache.lengths)
        keys, values, capacity = self._memory(cache.memories(max(positions) + 1))
        at = torch.tensor(positions, dtype=torch.int32)
        cosines, sines = self._angles(positions)
        state = self._parts.embedding[torch.tensor(token_ids)]
        logits = torch.empty(rows, self._model.head.rows)
        step = _Step(
            rows, is_one_answer, torch.get_num_threads(), self._max_rank(adapters), capacity, at.data_ptr(),
            cosines.data_ptr(), sines.data_ptr(), ctypes.addressof(keys), ctypes.addressof(values),
            ctypes.addressof(tables := self._tables(adapters)), state.data_ptr(), logits.data_ptr(),
        )  # fmt: skip
        if not self._compiled.tunery_step(ctypes.byref(self._model), ctypes.byref(step)):
            raise MemoryError(f"no memory for {rows} rows of a decoding step")
        del tables  # until here
        return logits

    def _layer(self, layer: LayerParts) -> _Layer:
        matrices = (_Matrix * 7)(
            *(self._matrix(*tensors, self._four_bit.pop(path, None)) for path, tensors in layer.linear.items())
        )
        norms = (_Norm * 2)(*map(self._norm, layer.norms))
        head_norms = (_Norm * 2)(*map(self._norm, layer.head_norms or ()))
        return _Layer(matrices, norms, head_norms, layer.window or 0)

    def _matrix(self, weight: Tensor, bias: Tensor | None, four_bit: FourBitWeight | None = None) -> _Matrix:
        form, stored = stored_form(self._compiled, weight, four_bit)
        return _Matrix(self._address(stored), self._address(bias), *weight.shape, form)

    def _norm(self, norm: NormParts) -> _Norm:
        return _Norm(self._address(norm.scale), norm.epsilon)

    def _address(self, tensor: Tensor | None) -> int | None:
        if tensor is None:
            return None
        self._kept.append(tensor := tensor.detach().contiguous())
        return tensor.data_ptr()

    def _angles(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return cosines and sines `[M, D]`; they depend on the position alone and are kept."""
        if max(positions) >= self._turns.shape[1]:
            every = torch.arange(2 * (max(positions) + 1))[None]
            cosines, sines = self._parts.rotary(torch.empty(1), every)
            self._turns = torch.stack((cosines[0], sines[0]))
        cosines, sines = self._turns[:, torch.tensor(positions)]
        return cosines, sines

    def _memory(self, memories: Sequence[LayerMemory]) -> tuple[Any, Any, int]:
        if self._memories is None or self._memories[0] is not memories:
            addresses = _Address * len(memories)
            keys = addresses(*(memory.keys.data_ptr() for memory in memories))
            values = addresses(*(memory.values.data_ptr() for memory in memories))
            self._memories = memories, keys, values
        return *self._memories[1:], memories[0].capacity

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


def stored_form(compiled: ctypes.CDLL, weight: Tensor, four_bit: FourBitWeight | None) -> tuple[int, Tensor]:
    """Return the shortest form that holds a float32 weight `[N, K]` bit by bit, as `step.c` numbers them."""
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
