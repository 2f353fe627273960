"""
Loads the frozen weights and the tokenizer of a base from a folder with safetensors.

The weights stay memory-mapped if the file has the right number format. Code that comes with a model is never run.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import safetensors
import torch

from tunery import config
from tunery.engine.base_config import Unknown
from tunery.engine.catalog import Catalog, folder_entry, inspect_folder, weights_digest
from tunery.engine.conversion import read_stored, stored_bits
from tunery.engine.fallback import FallbackNetwork, model_of
from tunery.engine.families import spec_of
from tunery.engine.memory import KeptWeights, available_memory, memory_estimate
from tunery.engine.network import Network
from tunery.engine.quantized import BLOCK_WEIGHTS, ROUNDED
from tunery.engine.tokenizer import Tokenizer
from tunery.engine.weights import Rounding, TensorsInTurn, arranged, read_config, read_tensors
from tunery.errors import InvalidArgument
from tunery.types import CatalogEntry, WeightFormat

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded base: shared by all its adapters, never changed."""

    network: Network | FallbackNetwork
    tokenizer: Tokenizer
    entry: CatalogEntry
    folder: Path
    digest: str  # sha256 of the weights
    dtype: torch.dtype
    notice: str = ""  # on the format of the weights, if it is not the usual one

    @property
    def name(self) -> str:
        """Return the base's own name in the catalog, even if it was requested by an API name."""
        return self.entry.alias_of or self.entry.name

    @property
    def window_tokens(self) -> int:
        """Return the longest sequence, prompt plus answer, in tokens."""
        return self.entry.input_token_limit


def load(
    entry: CatalogEntry,
    data_folder: Path,
    *,
    dtype: torch.dtype,
    device: torch.device = CPU,
    weights: WeightFormat = WeightFormat.FULL,
) -> Base:
    """
    Load a base whose weights are on this machine (see `pull.pull`), and keep them in the format `weights`.

    Raises FailedPrecondition when the weights are missing or were changed, InvalidArgument when they cannot be loaded.
    """
    catalog, name = Catalog(data_folder), entry.alias_of or entry.name
    return _load(entry, catalog.folder(name), catalog.digest(name), dtype, device, weights)


def load_folder(folder: Path, *, dtype: torch.dtype) -> Base:
    """Load a folder in transformers' layout that is not in the catalog; reads all weights to compute the digest."""
    record = inspect_folder(folder.resolve())
    return _load(folder_entry(record), folder, weights_digest(record), dtype, CPU, WeightFormat.FULL)


def _load(
    entry: CatalogEntry, folder: Path, digest: str, dtype: torch.dtype, device: torch.device, weights: WeightFormat
) -> Base:
    try:
        chosen = chosen_format(weights, entry, folder, dtype, device)
        network = network_of(folder, dtype, device, chosen.format)
        tokenizer = Tokenizer.read(folder)
    except (ValueError, KeyError, OSError, safetensors.SafetensorError) as error:
        raise InvalidArgument(f"{entry.name} cannot be loaded from {folder}: {error}") from error
    return Base(network, tokenizer, entry, folder, digest, dtype, _notice(chosen, network))


@dataclass(frozen=True, slots=True)
class Choice:
    """The format in which the weights of a base are kept, and a sentence that says why, if it is not the usual one."""

    format: WeightFormat
    sentence: str = ""


def chosen_format(
    asked: WeightFormat, entry: CatalogEntry, folder: Path, dtype: torch.dtype, device: torch.device = CPU
) -> Choice:
    """
    Return the format in which to keep the weights of a base: the one asked for; by default full weights if they fit.

    Weights that came in fewer bits are never rounded to more, nor are any rounded that nobody asked to round.
    """
    kept, free = KeptWeights(dtype.itemsize, stored_format(folder), device.type == "cpu"), available_memory()
    chosen, is_asked = kept.format_for(asked, entry.parameters, free), asked in _BITS
    if chosen is WeightFormat.FULL:
        return Choice(chosen, _STAYS_FULL.format(device.type) if is_asked else "")
    if is_asked and not kept.as_it_came(asked):
        return Choice(
            chosen, f"The weights of the base are rounded to {_BITS[chosen]} bits; tuning sees the rounded ones."
        )
    sentence = f"The weights of the base are kept in {_BITS[chosen]} bits, as they came"
    if is_asked:
        return Choice(chosen, f"{sentence}.")
    needed = memory_estimate(entry.parameters or 0, weight_bytes=dtype.itemsize)
    why = f"in full, tuning needs about {needed / 1e9:.1f} GB, and {(free or 0) / 1e9:.1f} GB are free"
    return Choice(chosen, f"{sentence}: {why}.")


