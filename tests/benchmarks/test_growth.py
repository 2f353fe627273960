"""Tests of `benchmarks.growth` and `benchmarks.roofline`: they measure what they say; no time is checked."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import growth, roofline
from benchmarks.roofline import Roof
from tests.fakes import write_learnable_base
from tunery.engine.catalog import Catalog


def test_each_dimension_has_its_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer rows, larger bases, more adapters: on a tiny base each point takes some time and says how much it is."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    Catalog(tmp_path / "home").add(str(write_learnable_base(tmp_path / "base")), "tiny")
    given = argparse.Namespace(base_model="tiny", lengths=(8, 16), shapes=((1, 16, 32, 2, 1), (2, 16, 32, 2, 1)))

    results = {name: growth.measure(name, points(given), 1) for name, points in growth.DIMENSIONS.items()}

    assert [result["amount"] for result in results["length of rows"]] == [32, 64]
    assert [result["amount"] for result in results["number of adapters"]] == [1, 2, 4, 8]
    assert results["size of the base"][0]["amount"] < results["size of the base"][1]["amount"]
    assert all(result["seconds"] > 0 for points in results.values() for result in points)


def test_table_compares_with_the_first_point() -> None:
    """Four times as much in twice the time reads so."""
    results = [
        {"amount": 100.0, "unit": "tokens", "seconds": 0.05},
        {"amount": 400.0, "unit": "tokens", "seconds": 0.1},
    ]

    assert "| 400 tokens | 4.0 × | 100 ms | 2.00 × |" in growth.table("length", results)


def test_picture_of_the_roof_is_well_formed(tmp_path: Path) -> None:
    """A measured line is drawn as SVG with a curve and a name for each product, and told as a table."""
    roof = Roof(2e10, 1e11, {"gate": [(1, 0.9, 1.5e10), (256, 150.0, 9e10)], "rank 16": [(1, 0.5, 5e9)]})
    line = tmp_path / "roofline.jsonl"
    values = {
        "bytes_per_second": roof.bytes_per_second,
        "operations_per_second": roof.operations_per_second,
        "points": roof.points,
    }
    line.write_text(json.dumps(values) + "\n")

    roofline.main(["--draw", "--out", str(line), "--picture", str(tmp_path / "roof.svg")])

    picture = ElementTree.parse(tmp_path / "roof.svg").getroot()
    texts = [element.text for element in picture.iter() if element.text]
    assert {"gate", "rank 16", "operations per byte"} <= set(texts)
    assert sum(element.get("class") == "line s0" for element in picture.iter()) == 1
