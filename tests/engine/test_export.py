"""Exports: merged weights and GGUF files answer as the base with its adapter does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Lfm2Config, Lfm2ForCausalLM

from tests.engine.tiny_bases import HEADS, HIDDEN, VOCABULARY, make_folder, tiny_config, tiny_tokenizer
from tests.fakes import write_learnable_base
from tunery.engine.adapter import write_adapter
from tunery.engine.base import load_folder
from tunery.engine.conversion import llama_config, write_llama
from tunery.engine.export import WRITERS, Source, format_of, ollama_template, write_base_gguf
from tunery.engine.fallback import parts_of
from tunery.engine.families import spec_of
from tunery.engine.gguf import GgufFile
from tunery.engine.gguf_export import alternating_rows, architecture_of
from tunery.engine.proof import Questions, prove
from tunery.engine.tokenizer import PLAIN_CHAT_TEMPLATE, Tokenizer
from tunery.engine.weights import read_config
from tunery.errors import FailedPrecondition, InvalidArgument
from tunery.files import ignore


def _source(folder: Path) -> Source:
    base = write_learnable_base(folder / "base")
    network = load_folder(base, dtype=torch.float32).network
    adapter = network.fresh_adapter(4, 8.0, seed=1)
    adapter.flat.normal_(0, 0.05, generator=torch.Generator().manual_seed(2))
    write_adapter(folder / "adapter", adapter, base_model="tiny")
    return Source(base, folder / "adapter", "tiny tuned")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Return a tiny base and an adapter that changes its answers."""
    return _source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def merged(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a merged export."""
    folder = tmp_path_factory.mktemp("merged")
    WRITERS["merged"](source, folder)
    return folder


@pytest.fixture(scope="module")
def gguf_folder(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a GGUF export."""
    folder = tmp_path_factory.mktemp("gguf")
    WRITERS["gguf"](source, folder)
    return folder


def _logits(model: object, token_ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([token_ids])).logits  # type: ignore[operator, no-any-return]


def test_merged_weights_have_the_logits_of_base_and_adapter(source: Source, merged: Path) -> None:
    """Loaded by stock transformers without peft, up to the rounding of float16."""
    base = AutoModelForCausalLM.from_pretrained(source.base_folder, dtype=torch.float32)
    expected = _logits(PeftModel.from_pretrained(base, source.adapter_folder), [5, 6, 7, 8])
    plain = _logits(AutoModelForCausalLM.from_pretrained(source.base_folder, dtype=torch.float32), [5, 6, 7, 8])

    found = _logits(AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32), [5, 6, 7, 8])

    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.01)
    assert (plain - expected).abs().max() > 10 * (found - expected).abs().max()


def test_a_merged_folder_has_all_that_a_chat_needs(merged: Path) -> None:
    """Tokenizer, chat template, and a generation config that ends answers at the end of a turn."""
    tokenizer = AutoTokenizer.from_pretrained(merged)
    model = AutoModelForCausalLM.from_pretrained(merged)

    assert "<|im_start|>" in tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    assert model.generation_config.eos_token_id == [2]
    assert not model.generation_config.do_sample


def _read_back(path: Path, to: Path) -> dict[str, torch.Tensor]:
    file = GgufFile(path)
    write_llama(file, llama_config(file), to, ignore)
    return load_file(to)


def test_a_gguf_file_is_read_back_to_the_merged_weights(merged: Path, gguf_folder: Path, tmp_path: Path) -> None:
    """Every weight of the f16 file is that of the merged folder, rows of rotated heads in their order."""
    expected = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).state_dict()

    found = _read_back(gguf_folder / "model-f16.gguf", tmp_path / "model.safetensors")

    assert set(found) == set(expected) - {"lm_head.weight"}
    for name, value in found.items():
        torch.testing.assert_close(value.float(), expected[name], atol=0.02, rtol=0.01)


