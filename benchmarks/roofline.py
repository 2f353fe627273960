"""
The roof of this machine and where our products stand under it, as a picture.

    python -m benchmarks.roofline           adds a line to results/roofline.jsonl, draws docs/performance-roofline.svg
    python -m benchmarks.roofline --draw    draws the last line again

Across: operations for each byte that a product must move (both inputs and the output once). Up: operations per second.
The roof is the lower of what memory delivers and of the best rate that any product reached, both on all threads.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks import side_by_side
from tunery.engine.base import fast_dtype

RESULTS = side_by_side.RESULTS / "roofline.jsonl"
PICTURE = side_by_side.HERE.parent / "docs" / "performance-roofline.svg"
# rows; columns in and out. The default base: its gate, its down projection, a low-rank half, its head
SHAPES = {
    "gate": (576, 1536),
    "down": (1536, 576),
    "rank 16": (576, 16),
    "head": (576, 49152),
}
ROWS = (1, 4, 8, 16, 64, 128, 256, 512, 1024)
LARGE = (1024, 4096, 4096)

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 420, 64, 24, 48, 52
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#1f2328}.tick{fill:#57606a}.grid{stroke:#d0d7de}
.roof{fill:none;stroke:#1f2328;stroke-width:2}.line{fill:none;stroke-width:1.5}.s0{stroke:#0b57d0}.s1{stroke:#188038}
.s2{stroke:#b3261e}.s3{stroke:#8430ce}.d0{fill:#0b57d0}.d1{fill:#188038}.d2{fill:#b3261e}.d3{fill:#8430ce}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.tick{fill:#9198a1}.grid{stroke:#3d444d}.roof{stroke:#e6edf3}
.s0{stroke:#8ab4f8}.s1{stroke:#81c995}.s2{stroke:#f28b82}.s3{stroke:#d7aefb}
.d0{fill:#8ab4f8}.d1{fill:#81c995}.d2{fill:#f28b82}.d3{fill:#d7aefb}}
"""


@dataclass(frozen=True, slots=True)
class Roof:
    """Bytes and operations per second, and `points`: name of a product → rows, intensity, operations per second."""

    bytes_per_second: float
    operations_per_second: float
    points: dict[str, list[tuple[int, float, float]]]


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    if not given.draw:
        side_by_side.append(given.out, [{"threads": torch.get_num_threads(), **asdict(measured())}])
    values = json.loads(given.out.read_text("utf-8").splitlines()[-1])
    roof = Roof(values["bytes_per_second"], values["operations_per_second"], values["points"])
    given.picture.write_text(svg(roof), "utf-8")
    print(table(roof))


def measured() -> Roof:
    """Measure memory and products in the number format that tuning uses here."""
    dtype = fast_dtype()
    points = {name: [_point(rows, *shape, dtype) for rows in ROWS] for name, shape in SHAPES.items()}
    best = max([rate for curve in points.values() for _, _, rate in curve] + [_point(*LARGE, dtype)[2]])
    return Roof(_memory_rate(), best, points)


def table(roof: Roof) -> str:
    """Return the rates in GFLOP/s, a line for each product."""
    rows = [(name, *(f"{rate / 1e9:.0f}" for _, _, rate in curve)) for name, curve in roof.points.items()]
    limits = f"Memory {roof.bytes_per_second / 1e9:.0f} GB/s, products {roof.operations_per_second / 1e9:.0f} GFLOP/s."
    return side_by_side.markdown(("GFLOP/s at rows", *map(str, ROWS)), rows) + "\n\n" + limits


def svg(roof: Roof) -> str:
    """Return the picture, both axes logarithmic."""
    plane = _Plane.of(roof)
    ridge = roof.operations_per_second / roof.bytes_per_second
    corners = [(plane.left, plane.left * roof.bytes_per_second), (ridge, roof.operations_per_second)]
    corners.append((plane.right, roof.operations_per_second))
    parts = [*_axes(plane), f'<polyline class="roof" points="{plane.points(corners)}"/>']
    for number, (name, curve) in enumerate(roof.points.items()):
        places = [(intensity, rate) for _, intensity, rate in curve]
        parts.append(f'<polyline class="line s{number}" points="{plane.points(places)}"/>')
        parts += [f'<circle class="d{number}" cx="{plane.x(x)}" cy="{plane.y(y)}" r="3"/>' for x, y in places]
        parts.append(_text("", plane.x(places[-1][0]) + 6, plane.y(places[-1][1]) + 14, name, "end"))
    title = "Rates of matrix products under the roof of the machine"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n"
        + _text("", _LEFT, 20, f"{title}: {ROWS[0]} to {ROWS[-1]} rows from left to right", "start")
        + "\n".join(["", *parts, "</svg>", ""])
    )


@dataclass(frozen=True, slots=True)
class _Plane:
    left: float
    right: float
    low: float
    high: float

    @classmethod
    def of(cls, roof: Roof) -> _Plane:
        places = [(x, y) for curve in roof.points.values() for _, x, y in curve]
        low = min(y for _, y in places) / 1.5
        return cls(
            min(x for x, _ in places) / 1.5, max(x for x, _ in places) * 1.5, low, roof.operations_per_second * 1.5
        )

    def x(self, value: float) -> float:
        share = math.log(value / self.left) / math.log(self.right / self.left)
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * share, 1)

    def y(self, value: float) -> float:
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share, 1)

    def points(self, places: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in places)


def _axes(plane: _Plane) -> list[str]:
    parts = []
    for value in _powers(plane.low, plane.high):
        y = plane.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>')
        parts.append(_text("tick", _LEFT - 8, y + 4, f"{value / 1e9:g}", "end"))
    for value in _powers(plane.left, plane.right):
        x = plane.x(value)
        parts.append(f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{_HEIGHT - _BOTTOM}"/>')
        parts.append(_text("tick", x, _HEIGHT - _BOTTOM + 18, f"{value:g}", "middle"))
    parts.append(_text("tick", (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, "operations per byte", "middle"))
    parts.append(_text("tick", _LEFT, _TOP - 8, "GFLOP/s", "end"))
    return parts


def _powers(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def _text(kind: str, x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _point(rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> tuple[int, float, float]:
    """Return rows, operations per byte and operations per second of a product in its fastest form."""
    x, weight = torch.randn(rows, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
    forms: list[Callable[[], object]] = [lambda: torch.mm(x, weight.t())]
    if dtype == torch.bfloat16:  # in oneDNN's own order
        copy = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
        forms.append(lambda: torch.ops.mkldnn._linear_pointwise.default(x, copy, None, "none", [], ""))
    operations = 2 * rows * inputs * outputs
    moved = dtype.itemsize * (rows * inputs + inputs * outputs + rows * outputs)
    return rows, operations / moved, operations / min(map(_best_seconds, forms))


def _memory_rate() -> float:
    """Return bytes read per second when summing 256 MB that no cache holds."""
    data = torch.ones(1 << 26)
    return data.numel() * data.element_size() / _best_seconds(data.sum)


def _best_seconds(work: Callable[[], object]) -> float:
    times: list[float] = []
    while len(times) < 7 or (sum(times) < 0.1 and len(times) < 200):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="raw results are added to this file")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    return parser


if __name__ == "__main__":
    main()
