"""
Whether advice below a loss curve holds: tune, do what the advice says, and compare on rows that nobody tuned on.

    python -m benchmarks.advice            the twenty sets below; goes on where it stopped
    python -m benchmarks.advice --table    print what was measured

Each set is tuned with the API's defaults and a third of its rows held out, three seeds. If the advice of seed 0 asks
for another run, that run follows with three seeds too; it may be at most one point worse. The served epoch needs no
run: it is in use already. Two runs with a ruinous learning rate must get no advice. Debian's package lists, which
`apt-get update` fetches, hold some of the rows; no row is kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

from benchmarks.quality_data import ROOT, load_task
from benchmarks.side_by_side import markdown
from tunery.types import Hyperparameters, TuningExample

RESULTS = ROOT / "benchmarks" / "results" / "advice.jsonl"
SEEDS = (0, 1, 2)
HELD_OUT_SHARE = 1 / 3
TEST_ROWS = 120
TOLERANCE = 0.01  # one point
RUINOUS_RATE = 0.3
MORE_EPOCHS = 2  # times as many, where the advice asks for more
OTHER_RATE = 3  # times as high or as low, where the advice asks for another rate

Rows = Sequence[TuningExample]
Change = Callable[[list[TuningExample], Random], list[TuningExample]]


@dataclass(frozen=True, slots=True)
class Case:
    """Rows to tune on: how many of which source, drawn with a seed of their own, and what was done to their outputs."""

    source: str
    rows: int
    draw: int = 0
    change: str = "as they are"
    learning_rate: float | None = None

    @property
    def name(self) -> str:
        rate = f", rate {self.learning_rate:g}" if self.learning_rate else ""
        return f"{self.source} {self.rows}, draw {self.draw}, {self.change}{rate}"


# written down before anything was measured
CASES = (
    Case("trec6", 24),
    Case("debian-section", 24),
    Case("sms", 24),
    Case("next-number", 24),
    Case("trec6", 24, change="a fifth of the labels wrong"),
    Case("debian-name", 24),
    Case("sms", 24, change="one label"),
    Case("tickets", 24),
    Case("debian-section", 24, change="labels at random"),
    Case("trec6", 48, 1),
    Case("sms", 48, 1),
    Case("next-number", 48, 1),
    Case("debian-section", 48, 1),
    Case("messages", 24),
    Case("sms", 48, 2, change="a fifth of the labels wrong"),
    Case("debian-name", 48, 1),
    Case("trec6", 24, 2),
    Case("messages", 48, 1),
    Case("debian-section", 24, 3, change="a fifth of the labels wrong"),
    Case("trec6", 96, 3),
)
RUINED = (Case("trec6", 24, learning_rate=RUINOUS_RATE), Case("next-number", 24, learning_rate=RUINOUS_RATE))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.advice", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    done = {result["name"]: result for result in read(given.out)}
    for case in () if given.table else (*RUINED, *CASES):
        if case.name not in done:
            done[case.name] = measured(case)
            with given.out.open("a") as file:
                file.write(json.dumps(done[case.name]) + "\n")
            sys.stderr.write(f"{json.dumps(done[case.name])}\n")
    sys.stdout.write(table(list(done.values())) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def measured(case: Case) -> dict[str, Any]:
    """Return the advice of the first run, and the mean scores of the first settings and of those it leads to."""
    train, test = rows_of(case)
    first = Hyperparameters(learning_rate=case.learning_rate).resolve()
    score, advice = run(train, test, first, SEEDS[0])
    next_settings = None if advice is None else follow_up(advice["kind"], first)
    found = {"name": case.name, "rows": len(train), "test_rows": len(test), "advice": advice, "first": [score]}
    if next_settings is None:
        return found
    found["first"] += [run(train, test, first, seed)[0] for seed in SEEDS[1:]]
    settings = {"epoch_count": next_settings.epoch_count, "learning_rate": next_settings.learning_rate}
    return found | {"settings": settings, "next": [run(train, test, next_settings, seed)[0] for seed in SEEDS]}


def follow_up(kind: str, settings: Hyperparameters) -> Hyperparameters | None:
    """Return the settings of the run that advice asks for; None if it asks for none."""
    rate = settings.learning_rate or 0.0
    match kind:
        case "falling":
            return replace(settings, epoch_count=settings.epoch_count * MORE_EPOCHS)
        case "unlearned":
            return replace(settings, learning_rate=rate * OTHER_RATE)
        case "rose":
            return replace(settings, learning_rate=rate / OTHER_RATE)
    return None


def run(train: Rows, test: Rows, settings: Hyperparameters, seed: int) -> tuple[float, dict[str, Any] | None]:
    """Return the score of the served epoch on the test rows, and the advice; a ruined run has score 0 and no advice."""
    from tunery import config
    from tunery.curve import advise
    from tunery.data.dataset import hold_out
    from tunery.engine.resident import resident_base
    from tunery.errors import TuningRuined, TuningUnstable
    from tunery.model import Model
    from tunery.types import DEFAULT_BASE_MODEL

    resident = resident_base(DEFAULT_BASE_MODEL, config.data_folder())
    used, held_out = hold_out(train, round(HELD_OUT_SHARE * len(train)), seed)
    try:
        with tempfile.TemporaryDirectory() as folder:
            tuner = resident.tuner(used, settings, folder=Path(folder), held_out=held_out, seed=seed)
            for _ in tuner.run():
                pass
            tuner.require_health()
            model = Model(resident, tuner.chosen_adapter())
    except (TuningRuined, TuningUnstable):
        return 0.0, None
    finally:
        resident.remove(0)
    advice = advise(tuner.epoch_losses, healthy_epoch=tuner.healthy_epoch)
    told = None if advice is None else {"kind": advice.kind, "text": advice.text, "served_epoch": tuner.best_epoch}
    return score_of(model, train, test), told


def score_of(model: Any, train: Rows, test: Rows) -> float:
    """Return the mean score of the answers, 0 to 1, by the measure that the outputs call for."""
    from tunery.evaluation.contest import output_limit
    from tunery.evaluation.scores import Scoring, row_scores

    scoring = Scoring.of([row.output for row in (*train, *test)])
    answers = model.generate([row.text_input for row in test], max_output_tokens=output_limit(train))
    return mean(row_scores(scoring.kind, [row.output for row in test], [scoring.read(answer) for answer in answers]))


def is_kept(result: dict[str, Any]) -> bool:
    """Return whether the run that the advice asked for, if any, was at most one point worse."""
    return "next" not in result or mean(result["next"]) >= mean(result["first"]) - TOLERANCE


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return a line for each set, and how many keep the promise."""
    ruined = {case.name for case in RUINED}
    sets = [result for result in results if result["name"] not in ruined]
    silent = sum(result["advice"] is None for result in results if result["name"] in ruined)
    rows = [
        (
            result["name"],
            result["advice"]["kind"] if result["advice"] else "none",
            f"{mean(result['first']):.3f}" if "next" in result else "",
            f"{mean(result['next']):.3f}" if "next" in result else "",
            "yes" if is_kept(result) else "no",
        )
        for result in sets
    ]
    lines = markdown(("rows", "advice", "as advised by", "after taking it", "holds"), rows)
    return (
        f"{lines}\n\nAdvice holds on {sum(map(is_kept, sets))} of {len(sets)} sets;"
        f" {silent} of {len(ruined)} ruined runs get none."
    )