def _notice(chosen: Choice, network: Network | FallbackNetwork) -> str:
    """Return the sentence of a choice, or that nothing came of it."""
    if network.weight_format is not WeightFormat.FULL or chosen.format is WeightFormat.FULL:
        return chosen.sentence
    if isinstance(network, FallbackNetwork):
        return _STAYS_FULL.format("transformers computes this base, and")
    return _STAYS_FULL.format(f"its rows are not whole blocks of {BLOCK_WEIGHTS}, so it")


_BITS = {WeightFormat.EIGHT_BIT: 8, WeightFormat.FOUR_BIT: 4}
_STAYS_FULL = "The weights of the base stay full: {} cannot keep them in fewer bits."


def stored_format(folder: Path) -> WeightFormat | None:
    """Return the format in which the weights of a base came and can be kept; None if they came full."""
    bits = stored_bits(folder)
    return None if bits is None else WeightFormat.of(bits)


def kept_weights(entry: CatalogEntry, data_folder: Path) -> KeptWeights:
    """Return how the weights of a base can be kept on the device in use, without loading it."""
    device = chosen_device(config.device())
    return kept_in(Catalog(data_folder).folder(entry.alias_of or entry.name), device_dtype(device), device)


def kept_in(folder: Path, dtype: torch.dtype, device: torch.device = CPU) -> KeptWeights:
    """Return how the weights of the base in a folder can be kept on a device, without loading it."""
    try:
        spec_of(read_config(folder))
    except Unknown:
        return KeptWeights(dtype.itemsize, is_flexible=False)
    return KeptWeights(dtype.itemsize, stored_format(folder), device.type == "cpu")


def network_of(
    folder: Path, dtype: torch.dtype, device: torch.device = CPU, weights: WeightFormat = WeightFormat.FULL
) -> Network | FallbackNetwork:
    """
    Return the frozen model in a folder: our own decoder, or the model of transformers with the reason why ours cannot
    compute it.

    Weights that did not come in the format `weights` are rounded to it. Raises the errors of `weights.arranged` and
    `fallback.model_of`.
    """
    try:
        spec = spec_of(read_config(folder))
        if weights is WeightFormat.FULL:
            return Network(spec, arranged(read_tensors(folder, dtype, device), spec))
        if KeptWeights(stored=stored_format(folder)).as_it_came(weights):
            return Network(spec, arranged(read_stored(folder, dtype, device), spec))
        return Network(spec, arranged(TensorsInTurn(folder), spec, Rounding(ROUNDED[weights], dtype)))
    except Unknown as reason:
        return FallbackNetwork(model_of(folder, dtype).to(device), str(reason))


# with less, the rounding of bfloat16 is not worth the time saved; processors with the instructions reach 2-4
MINIMUM_GAIN = 1.3
_ROUNDS = 8  # about 1 ms each; the first one also loads the kernels
_HOPELESS_ROUNDS, _HOPELESS_GAIN = 2, 0.5  # emulated bfloat16 takes 80 ms per round, so stop early


def chosen_device(name: str) -> torch.device:
    """
    Return a device by its name; auto is the graphics card if torch can compute on one, else the CPU.

    Raises InvalidArgument, saying what to do, if torch cannot compute on it.
    """
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        with suppress(InvalidArgument):  # too old for this build of torch, or its memory is full
            return chosen_device("cpu" if found is None else str(found))
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).add_(1).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InvalidArgument(
            f"torch {torch.__version__} cannot compute on the device {name}, from --device or TUNERY_DEVICE:"
            f" {str(error).splitlines()[0].rstrip('.')}. Install a build of torch for this device, or choose cpu."
        ) from error
    return device


def graphics_card() -> str | None:
    """Return the name of a graphics card that torch can compute on; None if there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def device_dtype(device: torch.device) -> torch.dtype:
    """Return the number format in which a device is fast, bfloat16 or float32."""
    if device.type == "cpu":
        return fast_dtype()
    is_native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if is_native else torch.float32


@cache
def fast_dtype() -> torch.dtype:
    """Return bfloat16 if this processor multiplies it at least MINIMUM_GAIN times as fast as float32, else float32."""
    return torch.bfloat16 if bfloat16_gain() >= MINIMUM_GAIN else torch.float32


def bfloat16_gain() -> float:
    """
    Return how many times faster than float32 a product `[192, 512] × [512, 512]` is in bfloat16.

    It is measured on one thread: with more, all of them wait for one whose core another program keeps busy.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _gain()
    finally:
        torch.set_num_threads(threads)


def _gain() -> float:
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    operands = {dtype: (torch.ones(192, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)) for dtype in best}
    for number in range(_ROUNDS):
        if number >= _HOPELESS_ROUNDS and best[torch.float32] < _HOPELESS_GAIN * best[torch.bfloat16]:
            break
        for dtype, (left, right) in operands.items():
            start = time.perf_counter()
            torch.mm(left, right)
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]
