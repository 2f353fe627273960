"""Tests of `benchmarks.scale.group`: grouped tasks learn what each learns alone; no time is checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from benchmarks.scale import group
from tests.fakes import random_rows, tiny_network, write_learnable_base
from tunery.engine.catalog import Catalog


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("family", ["llama", "qwen3", "lfm2"])
def test_a_grouped_step_is_the_step_of_each_task(family: str, lanes: bool) -> None:
    """In float64, losses and gradients of four adapters agree to 1e-9, with prefixes and batches of different sizes."""
    network = tiny_network(family, lanes=lanes)
    batches = [random_rows(count, prefix=prefix, seed=seed) for seed, (count, prefix) in enumerate(SIZES)]
    places, gradients, losses, expected = [], [], [], []
    for seed, batch in enumerate(batches):
        adapter = network.fresh_adapter(4, 8, seed)
        adapter.flat.normal_(0, 0.2, generator=torch.Generator().manual_seed(seed))
        tokens = sum(row.answer_tokens for row in batch)
        alone, together = torch.zeros_like(adapter.flat), torch.zeros_like(adapter.flat)
        network.install(0, adapter, alone)
        losses.append(network.add_gradient(batch, 1 / tokens) / tokens)
        expected.append(alone)
        network.install(0, adapter, together)
        places.append(group.Place.of(network))
        gradients.append(together)

    found = group.add_gradients(network, places, batches)

    assert found == pytest.approx(losses, rel=1e-9)
    for together, alone in zip(gradients, expected, strict=True):
        assert torch.allclose(together, alone, rtol=1e-9, atol=1e-12)


SIZES = ((4, 9), (3, 0), (1, 5), (4, 2))


def test_grouped_tasks_end_with_the_adapters_of_tasks_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a tiny base in float32, to 1e-5 of their length, without and with held-out rows; every share has a figure."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TUNERY_BASE", "tiny")
    monkeypatch.setattr(group, "ROUNDS", 1)
    Catalog(tmp_path / "home").add(str(write_learnable_base(tmp_path / "base")), "tiny")

    group.group()

    printed = capsys.readouterr().out
    apart = [float(text) for text in re.findall(r"adapters differ by (\S+)", printed)]
    assert len(apart) == 2
    assert max(apart) <= 1e-5
    assert printed.count("frozen products") == 2
