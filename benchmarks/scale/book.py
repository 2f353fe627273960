"""
What users and workers of a simulated department were told, and whether database and bucket agree with it.

The database itself writes what happened to each task (`world.py`), so that a write whose reply was lost counts too.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from benchmarks.scale.world import World
from tunery.service.library import Library
from tunery.types import Phase, TunedModel, TuningTask

FINAL = {str(phase) for phase in Phase if phase.is_final}


class Book:
    """Acknowledged writes; `wrong` has a sentence for each that the database does not have."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.models: dict[str, tuple[str, str]] = {}  # id: task, display name
        self.ends: dict[str, tuple[str, int | None]] = {}  # task: phase, and the claim that published
        self.in_doubt: set[str] = set()  # ids of models that somebody is deleting
        self.wrong: list[str] = []
        self.phases: Counter[str] = Counter()
        self._tasks: set[str] = set()  # of acknowledged models that were not deleted
        self._ended: set[str] = set()
        self._seen = 0  # number of the last event that was judged
        self._last: dict[str, tuple[str, int]] = {}  # task: phase, claim
        self._times: dict[str, dict[str, float]] = defaultdict(dict)
        self._claims: dict[str, list[float]] = defaultdict(list)

    def created(self, model: TunedModel) -> None:
        self.models[model.id] = model.task.id, model.display_name
        self._tasks.add(model.task.id)
        self.in_doubt.discard(model.id)

    def renamed(self, model_id: str, name: str) -> None:
        if model_id in self.models:
            self.models[model_id] = self.models[model_id][0], name

    def deleted(self, model_id: str) -> None:
        """Note that a model is gone; a new one may follow under its id."""
        task_id, _ = self.models.pop(model_id, ("", ""))
        self._tasks.discard(task_id)

    def ended(self, model: TunedModel, task: TuningTask) -> None:
        """Note the end that a worker was told."""
        if task.id in self.ends:
            self.wrong.append(f"{task.id} was ended twice")
        self.ends[task.id] = str(model.task.phase), None if model.artifact is None else task.claim_number

    def task_of(self, model_id: str) -> str | None:
        return self.models[model_id][0] if model_id in self.models else None

    def unended(self) -> set[str]:
        """Return the tasks that have not ended yet, by what the database noted."""
        self._read_events()
        return self._tasks - self._ended

    def judge_answer(self, model_id: str, answer: str) -> str:
        """Return what kind of answer it is: the text of an adapter, or why there is none."""
        task_id = self.task_of(model_id)
        end = self.ends.get(task_id or "")
        if answer in ("NotFound", "FailedPrecondition"):
            if end is not None and end[1] is not None and model_id not in self.in_doubt:
                self.wrong.append(
                    f"{model_id} has no adapter at {self._world.now:.0f} s ({answer}), though it was tuned"
                )
            return "questions for a model that is not tuned"
        if model_id in self.in_doubt:
            return "right answers"  # of the model that is being deleted
        if task_id != answer.partition(" ")[0] or (end is not None and f"{task_id} {end[1]}" != answer):
            self.wrong.append(f"{model_id} was answered by {answer}, not by {task_id}, {end}")
            return "answers of a wrong adapter"
        return "right answers"

    def judge(self, *, at_end: bool = False) -> None:
        """Compare the table with what was acknowledged."""
        self._read_events()
        rows = self._world.seen(
            "SELECT m.id, t.id, m.display_name, t.phase, t.artifact_epoch, t.create_time <= t.start_time,"
            " t.start_time <= t.complete_time, m.state FROM tuned_models m LEFT JOIN tuning_tasks t"
            " ON t.tuned_model_id = m.id"
        )
        table = {row[0]: row for row in rows}
        for model_id, (task_id, name) in self.models.items():
            row = table.get(model_id)
            if model_id in self.in_doubt:
                continue
            if row is None or row[1] != task_id or row[2] != name:
                self.wrong.append(f"{model_id} with task {task_id}, {name!r} is {row}")
            elif self.ends.get(task_id, (row[3], row[4])) != (row[3], row[4]):
                self.wrong.append(f"{model_id} ended {self.ends[task_id]} and is {row}")
            elif False in (row[5], row[6]):
                self.wrong.append(f"{model_id} has a negative duration: {row}")
        if at_end:
            self.phases = Counter(row[3] for row in rows)
            self.wrong += [f"{row[0]} never ended: {row}" for row in rows if row[3] not in FINAL]
            unknown = set(table) - set(self.models)
            self.wrong += [f"{model_id} was not asked for, or deleted" for model_id in sorted(unknown)]

    def judge_adapters(self, library: Library) -> None:
        """Fetch every adapter from the bucket and read whose it is."""
        for model_id in list(self.models):
            model = library.find(model_id)
            if model.artifact is not None:
                answer = (library.adapter_folder(model) / "adapter_config.json").read_text()
                if self.judge_answer(model_id, answer) != "right answers":
                    self.wrong.append(f"{model_id} has the adapter {answer}")

    def summary(self) -> dict[str, Any]:
        self._read_events()
        queued = [times["begun"] - times["created"] for times in self._times.values() if "begun" in times]
        takeovers: dict[str, list[float]] = defaultdict(list)
        for task_id, at, how in self._world.lost:
            following = [claim for claim in self._claims[task_id] if claim > at]
            ended = self._times[task_id].get("ended", 0.0)
            if following and not at < ended < min(following):
                takeovers[how].append(min(following) - at)
        return {
            "phases": dict(self.phases),
            "models acknowledged": len(self._tasks),
            "queue time, s": _spread(queued),
            "takeover, s": {how: _spread(times) for how, times in sorted(takeovers.items())},
            "wrong": len(self.wrong),
            "examples": self.wrong[:10],
        }

    def _read_events(self) -> None:
        events = self._world.seen(
            "SELECT number, task_id, operation, was, phase, was_claim, claim, was_steps, steps, at FROM"
            f" simulated_events WHERE number > {self._seen} ORDER BY number"
        )
        for number, task_id, operation, was, phase, was_claim, claim, was_steps, steps, at in events:
            self._seen = number
            if operation == "INSERT":
                self._times[task_id]["created"] = at / 1000
                continue
            what = f"{task_id} went from {was}, claim {was_claim}, step {was_steps} to {phase}, {claim}, {steps}"
            if was in FINAL:
                self.wrong.append(f"{what} after its end")
            if (claim != was_claim) != (was == "QUEUED" and phase == "PREPARING") or claim - was_claim not in (0, 1):
                self.wrong.append(f"{what}, which is no claim")
            if steps < was_steps:
                self.wrong.append(f"{what}, backwards")
            if claim != was_claim:
                self._times[task_id].setdefault("begun", at / 1000)
                self._claims[task_id].append(at / 1000)
            if phase in FINAL:
                self._ended.add(task_id)
                self._times[task_id]["ended"] = at / 1000


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    return {
        "number": len(ordered), "median": round(statistics.median(ordered), 1),
        "p95": round(ordered[max(0, round(0.95 * len(ordered)) - 1)], 1), "most": round(ordered[-1], 1),
    }  # fmt: skip
