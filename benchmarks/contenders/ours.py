"""tunery's own tuner on a prepared job: prints tokens per second, peak memory and the loss of each epoch as JSON."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from tunery import config
from tunery.engine.encoding import EncodedExample
from tunery.engine.model import resident_base
from tunery.engine.tuning.schedule import Recipe, Schedule
from tunery.engine.tuning.tuner import Tuner
from tunery.types import DEFAULT_BASE_MODEL, Hyperparameters

WARM_STEPS = 2  # not counted: kernels are chosen, buffers are made


class InOrder(Schedule):
    """Takes the rows as they stand: they are already in the order of the steps."""

    def batch(self, step: int) -> list[int]:
        size = self.hyperparameters.batch_size
        return list(range((step - 1) * size, step * size))


def main(job_file: str) -> None:
    job = json.loads(Path(job_file).read_text("utf-8"))
    rows = [EncodedExample(tuple(row["token_ids"]), row["answer_offset"]) for row in job["rows"]]
    resident = resident_base(DEFAULT_BASE_MODEL, config.data_folder())
    with tempfile.TemporaryDirectory() as folder:
        hyperparameters = Hyperparameters(1, job["batch_size"], job["learning_rate"])
        tuner = Tuner(resident.network, rows, hyperparameters, folder=Path(folder), base_name=resident.name)
        tuner.schedule = InOrder(len(rows), hyperparameters, Recipe(), 0)
        times = [time.perf_counter() for _ in tuner.run()]
    tokens = sum(len(row.token_ids) for row in rows[WARM_STEPS * job["batch_size"] :])
    losses = [snapshot.mean_loss for snapshot in tuner.snapshots]
    per_epoch = len(losses) // job["epoch_count"]
    result = {
        "tokens_per_second": tokens / (times[-1] - times[WARM_STEPS - 1]),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "losses": [sum(losses[e * per_epoch : (e + 1) * per_epoch]) / per_epoch for e in range(job["epoch_count"])],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