def test_a_gguf_file_has_the_tokenizer_of_the_base(gguf_folder: Path) -> None:
    """Tokens with their kinds, splitting, template; nothing is put before a prompt."""
    fields = gguf.GGUFReader(gguf_folder / "model-q8_0.gguf").fields

    assert fields["tokenizer.ggml.tokens"].contents() == VOCABULARY
    assert fields["tokenizer.ggml.token_type"].contents()[:4] == [3, 3, 3, 1]
    assert fields["tokenizer.ggml.pre"].contents() == "gpt-2"
    assert fields["tokenizer.ggml.add_bos_token"].contents() is False
    assert "im_start" in fields["tokenizer.chat_template"].contents()


def test_q8_0_holds_all_but_the_table_of_tokens_in_8_bits(gguf_folder: Path) -> None:
    """Matrices take 34 bytes for 32 weights; what turns the last hidden state into tokens stays in 16 bits."""
    reader = gguf.GGUFReader(gguf_folder / "model-q8_0.gguf")

    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) > 1}
    assert kinds.pop("token_embd.weight") == "F16"
    assert set(kinds.values()) == {"Q8_0"}


def test_a_base_alone_is_written_as_tuning_saw_it(source: Source, tmp_path: Path) -> None:
    """Its weights in float16 are those of the folder, without any adapter."""
    write_base_gguf(source.base_folder, tmp_path / "base.gguf", "tiny")

    found = _read_back(tmp_path / "base.gguf", tmp_path / "model.safetensors")
    expected = AutoModelForCausalLM.from_pretrained(source.base_folder, dtype=torch.float32).state_dict()
    for name, value in found.items():
        torch.testing.assert_close(value.float(), expected[name], atol=0.02, rtol=0.01)
    assert found.keys() >= {"model.embed_tokens.weight", "model.norm.weight"}


def test_a_base_of_another_family_is_not_written(tmp_path: Path) -> None:
    """The refusal comes before a file."""
    folder = make_folder(tmp_path / "b")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))

    with pytest.raises(FailedPrecondition, match="belongs to the family gpt2"):
        write_base_gguf(folder, tmp_path / "base.gguf", "b")
    assert not (tmp_path / "base.gguf").exists()


def test_the_adapter_as_gguf_has_a_pair_for_each_layer(source: Source, gguf_folder: Path) -> None:
    """Two tensors for each of seven layers of two blocks, and the alpha."""
    reader = gguf.GGUFReader(gguf_folder / "adapter.gguf")

    assert len(reader.tensors) == 2 * 7 * 2
    assert reader.fields["adapter.lora.alpha"].contents() == 8.0
    assert source.adapter_folder.is_dir()


def test_the_modelfile_asks_as_tuning_did(gguf_folder: Path) -> None:
    """The chat template around the question, the end of a turn, the likeliest token."""
    text = (gguf_folder / "Modelfile").read_text()

    assert "FROM ./model-q8_0.gguf" in text
    assert "<|im_start|>user\n{{ .Prompt }}<|im_end|>\n<|im_start|>assistant\n" in text
    assert 'PARAMETER stop "<|im_end|>"' in text
    assert "PARAMETER temperature 0\n" in text


_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_WITH_DEFAULT = (  # of SmolLM2
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are SmolLM<|im_end|>\n' }}{% endif %}"
    + _CHATML
)
_WITHOUT_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + _CHATML
_QUESTION, _SYSTEM = {"role": "user", "content": "One?"}, {"role": "system", "content": "Be brief."}
_HISTORY = [_QUESTION, {"role": "assistant", "content": "1"}, {"role": "user", "content": "Two?"}]


def _as_ollama(template: str, default: str, turns: list[dict[str, str]]) -> str:
    """Render a template of the few forms that are written, as Ollama's template.go does."""
    if turns[0]["role"] != "system" and default:
        turns = [{"role": "system", "content": default}, *turns]
    pairs: list[dict[str, str]] = [{}]
    for turn in turns:
        if turn["role"] == "user" and "user" in pairs[-1]:
            pairs.append({})
        pairs[-1][turn["role"]] = turn["content"]
    texts = []
    for pair in pairs:
        head, _, body = template.rpartition("{{ end }}")
        given, _, other = head.removeprefix("{{ if .System }}").partition("{{ else }}")
        text = (given if "system" in pair else other) + body
        if pair is pairs[-1]:
            text = text.partition("{{ .Response }}")[0]
        for name, role in ((".System", "system"), (".Prompt", "user"), (".Response", "assistant")):
            text = text.replace(f"{{{{ {name} }}}}", pair.get(role, ""))
        texts.append(text)
    return "".join(texts)


