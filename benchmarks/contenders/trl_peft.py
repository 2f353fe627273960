"""TRL + PEFT on a prepared job, set up as their documentation does: prints the same figures as `ours.py`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peak_memory import peak_bytes
from peft import PeftModel
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

WARM_STEPS = 2


class InOrder(SFTTrainer):
    """The rows are already in the order of the steps."""

    def _get_train_sampler(self, *_: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)


class Clock(TrainerCallback):
    """When each step ended, and its loss."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.losses: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.time())

    def on_log(self, _: Any, __: Any, ___: Any, logs: dict[str, float], **____: Any) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])


def main(job_file: str, dtype: str) -> None:
    job = json.loads(Path(job_file).read_text("utf-8"))
    base = AutoModelForCausalLM.from_pretrained(job["base_folder"], dtype=getattr(torch, dtype))
    model = PeftModel.from_pretrained(base, job["adapter"], is_trainable=True, autocast_adapter_dtype=True)
    rows = [
        {
            "input_ids": row["token_ids"],
            "completion_mask": [int(index >= row["answer_offset"]) for index in range(len(row["token_ids"]))],
        }
        for row in job["rows"]
    ]
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=job["batch_size"],
            learning_rate=job["learning_rate"],
            lr_scheduler_type=job["schedule"],
            max_grad_norm=job["clip_norm"],
            weight_decay=0.0,
            bf16=dtype == "bfloat16",
            use_cpu=True,
            gradient_checkpointing=False,
            max_length=None,
            completion_only_loss=True,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(job["base_folder"])
        trainer = InOrder(
            model=model,
            args=settings,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        trainer.train()
    tokens = sum(len(row["input_ids"]) for row in rows[WARM_STEPS * job["batch_size"] :])
    per_epoch = len(clock.losses) // job["epoch_count"]
    result = {
        "tokens_per_second": tokens / (clock.times[-1] - clock.times[WARM_STEPS - 1]),
        "seconds_to_first_step": clock.times[0] - float(os.environ["STARTED"]),
        "peak_bytes": peak_bytes(),
        "losses": [
            sum(clock.losses[e * per_epoch : (e + 1) * per_epoch]) / per_epoch for e in range(job["epoch_count"])
        ],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:3])
