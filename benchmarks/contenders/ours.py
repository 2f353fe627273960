"""tunery's own tuner on a prepared job: prints speed, memory, losses and the share of the machine's rate as JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from peak_memory import peak_bytes

from tunery import config
from tunery.engine.encoding import EncodedExample
from tunery.engine.network import Network
from tunery.engine.packing import pack
from tunery.engine.resident import resident_base
from tunery.engine.tuner import Recipe, Schedule, Tuner
from tunery.types import Hyperparameters

WARM_STEPS = 2  # not counted: kernels are chosen, buffers are made


class InOrder(Schedule):
    """Takes the rows as they stand: they are already in the order of the steps."""

    def batch(self, step: int) -> list[int]:
        size = self.hyperparameters.batch_size
        return list(range((step - 1) * size, step * size))


def main(job_file: str, dtype: str | None = None) -> None:
    job = json.loads(Path(job_file).read_text("utf-8"))
    rows = [EncodedExample(tuple(row["token_ids"]), row["answer_offset"]) for row in job["rows"]]
    resident = resident_base(job["base_model"], config.data_folder(), dtype)
    with tempfile.TemporaryDirectory() as folder:
        hyperparameters = Hyperparameters(1, job["batch_size"], job["learning_rate"])
        tuner = Tuner(resident.network, rows, hyperparameters, folder=Path(folder), base_name=resident.name)
        tuner.schedule = InOrder(len(rows), hyperparameters, Recipe(), 0)
        start = time.time()
        times = [time.time() for _ in tuner.run()]
    losses = [snapshot.mean_loss for snapshot in tuner.snapshots]
    per_epoch = len(losses) // job["epoch_count"]
    counted = [tuner.schedule.batch(step) for step in range(WARM_STEPS + 1, len(losses) + 1)]
    seconds = times[-1] - times[WARM_STEPS - 1]
    peak = peak_bytes()  # before the rate is measured
    operations = sum(step_operations(resident.network, [rows[index] for index in batch]) for batch in counted)
    result = {
        "tokens_per_second": sum(len(rows[index].token_ids) for batch in counted for index in batch) / seconds,
        "loop_seconds": times[-1] - start,
        "seconds_to_first_step": times[0] - float(os.environ["STARTED"]),
        "peak_bytes": peak,
        "losses": [sum(losses[e * per_epoch : (e + 1) * per_epoch]) / per_epoch for e in range(job["epoch_count"])],
        "rate_share": operations / seconds / machine_rate(resident.network.dtype),
        "dtype": str(resident.network.dtype),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))


def step_operations(network: Network, rows: Sequence[EncodedExample]) -> float:
    """
    Return the operations that a step cannot do without: forward and gradient of frozen products, of the low-rank ones
    with their own gradient, and of the head on answer tokens. Attention, norms and the optimizer are not counted.
    """
    batch, rank = pack(rows), Recipe().rank
    frozen = sum(rows * columns for rows, columns in network.linears.values())
    low_rank = rank * sum(map(sum, network.linears.values()))
    tokens, answers = int((batch.layout.numbers < len(rows)).sum()), len(batch.targets)
    return tokens * (4 * frozen + 6 * low_rank) + answers * 4 * network.head.weight.numel()


def machine_rate(dtype: torch.dtype) -> float:
    """Return operations per second of the products `[M, 576] × [576, 1536]`, the best of M = 128, 256, 512, 1024."""
    return max(_product_rate(rows, dtype) for rows in (128, 256, 512, 1024))


def _product_rate(rows: int, dtype: torch.dtype) -> float:
    left, right, times = torch.randn(rows, 576).to(dtype), torch.randn(1536, 576).to(dtype), []
    for _ in range(60):
        start = time.perf_counter()
        torch.mm(left, right.t())
        times.append(time.perf_counter() - start)
    return 2 * rows * 576 * 1536 / sorted(times)[len(times) // 2]


if __name__ == "__main__":
    main(*sys.argv[1:3])