@pytest.mark.parametrize("template", [_CHATML, _WITH_DEFAULT], ids=["plain", "default"])
@pytest.mark.parametrize("turns", [[_QUESTION], [_SYSTEM, _QUESTION], _HISTORY, [_SYSTEM, *_HISTORY]])
def test_the_modelfile_renders_what_the_template_of_the_base_does(
    source: Source, template: str, turns: list[dict[str, str]]
) -> None:
    """With and without a system text, and with earlier turns."""
    tokenizer = AutoTokenizer.from_pretrained(source.base_folder)
    tokenizer.chat_template = template

    rendered = _as_ollama(*ollama_template(Tokenizer(*parts_of(tokenizer))), turns)

    assert rendered == tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize("template", [PLAIN_CHAT_TEMPLATE, _WITHOUT_SYSTEM], ids=["bare", "no system"])
def test_a_modelfile_of_another_form_is_right_for_single_questions(source: Source, template: str) -> None:
    """A base without a template of its own takes a system text; one whose template rejects it has no place for it."""
    tokenizer = AutoTokenizer.from_pretrained(source.base_folder)
    tokenizer.chat_template = template
    found, default = ollama_template(Tokenizer(*parts_of(tokenizer)))
    asked = [[_QUESTION]] if template == _WITHOUT_SYSTEM else [[_QUESTION], [_SYSTEM, _QUESTION]]

    assert (".System" in found, default) == (template == PLAIN_CHAT_TEMPLATE, "")
    for turns in asked:
        rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert _as_ollama(found, default, turns) == rendered


def test_families_without_an_exact_gguf_are_refused(tmp_path: Path) -> None:
    """The message names the family and the way out."""
    config = {**read_config(make_folder(tmp_path / "b")), "model_type": "gpt2"}

    with pytest.raises(FailedPrecondition, match=r"belongs to the family gpt2\. Export it merged"):
        architecture_of(config)


LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip


