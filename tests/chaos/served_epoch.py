"""
Random tuning runs, after each of which everything that names the served epoch must name the same one.

    python -m tests.chaos.served_epoch --runs 200    # a minute or two; one JSON line

Real tuning of a tiny base: with held-out rows or without, cancelled, left and resumed, ended as a kill leaves it and
resumed, with another epoch chosen afterwards. The rule is computed here on its own from the stored losses.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

from tests.chaos.template import in_a_new_home
from tests.server.api import OWNER, Api
from tunery.card import markdown
from tunery.cli import output
from tunery.curve import JSON_FILE, SVG_FILE
from tunery.engine import tuner
from tunery.engine.adapter import WEIGHTS
from tunery.engine.catalog import Catalog
from tunery.service.folder import epoch_folder, kept_epochs
from tunery.service.library import Fenced, Library
from tunery.service.task import TaskWorker
from tunery.service.tuning import Ended, StepDone, TuningRequest
from tunery.types import DataFacts, Hyperparameters, State, TunedModel, TuningExample

BASE = "tiny"
ENDS = ("whole", "cancelled", "left", "killed", "left and cancelled", "killed and cancelled")


@dataclass(frozen=True, slots=True)
class Run:
    """One random run: what is tuned, at which steps its lives end, and which kept epoch is put to use afterwards."""

    request: TuningRequest
    end: str
    stops: tuple[int, ...]  # the step at which each life but the last whole one ends
    checkpoint_seconds: float
    chosen: float | None  # of the kept epochs, as a share

    @classmethod
    def draw(cls, number: int, digest: str) -> Run:
        random = Random(number)
        rows = [TuningExample(str(n), str(n + random.choice((0, 1, 5)))) for n in range(random.randint(3, 9))]
        held_out = [TuningExample(str(n), str(n + 1)) for n in range(50, 50 + random.choice((0, 0, 1, 3)))]
        request = TuningRequest(
            base_model=BASE,
            base_digest=digest,
            data=DataFacts(len(rows) + len(held_out), "digest", "numbers.csv"),
            examples=rows,
            hyperparameters=Hyperparameters(
                random.choice((1, 2, 3, 5, 14, 25)), random.choice((1, 2, 4, 16)), random.choice((0.001, 0.01, 0.05))
            ),
            id=f"run-{number}",
            held_out=held_out,
            seed=random.randrange(100),
            user_id=OWNER,
        )
        stops = tuple(random.randint(1, request.total_steps) for _ in range(2))
        return cls(request, random.choice(ENDS), stops, random.choice((0.0, 10.0)), random.choice((None, None, 0.5)))


def disagreements(home: Path, runs: int) -> list[tuple[str, dict[str, object]]]:
    """Do the runs in a data folder with the base `tiny`; return the kind of each, and what names another epoch."""
    digest = Catalog(home).digest(BASE)
    drawn = [Run.draw(number, digest) for number in range(runs)]
    for run in drawn:
        with _checkpoints_each(run.checkpoint_seconds):
            _live(home, run)
    with Library.own(home) as library:
        api = Api(library)
        return [_judged(api, run) for run in drawn]


def rule(model: TunedModel, examples: int) -> int | None:
    """Return the epoch to serve: of the lowest held-out loss, or else the last, unless tuning stopped between two."""
    losses = model.task.epoch_losses
    measured = [loss for loss in losses if loss.held_out_loss is not None]
    if measured:
        lowest = min(loss.held_out_loss or 0.0 for loss in measured)
        return next(loss.epoch for loss in measured if loss.held_out_loss == lowest)
    settings, step = model.task.hyperparameters, model.task.completed_steps
    if step == model.task.total_steps:
        return settings.epoch_count
    passes = step * settings.batch_size // examples
    return passes if passes > (step - 1) * settings.batch_size // examples else None


def said(api: Api, model: TunedModel) -> dict[str, object]:
    """Return what each place says about the served epoch, None where it names none."""
    table, artifact = io.StringIO(), api.library.adapter_folder(model)
    output.print_curve(model, table)
    served = re.search(r"^ *(\d+) .*served$", table.getvalue(), re.MULTILINE)
    reply = api.web.get(f"/v1beta/{model.name}").json()
    named = api.web.get("/v1beta/tunedModels", params={"filter": model.display_name, "pageSize": 1000}).json()
    listed = next(one for one in named["tunedModels"] if one["name"] == model.name)
    card = api.web.get(f"/v1beta/{model.name}:card").json()
    page = re.search(r"Epoch (\d+) is in use", markdown(card))
    return {
        "library": model.served_epoch,
        "command, --json": output.model_document(model)["served_epoch"],
        "table": int(served[1]) if served else None,
        "API": reply.get("servedEpoch"),
        "API, list": listed.get("servedEpoch"),
        "card": card["curve"]["served_epoch"],
        "page of the card": int(page[1]) if page else None,
        "Studio's chart": reply.get("servedEpoch", reply["tuningTask"]["curve"].get("bestEpoch")),  # LossChart.tsx
        "answering adapter": _epoch_of(artifact, model),
    }


def best_said(api: Api, model: TunedModel) -> dict[str, object]:
    """Return which epoch each place calls best, None where it calls none so."""
    folder = api.library.adapter_folder(model)
    reply = api.web.get(f"/v1beta/{model.name}").json()["tuningTask"]
    stored = json.loads((folder / JSON_FILE).read_text())["epochs"]
    assert [loss["epoch"] for loss in stored] == [loss.epoch for loss in model.task.epoch_losses]
    return {
        "API's curve": reply["curve"].get("bestEpoch"),
        "chart": _marked(folder / SVG_FILE),
        "settings": model.task.settings["best_epoch"] if model.task.held_out_rows else None,
    }


def _live(home: Path, run: Run) -> None:
    """Tune until the run has ended, in one life or several; each owns the library anew."""
    first, _, then = run.end.partition(" and ")
    with Library.own(home) as library:
        model = library.create(run.request)
        if _life(library, model, first, run.stops[0]):
            return
    with Library.own(home) as library:
        assert _life(library, library.get(model.id), then or "whole", run.stops[1])


def _life(library: Library, model: TunedModel, end: str, stop: int) -> bool:
    """Work on the task; return whether it ended."""
    worker = TaskWorker.claim(library, model)
    with suppress(_Killed), closing(worker.events()) as events:
        for event in events:
            if isinstance(event, Ended):
                return True
            if not isinstance(event, StepDone) or event.snapshot.step < stop:
                continue
            if end == "cancelled":
                worker.cancel()
            elif end == "left":
                break
            elif end == "killed":
                worker._call = _fenced
                events.throw(_Killed())
    return False


class _Killed(BaseException):
    """Ends a worker in the middle of its work; its row stays RUNNING and its last checkpoint as it is."""


def _fenced(_call: object) -> Any:
    raise Fenced("A killed worker writes no rows.")


def _judged(api: Api, run: Run) -> tuple[str, dict[str, object]]:
    model = api.library.get(run.request.id or "")
    assert model.state is State.ACTIVE, model.task
    expected = rule(model, len(run.request.examples))
    best = expected if model.task.held_out_rows else None
    wrong = {f"best: {place}": epoch for place, epoch in best_said(api, model).items() if epoch != best}
    kept = kept_epochs(api.library.adapter_folder(model))
    kind = run.end + (", held out" if model.task.held_out_rows else "")
    if run.chosen is not None and kept:
        expected, kind = kept[int(run.chosen * len(kept))], f"{kind}, other epoch chosen"
        model = api.library.update(model.id, chosen_epoch=expected)
    return kind, wrong | {place: epoch for place, epoch in said(api, model).items() if epoch != expected}


def _epoch_of(artifact: Path, model: TunedModel) -> int | None:
    """Return the kept epoch whose weights a call is answered with; None if they are of no kept epoch."""
    weights = (epoch_folder(artifact, model.chosen_epoch) / WEIGHTS).read_bytes()
    same = [
        epoch for epoch in kept_epochs(artifact) if (epoch_folder(artifact, epoch) / WEIGHTS).read_bytes() == weights
    ]
    return model.served_epoch if model.served_epoch in same else next(iter(same), None)


def _marked(picture: Path) -> int | None:
    """Return the epoch at whose place the picture has its mark."""
    root = ElementTree.parse(picture).getroot()
    places = [dot.get("cx") for dot in root.iterfind(".//{*}circle")]
    mark = root.find(".//{*}line[@class='mark']")
    return None if mark is None else places.index(mark.get("x1")) + 1


@contextmanager
def _checkpoints_each(seconds: float) -> Iterator[None]:
    before = tuner.CHECKPOINT_SECONDS, tuner.EPOCH_CHECKPOINT_SECONDS
    tuner.CHECKPOINT_SECONDS = tuner.EPOCH_CHECKPOINT_SECONDS = seconds
    try:
        yield
    finally:
        tuner.CHECKPOINT_SECONDS, tuner.EPOCH_CHECKPOINT_SECONDS = before


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.served_epoch", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    with in_a_new_home() as home:
        found = disagreements(home, parser.parse_args().runs)
    wrong = [(number, kind, told) for number, (kind, told) in enumerate(found) if told]
    print(json.dumps({"runs": len(found), "kinds": Counter(kind for kind, _ in found), "disagree": wrong}))  # noqa: T201


if __name__ == "__main__":
    main()
