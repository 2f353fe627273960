"""
Reads GGUF files (ggml's docs/gguf.md): metadata, the table of tensors, and memory-mapped bytes of single tensors.

The reader of the gguf package takes seconds for a vocabulary (one array object per token); this one skips it. Torch is
not imported.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

VERSIONS = (2, 3)
ALIGNMENT_BYTES = 32
MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
STRING, ARRAY = 8, 9
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """An entry in the table of tensors."""

    name: str
    shape: tuple[int, ...]  # slowest-varying dimension first, as in torch
    type_id: int  # ggml type
    offset: int  # bytes from the beginning of the file

    @property
    def numbers(self) -> int:
        """Return the number of elements."""
        return prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one row; raises InvalidArgument for a type that the gguf package does not know."""
        import gguf

        try:
            block, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(self.type_id)]
        except ValueError as error:
            raise InvalidArgument(f"{self.name} has the unknown ggml type {self.type_id}. Update gguf.") from error
        return int(self.shape[-1] // block * block_bytes)

    @property
    def total_bytes(self) -> int:
        """Return the bytes of the tensor in the file."""
        return self.row_bytes * prod(self.shape[:-1])


class GgufFile:
    """
    An opened GGUF file.

    `metadata` has all values, except that an array of strings, such as the vocabulary, is represented by its length.
    `tensors` keeps the
    order of the file. Raises InvalidArgument when the file is not GGUF or ends too early.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # ValueError if the file is empty
            self._read_header()
        except (ValueError, struct.error, ArithmeticError, TypeError, MemoryError) as error:
            raise InvalidArgument(f"{path} is not a complete GGUF file ({error}). Fetch it again.") from error

    @cached_property
    def architecture(self) -> str:
        """Return llama.cpp's name of the architecture, such as "llama"."""
        return str(self.metadata.get("general.architecture", ""))

    def data(self, tensor: GgufTensor) -> NDArray[numpy.uint8]:
        """Return the bytes of a tensor, row by row: uint8 `[..., row_bytes]`, read-only."""
        import numpy

        flat = numpy.frombuffer(self._content, numpy.uint8, tensor.total_bytes, tensor.offset)
        return flat.reshape(*tensor.shape[:-1], tensor.row_bytes)

    def strings(self, key: str) -> list[str]:
        """Return an array of strings in the metadata; raises InvalidArgument if there is none."""
        self._position = self._places.get(key, len(self._content))
        try:
            kind, strings, count = self._numbers("IIQ")
            if (kind, strings) != (ARRAY, STRING):
                raise ValueError("it is none")
            return [self._string() for _ in range(count)]
        except (ValueError, struct.error) as error:
            raise InvalidArgument(f"{self.path} has no list of texts {key} ({error}). Fetch it again.") from error

    def require_complete(self) -> None:
        """Raise InvalidArgument when the file ends before its last tensor does."""
        end = max((tensor.offset + tensor.total_bytes for tensor in self.tensors), default=0)
        if end > len(self._content):
            raise InvalidArgument(
                f"{self.path} has {len(self._content):,} bytes where {end:,} are needed. Fetch it again."
            )

    def _read_header(self) -> None:
        if self._content[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._position = 4
        version, tensors, values = self._numbers("IQQ")
        if version not in VERSIONS:
            raise ValueError(f"version {version}")
        self.metadata: dict[str, Any] = {}
        self._places: dict[str, int] = {}
        for _ in range(values):
            key = self._string()
            self._places[key] = self._position
            self.metadata[key] = self._value(*self._numbers("I"))
        table = [self._table_entry() for _ in range(tensors)]
        alignment = self.metadata.get("general.alignment", ALIGNMENT_BYTES)
        start = -(-self._position // alignment) * alignment
        self.tensors = [GgufTensor(name, shape, type_id, start + offset) for name, shape, type_id, offset in table]

    def _table_entry(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string()
        (dimensions,) = self._numbers("I")
        if dimensions > MAX_DIMENSIONS:
            raise ValueError(f"a tensor with {dimensions} dimensions")
        shape = self._numbers(f"{dimensions}Q")
        type_id, offset = self._numbers("IQ")
        return name, shape[::-1], type_id, offset

    def _value(self, type_id: int) -> Any:
        if type_id == STRING:
            return self._string()
        if type_id == ARRAY:
            return self._array(*self._numbers("IQ"))
        if type_id not in NUMBERS:
            raise ValueError(f"a value of type {type_id}")
        return self._numbers(NUMBERS[type_id])[0]

    def _array(self, type_id: int, count: int) -> Any:
        if count > len(self._content):
            raise ValueError(f"an array of {count} values")
        if type_id == STRING:
            for _ in range(count):
                (length,) = self._numbers("Q")
                self._position += length
            return count
        if type_id not in NUMBERS:
            raise ValueError(f"an array of type {type_id}")
        return list(self._numbers(f"{count}{NUMBERS[type_id]}"))

    def _string(self) -> str:
        (length,) = self._numbers("Q")
        self._position += length
        return self._content[self._position - length : self._position].decode("utf-8")

    def _numbers(self, form: str) -> tuple[Any, ...]:
        numbers = struct.unpack_from(f"<{form}", self._content, self._position)
        self._position += struct.calcsize(f"<{form}")
        return numbers
