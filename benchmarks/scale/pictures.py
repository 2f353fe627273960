"""
Two curves of a department: how long tasks wait at a load, and answers a second from a number of adapters in use.

    python -m benchmarks.scale pictures           # measures both, draws docs/scale-queue.svg and -adapters.svg
    python -m benchmarks.scale pictures --draw    # draws the last results again

Waiting is simulated (`department.py`, without faults or questions). Answers are counted by the clock: reading the row,
fetching and checking the adapter where it is not in memory; computing the answer itself is left out.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.scale.department import Department, Size, lived
from benchmarks.scale.world import World
from benchmarks.side_by_side import HERE, RESULTS
from tests.postgres import serving_postgres

FILE = RESULTS / "scale.json"
DOCS = HERE.parent / "docs"
LOADS = (0.4, 0.6, 0.8, 0.9, 1.0, 1.1)  # of what the workers can do
QUEUE = Size(hours=0.4, workers=16, rows=4, minutes=2.0, adapters=0, answers=0, faults=0, look_seconds=5)
WORKING_SETS = (16, 32, 64, 128, 256, 512)
ADAPTERS = Size(adapters=512, resident=64, on_disk=200, faults=0)
SECONDS = 4.0  # for each working set

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 360, 64, 24, 48, 52
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#1f2328}.tick{fill:#57606a}.grid{stroke:#d0d7de}
.line{fill:none;stroke-width:1.5}.s0{stroke:#0b57d0}.s1{stroke:#b3261e}.d0{fill:#0b57d0}.d1{fill:#b3261e}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.tick{fill:#9198a1}.grid{stroke:#3d444d}
.s0{stroke:#8ab4f8}.s1{stroke:#f28b82}.d0{fill:#8ab4f8}.d1{fill:#f28b82}}
"""

Curve = list[tuple[float, float]]


def pictures(arguments: Sequence[str] = ()) -> None:
    """Measure and draw both curves."""
    logging.getLogger("tunery").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale pictures")
    parser.add_argument("--draw", action="store_true", help="measure nothing (default: no)")
    if not parser.parse_args(arguments).draw:
        FILE.write_text(json.dumps({"queue": queue_times(), "answers": answer_rates()}, indent=1) + "\n")
    found = json.loads(FILE.read_text())
    queue = found["queue"]
    title = f"Waiting for one of {QUEUE.workers} workers, tasks of {QUEUE.minutes:g} minutes on average"
    drawn = svg(title, "load, as a share of what the workers can do", "seconds until a task begins", queue)
    (DOCS / "scale-queue.svg").write_text(drawn)
    title = f"One server, {ADAPTERS.resident} adapters in memory and {ADAPTERS.on_disk} on disk, one thread"
    drawn = svg(title, "adapters in use, evenly", "answers a second, without computing them", found["answers"])
    (DOCS / "scale-adapters.svg").write_text(drawn)


def queue_times() -> dict[str, Curve]:
    """Return median and p95 of the seconds until a task begins, by load."""
    curves: dict[str, Curve] = {"median": [], "p95": []}
    for load in LOADS:
        tasks = load * QUEUE.workers * 60 / QUEUE.minutes
        size = Size(**{name: getattr(QUEUE, name) for name in QUEUE.__slots__} | {"tasks": tasks})
        found = lived(size)
        assert not found["wrong"], found["examples"]
        for name, curve in curves.items():
            curve.append((load, found["queue time, s"][name]))
        print(f"load {load}: {found['queue time, s']}", flush=True)
    return curves


def answer_rates() -> dict[str, Curve]:
    """Return answers a second by the number of adapters in use."""
    curve: Curve = []
    chance = random.Random(0)
    with serving_postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        world = World(postgres, Path(folder), 0, cache_bytes=ADAPTERS.on_disk * 4096)
        place = Department(world, ADAPTERS)
        place.fill()
        server = place.servers[1]
        for number in WORKING_SETS:
            answers: dict[str, str] = {}
            for model_id in place.active[:number]:
                place.answer([model_id], answers, server)
            begun, count = time.perf_counter(), 0
            while time.perf_counter() - begun < SECONDS:
                place.answer([place.active[chance.randrange(number)]], answers, server)
                count += 1
            curve.append((number, round(count / (time.perf_counter() - begun), 1)))
            print(f"{number} adapters in use: {curve[-1][1]} answers a second", flush=True)
        world.close()
    return {"one at a time": curve}


def svg(title: str, across: str, up: str, curves: dict[str, Curve]) -> str:
    """Return a picture of curves; the axes begin at the least value across and at 0."""
    places = [place for curve in curves.values() for place in curve]
    left, right = min(x for x, _ in places), max(x for x, _ in places)
    high = max(y for _, y in places) * 1.1 or 1.0

    def x(value: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - left) / (right - left), 1)

    def y(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / high, 1)

    parts = []
    for n in range(5):
        value = high * n / 4
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y(value)}" x2="{_WIDTH - _RIGHT}" y2="{y(value)}"/>')
        parts.append(_text("tick", _LEFT - 8, y(value) + 4, f"{value:.0f}", "end"))
    for value in sorted({x for x, _ in places}):
        parts.append(_text("tick", x(value), _HEIGHT - _BOTTOM + 18, f"{value:g}", "middle"))
    parts.append(_text("tick", (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, across, "middle"))
    parts.append(_text("tick", _LEFT, _TOP - 8, up, "start"))
    for number, (name, curve) in enumerate(curves.items()):
        line = " ".join(f"{x(a)},{y(b)}" for a, b in curve)
        parts.append(f'<polyline class="line s{number}" points="{line}"/>')
        parts += [f'<circle class="d{number}" cx="{x(a)}" cy="{y(b)}" r="3"/>' for a, b in curve]
        parts.append(_text("", x(curve[-1][0]) - 6, y(curve[-1][1]) - 8, name, "end"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n"
        + _text("", _LEFT, 20, title, "start")
        + "\n".join(["", *parts, "</svg>", ""])
    )


def _text(kind: str, x: float, y: float, text: str, anchor: str) -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'
