"""
Runs commands of tunery in children of a process that has loaded torch: real processes without seconds of loading.

Reads jobs as lines of JSON from standard input: {"run": [arguments], "output": file, "errors": file, "home": folder} is
answered with the child's process id, {"wait": id} with its exit status (negative: the signal that ended it). Nothing is
computed here: a process that has used OpenMP threads must not fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401

from tunery.cli.main import main
from tunery.engine import base, tuner


def serve() -> None:
    """Do jobs until standard input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            _, status = os.waitpid(job["wait"], 0)
            reply = os.waitstatus_to_exitcode(status)
        else:
            reply = os.fork()
            if reply == 0:
                _become(job)
        sys.stdout.write(f"{reply}\n")
        sys.stdout.flush()


def _become(job: dict[str, Any]) -> None:
    """Be the command of a job, to the end."""
    streams = ((os.devnull, os.O_RDONLY), (job["output"], _NEW), (job["errors"], _NEW))
    for descriptor, (path, flags) in enumerate(streams):
        os.dup2(os.open(path, flags, 0o600), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["TUNERY_HOME"] = job["home"]
    base.fast_dtype = lambda: torch.float32  # on a busy machine two probes may choose different number formats
    tuner.CHECKPOINT_SECONDS = tuner.EPOCH_CHECKPOINT_SECONDS = 0.1  # these jobs last a second or two
    status = 1
    try:
        main(job["run"])
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


if __name__ == "__main__":
    serve()
