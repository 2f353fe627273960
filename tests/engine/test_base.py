"""Tests of `engine.base`: what a loaded base is, and what cannot be loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine.tiny_bases import TEMPLATE, WINDOW, make_folder
from tests.needs import NO_DEFAULT_BASE, missing
from tunery import config
from tunery.engine import base, conversion
from tunery.engine.catalog import EMBEDDED, Catalog
from tunery.engine.resident import ResidentBase
from tunery.engine.weights import read_tensors
from tunery.errors import FailedPrecondition, InvalidArgument
from tunery.types import SamplingSettings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a data folder with a base `tiny`."""
    Catalog(tmp_path / "home").add(str(make_folder(tmp_path / "tiny")))
    return tmp_path / "home"


def test_loaded_base_is_frozen_and_known_by_its_digest(home: Path) -> None:
    """No tensor takes a gradient, and name, window and digest are those of the catalog."""
    catalog = Catalog(home)

    loaded = base.load(catalog.resolve("tiny"), home, dtype=torch.bfloat16)

    weights = loaded.network.weights
    tensors = [weights.embedding, weights.head.weight, *(layer.queries.weight for layer in weights.layers)]
    assert not any(tensor.requires_grad for tensor in tensors)
    assert {tensor.dtype for tensor in tensors} == {torch.bfloat16}
    assert (loaded.name, loaded.window_tokens, loaded.dtype) == ("tiny", WINDOW, torch.bfloat16)
    assert loaded.digest == catalog.digest("tiny")
    assert loaded.tokenizer.chat_template == TEMPLATE


def test_weights_are_those_of_the_file(home: Path) -> None:
    """Query, key and value stand below each other, the head is the table of tokens."""
    loaded = base.load(Catalog(home).resolve("tiny"), home, dtype=torch.bfloat16)

    stored, weights = load_file(loaded.folder / "model.safetensors"), loaded.network.weights
    queries = [stored[f"model.layers.1.self_attn.{name}_proj.weight"] for name in "qkv"]
    assert torch.equal(weights.layers[1].queries.weight, torch.cat(queries))
    assert torch.equal(weights.layers[0].down.weight, stored["model.layers.0.mlp.down_proj.weight"])
    assert weights.head.weight is weights.embedding
    assert torch.equal(weights.embedding, stored["model.embed_tokens.weight"])


def test_float32_holds_the_same_numbers(home: Path) -> None:
    """Another number format converts the weights and rounds nothing away."""
    entry = Catalog(home).resolve("tiny")

    exact = base.load(entry, home, dtype=torch.float32).network.weights

    half = base.load(entry, home, dtype=torch.bfloat16).network.weights
    for ours, theirs in zip(exact.layers, half.layers, strict=True):
        assert ours.down.weight.dtype == torch.float32
        assert torch.equal(ours.down.weight, theirs.down.weight.float())
        assert torch.equal(ours.queries.weight, theirs.queries.weight.float())


def test_api_name_loads_the_base_behind_it(home: Path) -> None:
    """The loaded base has the name of the weights, not of the alias."""
    entry = Catalog(home, "tiny").resolve("gemini-1.0-pro")

    assert base.load(entry, home, dtype=torch.bfloat16).name == "tiny"


def test_weights_stay_a_mapped_file(home: Path) -> None:
    """In the number format of the file, nothing is copied: the file is mapped into memory."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux tells which files are mapped")

    loaded = base.load(Catalog(home).resolve("tiny"), home, dtype=torch.bfloat16)

    weights = loaded.folder / "model.safetensors"
    spans = [line.split()[0] for line in maps.read_text().splitlines() if line.endswith(str(weights))]
    address = loaded.network.weights.layers[0].wide[1].weight.data_ptr()
    assert any(int(start, 16) <= address < int(end, 16) for start, end in (span.split("-") for span in spans))


def test_base_without_template_gets_the_plain_one(tmp_path: Path) -> None:
    """A pretrained base gets one plain template: input, output, end of text."""
    loaded = base.load_folder(make_folder(tmp_path / "plain", template=None), dtype=torch.bfloat16)

    turns = [{"role": "user", "content": "a\nb"}, {"role": "assistant", "content": "c"}]
    prompt = loaded.tokenizer.render(turns[:1], add_generation_prompt=True)
    assert prompt == "<|im_start|>Input:\na\nb\nOutput:\n"
    assert loaded.tokenizer.render(turns) == f"{prompt}c<|im_end|>"


def test_folder_outside_the_catalog_has_the_same_digest(home: Path, tmp_path: Path) -> None:
    """A folder loaded directly is the same base as the one that was added."""
    loaded = base.load_folder(tmp_path / "tiny", dtype=torch.bfloat16)

    assert loaded.digest == Catalog(home).digest("tiny")


def test_base_that_was_not_pulled_says_so(tmp_path: Path) -> None:
    """The message is the command that brings it here."""
    with pytest.raises(FailedPrecondition, match="tunery bases get smollm2-135m-instruct"):
        base.load(Catalog(tmp_path).resolve("gemini-1.0-pro"), tmp_path, dtype=torch.bfloat16)


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    """Weights that are not in the file are not made up."""
    folder = make_folder(tmp_path / "tiny")
    stored = load_file(folder / "model.safetensors")
    rest = {name: value.clone() for name, value in stored.items() if name != "model.layers.1.mlp.up_proj.weight"}
    save_file(rest, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(InvalidArgument, match=r"weights are missing: model\.layers\.1\.mlp\.up_proj\.weight"):
        base.load_folder(folder, dtype=torch.bfloat16)


def test_unknown_kind_of_model_is_an_error(tmp_path: Path) -> None:
    """What transformers does not know is named."""
    folder = make_folder(tmp_path / "tiny")
    content = (folder / "config.json").read_text()
    (folder / "config.json").write_text(re.sub(r'"model_type": "\w+"', '"model_type": "novel"', content))

    with pytest.raises(InvalidArgument, match=r"tiny cannot be loaded from .*novel"):
        base.load_folder(folder, dtype=torch.bfloat16)


@pytest.mark.base
def test_default_base_answers_and_keeps_its_four_bits() -> None:
    """The real default base knows the capital of France, and its 4-bit form holds the same weights."""
    home = config.data_folder()
    entry = Catalog(home).resolve(EMBEDDED.name)
    if not entry.is_present:
        missing(NO_DEFAULT_BASE)

    loaded = base.load(entry, home, dtype=torch.float32)

    (answer,) = ResidentBase(loaded).answers(["What is the capital of France?"], SamplingSettings(max_output_tokens=8))
    assert "Paris" in answer
    weights = read_tensors(loaded.folder)
    assert sum(tensor.numel() for tensor in weights.values()) == entry.parameters
    assert all(
        torch.equal(four.dense().bfloat16(), weights[name])
        for name, four in conversion.read_four_bit(loaded.folder).items()
    )
