"""
Flipped bits: one bit of a data folder flips, as on a failing disk, and a task is resumed or a model answers.

    python -m tests.chaos.bit_flips --flips 200    # a few minutes; one JSON line

Each file keeps its time. A run must end with the bytes of an undisturbed one, or with an error that tunery raises on
purpose; the first are "same", the second "refused". Anything else is counted as fallen and described.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tests.engine.tiny_bases import make_gguf
from tunery.cli.workplace import Here
from tunery.engine.catalog import Catalog
from tunery.engine.pull import pull
from tunery.engine.resident import resident_base
from tunery.errors import TuneryError
from tunery.service.library import Library
from tunery.service.task import TaskWorker
from tunery.service.tuning import StepDone, TuningRequest
from tunery.types import DataFacts, Hyperparameters, TunedModel, TuningExample

BASE, ANSWERING, WAITING = "tiny", "answering", "waiting"
QUESTIONS = ("7", "11", "x")
EXAMPLES = tuple(TuningExample(str(number), str(number + 1)) for number in range(12))
CLOSED, KILLED = "database", "database of a killed owner"  # after a kill its digest is not known


def make_template(folder: Path) -> Path:
    """Return a data folder with a base, a tuned model that answers, and a task left after 7 of its 9 steps."""
    home = folder / "home"
    Catalog(home).add(str(make_gguf(folder / "tiny.gguf", scale=0.3)), BASE)
    pull(BASE, home)
    (folder / "tiny.gguf").unlink()
    request = TuningRequest(
        base_model=BASE,
        base_digest=Catalog(home).digest(BASE),
        data=DataFacts(12, "digest", "numbers.csv"),
        examples=EXAMPLES,
        held_out=(TuningExample("40", "x"), TuningExample("41", "y")),
        hyperparameters=Hyperparameters(epoch_count=3).resolve(),
        id=ANSWERING,
        temperature=1.0,
    )
    with Library.own(home) as library:
        list(TaskWorker.claim(library, library.create(request)).events())
        worker = TaskWorker.claim(library, library.create(replace(request, id=WAITING)))
        with closing(worker.events()) as events:
            next(event for event in events if isinstance(event, StepDone) and event.snapshot.step == 7)
    return home


def answered(home: Path) -> str:
    """Return what the tuned model answers with its own sampling settings, as the command line loads it."""
    os.environ["TUNERY_HOME"] = str(home)
    with Library.open(home) as library:
        model = library.get(ANSWERING)
    loaded = Here().model(ANSWERING)
    settings = {"temperature": model.temperature, "top_p": model.top_p, "top_k": model.top_k}
    answers = [loaded.generate(question, seed=1, max_output_tokens=12, **settings) for question in QUESTIONS]
    return hashlib.sha256(json.dumps([answers, _weights(home, model)]).encode()).hexdigest()


def resumed(home: Path) -> str:
    """Return the digest of everything that the waiting task publishes."""
    with Library.own(home) as library:
        list(TaskWorker.claim(library, library.get(WAITING)).events())
        return _weights(home, library.get(WAITING))


def _weights(home: Path, model: TunedModel) -> str:
    files = sorted((home / str(model.artifact)).rglob("adapter_*"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


Work = Callable[[Path], str]
KINDS: dict[str, tuple[str, tuple[Work, ...]]] = {  # which files, and who reads them
    "checkpoints": ("checkpoints/*/checkpoint.safetensors", (resumed,)),
    "epoch folders": ("checkpoints/*/epochs/*/*", (resumed,)),
    "adapters": ("models/*/1/**/adapter_*", (answered,)),
    "manifests": ("*/**/manifest.json", (resumed, answered)),
    "base": ("bases/*/*.*", (resumed, answered)),
    CLOSED: ("tunery.sqlite3", (resumed, answered)),
    KILLED: ("tunery.sqlite3", (resumed, answered)),
}


def flip(home: Path, kind: str, order: random.Random) -> str:
    """Flip a bit of a random file of a kind, and say which."""
    if kind == KILLED:
        (home / "tunery.sqlite3.sha256").unlink()
    found = sorted(path for path in home.glob(KINDS[kind][0]) if path.is_file() and path.stat().st_size)
    path = order.choice(found)
    place, bit = order.randrange(path.stat().st_size), order.randrange(8)
    content, status = bytearray(path.read_bytes()), path.stat()
    content[place] ^= 1 << bit
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return f"{path.relative_to(home)} byte {place} bit {bit}"


def flips(template: Path, number: int, seed: int = 0) -> Iterator[tuple[str, str, str]]:
    """Yield for each flip its kind, how a work ended after it ("same", "refused" or what fell), and where it was."""
    order = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        flipped, tried = Path(folder) / "flipped", Path(folder) / "tried"
        wanted = {work: _ended(work, template, tried) for work in (resumed, answered)}
        for trial in range(number):
            kind = list(KINDS)[trial % len(KINDS)]
            shutil.copytree(template, flipped)
            where = flip(flipped, kind, order)
            for work in KINDS[kind][1]:
                ended = _ended(work, flipped, tried)
                yield kind, "same" if ended == wanted[work] else ended, f"{work.__name__}, {where}"
            shutil.rmtree(flipped)


def _ended(work: Work, home: Path, tried: Path) -> str:
    """Return what a work on a copy of a data folder gives, "refused" for an error raised on purpose."""
    resident_base.cache_clear()
    shutil.copytree(home, tried)
    try:
        return work(tried)
    except TuneryError as error:
        return "refused" if type(error) is not TuneryError else f"not foreseen: {error}"
    except Exception as error:  # noqa: BLE001  # what is counted
        return f"not foreseen: {error!r}"
    finally:
        shutil.rmtree(tried)


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    fallen = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, ended, where in flips(make_template(Path(folder)), asked.flips, asked.seed):
            is_fine = ended in ("same", "refused")
            counts[kind][ended if is_fine else "fallen"] += 1
            if not is_fine:
                fallen.append(f"{where}: {ended}")
    print(json.dumps(counts | {"what fell": fallen}))  # noqa: T201


if __name__ == "__main__":
    main()
