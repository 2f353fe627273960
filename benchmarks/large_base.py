"""
Memory that a base of 1.7 billion parameters takes, with random weights in 4 bits: making it, adding it, tuning it.

    python -m benchmarks.large_base --folder /tmp/large
    python -m benchmarks.large_base --folder /tmp/large --tokens 1024 --free 5.0 --dtype float32

The shape is that of SmolLM2 1.7B. Every phase is a process of its own; its peak is VmHWM, which counts the pages of the
mapped file too. `--free` is the memory, in GB, that tuning is told it has. With `--rounded` the base is stored full,
and rounded when it is loaded. The weights are random, so losses mean
nothing; how well such a base learns is not measured here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

HIDDEN, INNER, LAYERS, HEADS, VOCABULARY, WINDOW = 2048, 8192, 24, 32, 49152, 8192
BATCH = 4
TABLE = "Q6_K"  # as llama.cpp stores the table of a file in 4 bits


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kind", default="Q4_0")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--free", type=float)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--without-products", action="store_true", help="measure memory alone, on a busy machine")
    parser.add_argument("--rounded", action="store_true")
    parser.add_argument("--phase", choices=("make", "add", "tune"))
    given = parser.parse_args(arguments)
    if given.phase:
        begin = time.monotonic()
        {"make": make, "add": add, "tune": tune}[given.phase](given)
        seconds, cpu = time.monotonic() - begin, time.process_time()
        sys.stdout.write(f"{given.phase}: peak {peak_bytes() / 1e9:.2f} GB, {seconds:.0f} s, processor {cpu:.0f} s\n")
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    made = [given.folder / name for name in ("large.gguf", "model.safetensors")]
    done = [any(path.is_file() for path in made), (given.folder / "model.safetensors").is_file(), False]
    for phase, is_done in zip(("make", "add", "tune"), done, strict=True):
        if not is_done:
            command = [sys.executable, "-m", "benchmarks.large_base", *(arguments or sys.argv[1:]), "--phase", phase]
            subprocess.run(command, check=True)


def peak_bytes() -> int:
    """Return the peak of this process's resident memory."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def make(given: argparse.Namespace) -> None:
    """Write the GGUF file, a tensor at a time."""
    import gguf
    import numpy as np

    from tests.engine.tiny_bases import _add_tokenizer

    writer = gguf.GGUFWriter(given.folder / "large.gguf", "llama")
    writer.add_name("Large")
    writer.add_context_length(WINDOW)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(130_000.0)
    writer.add_vocab_size(VOCABULARY)
    _add_tokenizer(writer)
    random, tensors = np.random.default_rng(0), list(shapes(given.kind))
    for name, shape, kind in tensors:
        size = blocks_shape(shape, kind)
        number = np.dtype(np.float32 if kind == "F32" else np.uint8)
        raw = gguf.GGMLQuantizationType[kind]
        writer.add_tensor_info(name, size, number, prod(size) * number.itemsize, raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, shape, kind in tensors:
        writer.write_tensor_data(random_tensor(random, shape, kind))
    writer.close()


def shapes(kind: str) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yield name, shape and type of each tensor."""
    square, wide = (HIDDEN, HIDDEN), (INNER, HIDDEN)
    yield "token_embd.weight", (VOCABULARY, HIDDEN), TABLE
    for layer in range(LAYERS):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"blk.{layer}.{part}.weight", square, kind
        yield f"blk.{layer}.ffn_gate.weight", wide, kind
        yield f"blk.{layer}.ffn_up.weight", wide, kind
        yield f"blk.{layer}.ffn_down.weight", (HIDDEN, INNER), kind
        yield f"blk.{layer}.attn_norm.weight", (HIDDEN,), "F32"
        yield f"blk.{layer}.ffn_norm.weight", (HIDDEN,), "F32"
    yield "output_norm.weight", (HIDDEN,), "F32"


def blocks_shape(shape: tuple[int, ...], kind: str) -> tuple[int, ...]:
    import gguf

    if kind == "F32":
        return shape
    weights, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    return (*shape[:-1], shape[-1] // weights * size)


def random_tensor(random: Any, shape: tuple[int, ...], kind: str) -> Any:
    import gguf
    import numpy as np

    if kind == "F32":
        return np.ones(shape, np.float32)
    its = gguf.GGMLQuantizationType[kind]
    weights, size = gguf.GGML_QUANT_SIZES[its]
    blocks = random.integers(0, 256, (shape[0], shape[-1] // weights, size), dtype=np.uint8)
    scale = np.float16(0.003 if kind != "Q6_K" else 1e-5)  # weights of about 0.02
    for place in {"Q6_K": (size - 2,), "Q4_1": (0, 2), "Q4_K": (0, 2)}.get(kind, (0,)):
        blocks[..., place : place + 2] = np.array([scale]).view(np.uint8)
    return blocks.reshape(shape[0], -1)


def add(given: argparse.Namespace) -> None:
    """Convert the file, as `tunery bases add` does."""
    from tunery.engine.conversion import convert

    convert(given.folder / "large.gguf", given.folder)
    if given.rounded:
        for name in ("large.gguf", "original.gguf"):
            (given.folder / name).unlink()


def tune(given: argparse.Namespace) -> None:
    """Tune on rows of this many tokens for a few steps."""
    import torch

    from tunery.engine import base, network
    from tunery.engine.resident import ResidentBase
    from tunery.types import Hyperparameters, TuningExample, WeightFormat

    if given.without_products:
        leave_products_out()
    if given.free:
        network.available_memory = lambda: int(given.free * 1e9)
    entry = base.folder_entry(base.inspect_folder(given.folder))
    loaded = base._load(entry, given.folder, "", getattr(torch, given.dtype), base.CPU, WeightFormat.FOUR_BIT)
    resident = ResidentBase(loaded)
    empty = len(resident.encoder.example(TuningExample("", "ab")).token_ids)
    texts = [chr(97 + row) * (given.tokens - empty) for row in range(BATCH * given.steps)]
    examples = [TuningExample(text, "ab") for text in texts]
    settings = Hyperparameters(epoch_count=1, batch_size=BATCH)
    work = resident.tuner(examples, settings, folder=given.folder / "work")
    rows = {len(row.token_ids) for row in work.examples}
    for snapshot in work.run():
        now = peak_bytes() / 1e9
        sys.stdout.write(
            f"step {snapshot.step}: loss {snapshot.mean_loss:.3f}, peak {now:.2f} GB; rows of {sorted(rows)} tokens,"
            f" {work.micro_batch_size} at a time, layers computed again: {resident.network.recomputes}\n"
        )
        sys.stdout.flush()


def leave_products_out() -> None:
    """Have the large products give a constant, in the memory that they take; nothing else changes."""
    import torch

    def matmul(left: Any, right: Any) -> Any:
        return left.new_empty(*left.shape[:-1], right.shape[-1]).fill_(0.01)

    def bmm(left: Any, right: Any) -> Any:
        return matmul(left, right)

    def addmm_(total: Any, *_given: Any, **_more: Any) -> Any:
        return total

    torch.Tensor.__matmul__ = matmul  # type: ignore[method-assign]
    torch.Tensor.addmm_ = addmm_  # type: ignore[method-assign, assignment]
    torch.bmm = bmm


if __name__ == "__main__":
    main()
