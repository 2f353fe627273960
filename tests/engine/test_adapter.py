"""Tests of `engine.adapter`: folders that stock PEFT loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from tests.fakes import random_rows, tiny_model, tiny_network
from tunery.engine.adapter import CONFIG, WEIGHTS, read_adapter, write_adapter
from tunery.engine.lora import Adapter
from tunery.engine.network import Network
from tunery.engine.packing import pack
from tunery.errors import InvalidArgument, NotFound


def random_adapter(network: Network) -> Adapter:
    adapter = network.fresh_adapter(4, 8, seed=0)
    adapter.flat.normal_(0, 0.2)
    return adapter


def packed_logits(network: Network) -> torch.Tensor:
    rows = random_rows(1)
    batch = pack(rows)
    hidden = network.hidden(batch.token_ids, batch.positions, batch.layout)
    return network.head.logits(hidden[: len(rows[0].token_ids)])


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gpt2"])
def test_stock_peft_gives_the_same_logits(family: str, tmp_path: Path) -> None:
    """PeftModel.from_pretrained on the plain model answers with our logits."""
    network = tiny_network(family, torch.float32)
    adapter = random_adapter(network)
    network.install(0, adapter)
    write_adapter(tmp_path, adapter, base_model="tiny")

    theirs = PeftModel.from_pretrained(tiny_model(family, torch.float32), str(tmp_path)).eval()
    token_ids = torch.tensor([random_rows(1)[0].token_ids])

    assert torch.allclose(packed_logits(network), theirs(input_ids=token_ids).logits[0], atol=1e-4, rtol=1e-4)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """All weights, rank and scale come back as they were."""
    network = tiny_network("llama", torch.float32)
    adapter = random_adapter(network)
    write_adapter(tmp_path, adapter, base_model="tiny")

    again = read_adapter(tmp_path, network)

    assert torch.equal(again.flat, adapter.flat)
    assert again.shape == adapter.shape


def test_adapter_made_by_peft_is_read(tmp_path: Path) -> None:
    """A PEFT adapter on some of the layers answers here as it does there."""
    theirs = get_peft_model(
        tiny_model("llama", torch.float32), LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "v_proj"])
    ).eval()
    for name, weight in theirs.named_parameters():
        if "lora" in name:
            weight.data.normal_(0, 0.2)
    theirs.save_pretrained(str(tmp_path))
    network = tiny_network("llama", torch.float32)

    network.install(0, read_adapter(tmp_path, network))

    token_ids = torch.tensor([random_rows(1)[0].token_ids])
    assert torch.allclose(packed_logits(network), theirs(input_ids=token_ids).logits[0], atol=1e-4, rtol=1e-4)


def test_equal_adapters_are_equal_bytes(tmp_path: Path) -> None:
    """Files depend on the weights alone."""
    network = tiny_network("llama", torch.float32)
    adapter = random_adapter(network)
    write_adapter(tmp_path / "a", adapter, base_model="tiny")
    write_adapter(tmp_path / "b", adapter, base_model="tiny")

    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"use_dora": True}, "use_dora"), ({"peft_type": "IA3"}, "IA3"), ({"bias": "all"}, "biases"), ({"r": 5}, "shape")],
)
def test_other_kinds_of_adapters_are_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    """What cannot be computed exactly is named, not approximated."""
    network = tiny_network("llama", torch.float32)
    write_adapter(tmp_path, random_adapter(network), base_model="tiny")
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, **change}))

    with pytest.raises(InvalidArgument, match=message):
        read_adapter(tmp_path, network)


def test_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    """Tensors that fit no layer of this base are counted in the message."""
    write_adapter(tmp_path, random_adapter(tiny_network("gpt_neox", torch.float32)), base_model="other")

    with pytest.raises(InvalidArgument, match="of which 0 fit"):
        read_adapter(tmp_path, tiny_network("llama", torch.float32))


def test_folder_without_adapter_is_not_found(tmp_path: Path) -> None:
    """The missing file is named."""
    with pytest.raises(NotFound, match=CONFIG):
        read_adapter(tmp_path, tiny_network("llama", torch.float32))