def rows_of(case: Case) -> tuple[Rows, Rows]:
    """Return the rows of a set, and rows that it has none of."""
    random = Random(f"{case.source} {case.draw}")
    pool, test = (list(rows) for rows in SOURCES[case.source]())
    random.shuffle(pool)
    Random(0).shuffle(test)
    return CHANGES[case.change](pool[: case.rows], random), test[:TEST_ROWS]


def _wrong(rows: list[TuningExample], random: Random, share: float = 0.2) -> list[TuningExample]:
    labels = sorted({row.output for row in rows})
    chosen = set(random.sample(range(len(rows)), round(share * len(rows))))
    others = [
        replace(row, output=random.choice([one for one in labels if one != row.output] or labels)) for row in rows
    ]
    return [others[place] if place in chosen else row for place, row in enumerate(rows)]


def _one_label(rows: list[TuningExample], _random: Random) -> list[TuningExample]:
    most = Counter(row.output for row in rows).most_common(1)[0][0]
    return [replace(row, output=most) for row in rows]


CHANGES: dict[str, Change] = {
    "as they are": lambda rows, _random: rows,
    "a fifth of the labels wrong": _wrong,
    "labels at random": lambda rows, random: _wrong(rows, random, 1.0),
    "one label": _one_label,
}

SECTIONS = ("games", "math", "net", "sound", "graphics", "science", "python", "editors")


def _bare(name: str) -> tuple[Rows, Rows]:
    """Return the rows of a task without the instructions, which make them long."""
    task = load_task(name)
    return tuple(
        [replace(row, text_input=task.body(row.text_input)) for row in rows] for rows in (task.pool, task.test)
    )  # type: ignore[return-value]


def _messages() -> tuple[Rows, Rows]:
    from tunery.data.dataset import Dataset

    examples = ROOT / "examples"
    return tuple(Dataset.read(examples / f"{name}.csv").examples for name in ("messages", "messages-held-out"))  # type: ignore[return-value]


def _split(rows: Sequence[TuningExample]) -> tuple[Rows, Rows]:
    order = list(rows)
    Random(2024).shuffle(order)
    return order[TEST_ROWS:], order[:TEST_ROWS]


def _sections() -> tuple[Rows, Rows]:
    """What a package is for, from its synopsis: as many rows of each section."""
    found: dict[str, list[TuningExample]] = {section: [] for section in SECTIONS}
    for package in packages():
        if package["Section"] in found:
            found[package["Section"]].append(TuningExample(package["Description"], package["Section"]))
    fewest = min(map(len, found.values()))
    return _split([row for rows in found.values() for row in rows[:fewest]])


def _names() -> tuple[Rows, Rows]:
    """The name of a program, from its synopsis."""
    return _split([TuningExample(p["Description"], p["Package"]) for p in packages() if p["Section"] == "games"])


SOURCES: dict[str, Callable[[], tuple[Rows, Rows]]] = {
    "trec6": lambda: _bare("trec6"),
    "sms": lambda: _bare("sms"),
    "next-number": lambda: _bare("next-number"),
    "tickets": lambda: _bare("tickets"),
    "messages": _messages,
    "debian-section": _sections,
    "debian-name": _names,
}


@cache
def packages() -> list[dict[str, str]]:
    """Return Debian's packages with name, section and synopsis, one of each source package and synopsis."""
    found: dict[str, dict[str, str]] = {}
    for package in _paragraphs(subprocess.check_output(["apt-cache", "dumpavail"], text=True)):
        if {"Package", "Section", "Description"} <= package.keys():
            source = package.get("Source", package["Package"]).partition(" ")[0]
            found.setdefault(source, package)
    return sorted({package["Description"]: package for package in found.values()}.values(), key=lambda p: p["Package"])


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    for block in text.split("\n\n"):
        pairs = (line.partition(": ") for line in block.splitlines() if not line.startswith(" "))
        yield {name: value for name, _, value in pairs}


if __name__ == "__main__":
    main()