def test_a_gguf_file_divides_the_frequencies_as_llama_3_does(tmp_path: Path) -> None:
    """In `rope_freqs.weight`, as llama.cpp's converter writes it: 1 for short waves, the factor for long ones."""
    write_base_gguf(make_folder(tmp_path / "b", rope_parameters=LLAMA3), tmp_path / "b.gguf", "b")

    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "b.gguf").tensors}
    factors = torch.tensor(tensors["rope_freqs.weight"].data)
    plain = 500.0 ** -(torch.arange(0, HIDDEN // HEADS, 2) / (HIDDEN // HEADS))
    assert torch.allclose(plain / factors, spec_of(read_config(tmp_path / "b")).rotations["all"].frequencies)
    assert (factors[0], factors[-1]) == (1.0, 8.0)


def test_scaled_positions_that_gguf_cannot_represent_are_refused(tmp_path: Path) -> None:
    """A family whose runtime reads no factors, and a kind that also scales the scores."""
    config = read_config(make_folder(tmp_path / "b", rope_parameters=LLAMA3))
    yarn = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 8.0}

    for settings in ({"model_type": "qwen3"}, {"rope_parameters": yarn}):
        with pytest.raises(FailedPrecondition, match="scales its rotary positions"):
            architecture_of({**config, **settings})


def test_a_gguf_file_has_the_convolutions_of_lfm2(tmp_path: Path) -> None:
    """Layers without attention have no key heads; a kernel is `[tokens, H]` in float32."""
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    sizes = {name: getattr(tiny_config(), name) for name in (*names, "max_position_embeddings", "rope_parameters")}
    kinds = ["conv", "full_attention", "conv"]
    config = Lfm2Config(**{**sizes, "num_hidden_layers": 3, "layer_types": kinds})
    Lfm2ForCausalLM(config).save_pretrained(tmp_path / "b")
    tiny_tokenizer().save_pretrained(tmp_path / "b")

    write_base_gguf(tmp_path / "b", tmp_path / "b.gguf", "b")

    file = gguf.GGUFReader(tmp_path / "b.gguf")
    assert file.fields["lfm2.attention.head_count_kv"].contents() == [0, 2, 0]
    assert file.fields["lfm2.shortconv.l_cache"].contents() == 3
    kernels = {tensor.name: tensor for tensor in file.tensors if "shortconv.conv" in tensor.name}
    stored = load_file(tmp_path / "b" / "model.safetensors")["model.layers.2.conv.conv.weight"]
    assert list(kernels) == ["blk.0.shortconv.conv.weight", "blk.2.shortconv.conv.weight"]
    assert torch.equal(torch.tensor(kernels["blk.2.shortconv.conv.weight"].data), stored.flatten(1))


def test_a_base_that_does_not_state_its_positions_is_not_written(tmp_path: Path) -> None:
    """LFM2 means 1,000,000 then; the file would say 10,000 and be refused by its runtime."""
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    config = Lfm2Config(**{name: getattr(tiny_config(), name) for name in names}, num_hidden_layers=2)
    Lfm2ForCausalLM(config).save_pretrained(tmp_path / "b")
    tiny_tokenizer().save_pretrained(tmp_path / "b")
    settings = json.loads((tmp_path / "b" / "config.json").read_text("utf-8"))
    del settings["rope_parameters"]
    (tmp_path / "b" / "config.json").write_text(json.dumps(settings))

    with pytest.raises(FailedPrecondition, match="does not give rope_theta"):
        write_base_gguf(tmp_path / "b", tmp_path / "b.gguf", "b")


def test_rows_of_rotated_heads_alternate() -> None:
    """The halves of each head are put between each other, as llama.cpp's converter does."""
    rows = torch.arange(8)[:, None]

    assert alternating_rows(rows, 2).flatten().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_a_proof_counts_equal_answers(source: Source, merged: Path) -> None:
    """The merged folder answers in transformers; an answer that was not served counts against it."""
    texts = ("1", "2")
    asked = Questions(texts, ("", ""), (4, 4))
    (first,) = prove("merged", merged, source.base_folder, "tiny", asked, python=sys.executable)
    said = [difference.exported for difference in first.differences]
    asked = Questions(texts, (said[0], said[1] + "?"), (4, 4))

    (proof,) = prove("merged", merged, source.base_folder, "tiny", asked, python=sys.executable)

    assert (proof.runtime, proof.rows, proof.agreed, proof.agreement) == ("transformers", 2, 1, 0.5)
    assert proof.differences[0].text_input == "2"
    assert "transformers" in proof.versions


def test_a_runtime_that_is_missing_is_named(source: Source, gguf_folder: Path) -> None:
    """
    Nothing was compared, and the reason says what is not installed.

    The proof of the adapter says beside which base, for one adapter file may stand beside several.
    """
    asked = Questions(("1",), ("2",), (4,))

    proofs = prove("gguf", gguf_folder, source.base_folder, "tiny", asked, python=sys.executable)

    files = ["model-f16.gguf", "model-q8_0.gguf", "adapter.gguf beside tiny-f16.gguf"]
    assert [proof.file for proof in proofs] == files
    assert all(p.agreement is None and "llama.cpp is not installed" in str(p.reason) for p in proofs)


def test_a_runtime_that_crashes_is_named_with_its_signal(source: Source, merged: Path, tmp_path: Path) -> None:
    """Whatever it wrote before; llama.cpp meets illegal instructions on some processors."""
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\necho loading >&2\nkill -ILL $$\n")
    crashing.chmod(0o755)

    asked = Questions(("1",), ("2",), (4,))
    (proof,) = prove("merged", merged, source.base_folder, "tiny", asked, python=str(crashing))

    assert proof.reason == "transformers was ended by SIGILL (Illegal instruction)."
    assert proof.agreement is None


def test_a_folder_tells_its_format(source: Source, merged: Path, gguf_folder: Path, tmp_path: Path) -> None:
    """By the files that are in it; another folder is refused with what it lacks."""
    assert [format_of(folder) for folder in (source.adapter_folder, merged, gguf_folder)] == [
        "adapter",
        "merged",
        "gguf",
    ]
    with pytest.raises(InvalidArgument, match=r"not an exported model.*adapter\.gguf"):
        format_of(tmp_path)
