"""Tests of `engine.families`: settings as files say them, and what sends a base to transformers."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from tests.engine.tiny_bases import make_folder
from tests.fakes import tiny_model
from tunery.engine.base import load_folder, network_of
from tunery.engine.base_config import Rotation, Unknown
from tunery.engine.fallback import FallbackNetwork
from tunery.engine.families import DecoderSpec, spec_of
from tunery.engine.network import Network
from tunery.engine.rows import EncodedExample
from tunery.engine.tuner import Tuner
from tunery.types import Hyperparameters

# As files on the hub say them, most of them before transformers 5
FILES: dict[str, dict[str, Any]] = {
    "llama 3.2": {
        "model_type": "llama", "attention_bias": False, "attention_dropout": 0.0, "head_dim": 64, "hidden_act": "silu",
        "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": False,
        "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1,
        "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                         "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "transformers_version": "4.45.0", "use_cache": True, "vocab_size": 128256, "eos_token_id": [1, 2],
    },
    "smollm2": {
        "model_type": "llama", "attention_bias": False, "hidden_act": "silu", "hidden_size": 960,
        "intermediate_size": 2560, "is_llama_config": True, "max_position_embeddings": 8192, "num_attention_heads": 15,
        "num_hidden_layers": 32, "num_key_value_heads": 5, "rms_norm_eps": 1e-05, "rope_interleaved": False,
        "rope_scaling": None, "rope_theta": 100000, "tie_word_embeddings": True, "vocab_size": 49152,
        "transformers.js_config": {"dtype": "q4"}, "initializer_range": 0.02,
    },
    "mistral": {
        "model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": False, "vocab_size": 32000,
    },
    "ministral 3": {
        "model_type": "ministral3", "head_dim": 128, "hidden_act": "silu", "hidden_size": 3072, "vocab_size": 131072,
        "intermediate_size": 9216, "max_position_embeddings": 262144, "num_attention_heads": 32,
        "num_hidden_layers": 26, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "sliding_window": None,
        "rope_parameters": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 16.0, "llama_4_scaling_beta": 0.1,
                            "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 16384,
                            "rope_theta": 1000000.0, "rope_type": "yarn", "type": "yarn"},
        "tie_word_embeddings": True,
    },
    "qwen2.5": {
        "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
        "max_window_layers": 21, "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768, "use_sliding_window": False,
        "tie_word_embeddings": True, "vocab_size": 151936, "use_mrope": False,
    },
    "qwen3": {
        "model_type": "qwen3", "attention_bias": False, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
        "intermediate_size": 3072, "max_window_layers": 28, "num_attention_heads": 16, "num_hidden_layers": 28,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000,
        "sliding_window": None, "use_sliding_window": False, "tie_word_embeddings": True, "vocab_size": 151936,
    },
    "smollm3": {
        "model_type": "smollm3", "attention_bias": False, "hidden_act": "silu", "hidden_size": 2048,
        "intermediate_size": 11008, "layer_types": ["full_attention"] * 8, "max_window_layers": 28, "mlp_bias": False,
        "no_rope_layer_interval": 4, "no_rope_layers": [1, 1, 1, 0] * 2, "num_attention_heads": 16,
        "num_hidden_layers": 8, "num_key_value_heads": 4, "pretraining_tp": 2, "rms_norm_eps": 1e-06,
        "rope_scaling": None, "rope_theta": 5000000.0, "sliding_window": None, "use_sliding_window": False,
    },
    "gemma 1": {
        "model_type": "gemma", "head_dim": 256, "hidden_act": "gelu", "hidden_activation": None, "hidden_size": 2048,
        "intermediate_size": 16384, "num_attention_heads": 8, "num_hidden_layers": 18, "num_key_value_heads": 1,
        "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "vocab_size": 256000, "attention_bias": False,
    },
    "gemma 2": {
        "model_type": "gemma2", "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304,
        "intermediate_size": 9216, "num_attention_heads": 8, "num_hidden_layers": 26, "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256, "sliding_window": 4096, "cache_implementation": "hybrid",
    },
    "gemma 3": {
        "model_type": "gemma3_text", "attn_logit_softcapping": None, "final_logit_softcapping": None, "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "intermediate_size": 6912,
        "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1, "query_pre_attn_scalar": 256,
        "rope_local_base_freq": 10000, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": 512,
        "sliding_window_pattern": 6, "rms_norm_eps": 1e-06, "attention_bias": False,
    },
    "olmo 2": {
        "model_type": "olmo2", "attention_bias": False, "hidden_act": "silu", "hidden_size": 2048,
        "intermediate_size": 8192, "num_attention_heads": 16, "num_hidden_layers": 16, "num_key_value_heads": 16,
        "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 500000, "tie_word_embeddings": False,
    },
    "olmo 3": {
        "model_type": "olmo3", "attention_bias": False, "hidden_act": "silu", "hidden_size": 4096,
        "intermediate_size": 11008, "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
        "num_attention_heads": 32, "num_hidden_layers": 4, "num_key_value_heads": 32, "rms_norm_eps": 1e-06,
        "max_position_embeddings": 65536, "rope_theta": 500000, "sliding_window": 4096, "tie_word_embeddings": False,
        "rope_scaling": {"attention_factor": 1.2079441541679836, "beta_fast": 32.0, "beta_slow": 1.0, "factor": 8.0,
                         "original_max_position_embeddings": 8192, "rope_type": "yarn"},
    },
    "granite": {
        "model_type": "granite", "attention_bias": False, "attention_multiplier": 0.015625, "hidden_act": "silu",
        "embedding_multiplier": 12.0, "hidden_size": 2048, "intermediate_size": 8192, "logits_scaling": 8.0,
        "mlp_bias": False, "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 8,
        "residual_multiplier": 0.22, "rms_norm_eps": 1e-05, "rope_theta": 10000000.0, "tie_word_embeddings": True,
    },
    "exaone 4": {
        "model_type": "exaone4", "attention_dropout": 0.0, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048,
        "intermediate_size": 4096, "layer_types": ["full_attention"] * 30, "max_position_embeddings": 65536,
        "num_attention_heads": 32, "num_hidden_layers": 30, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "rope_scaling": {"factor": 16.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                         "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "rope_theta": 1000000, "sliding_window": None, "sliding_window_pattern": None, "tie_word_embeddings": True,
    },
    "helium 1": {
        "model_type": "helium", "attention_bias": False, "head_dim": 128, "hidden_act": "silu", "hidden_size": 2048,
        "intermediate_size": 8192, "max_position_embeddings": 4096, "mlp_bias": False, "num_attention_heads": 16,
        "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-08, "rope_theta": 20000.0,
        "tie_word_embeddings": False,
    },
    "afm": {
        "model_type": "arcee", "attention_bias": False, "head_dim": 128, "hidden_act": "relu2", "hidden_size": 2560,
        "intermediate_size": 18432, "max_position_embeddings": 65536, "mlp_bias": False, "num_attention_heads": 20,
        "num_hidden_layers": 36, "num_key_value_heads": 4, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
        "rope_scaling": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 20.0, "mscale": 1.0, "rope_type": "yarn",
                         "original_max_position_embeddings": 4096}, "tie_word_embeddings": False,
    },
    "lfm 2": {
        "model_type": "lfm2", "block_auto_adjust_ff_dim": True, "block_dim": 1024, "block_ff_dim": 6656,
        "block_ffn_dim_multiplier": 1.0, "block_mlp_init_scale": 1.0, "block_multiple_of": 256, "conv_bias": False,
        "block_norm_eps": 1e-05, "block_out_init_scale": 1.0, "block_use_swiglu": True, "block_use_xavier_init": True,
        "conv_L_cache": 3, "conv_dim": 1024, "conv_dim_out": 1024, "conv_use_xavier_init": True, "eos_token_id": 7,
        "full_attn_idxs": [2, 5, 8, 10, 12, 14], "hidden_size": 1024, "max_position_embeddings": 128000,
        "norm_eps": 1e-05, "num_attention_heads": 16, "num_heads": 16, "num_hidden_layers": 16, "theta": 1000000.0,
        "num_key_value_heads": 8, "rope_theta": 1000000.0, "use_pos_enc": True, "vocab_size": 65536,
    },
    "phi 4 mini": {
        "model_type": "phi3", "embd_pdrop": 0.0, "hidden_act": "silu", "hidden_size": 256, "intermediate_size": 512,
        "lm_head_bias": False, "max_position_embeddings": 131072, "num_attention_heads": 4, "num_hidden_layers": 2,
        "num_key_value_heads": 2, "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75,
        "resid_pdrop": 0.0, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 262144,
        "rope_scaling": {"long_factor": [1.0 + n / 8 for n in range(24)], "short_factor": [1.0] * 24,
                         "type": "longrope"},
        "tie_word_embeddings": True,
    },
    "starcoder 2": {
        "model_type": "starcoder2", "embedding_dropout": 0.1, "hidden_act": "gelu_pytorch_tanh", "hidden_size": 3072,
        "intermediate_size": 12288, "mlp_type": "default", "norm_epsilon": 1e-05, "norm_type": "layer_norm",
        "num_attention_heads": 24, "num_hidden_layers": 30, "num_key_value_heads": 2, "residual_dropout": 0.1,
        "rope_theta": 999999.4420358813, "sliding_window": 4096, "use_bias": True, "tie_word_embeddings": True,
    },
    "pythia": {
        "model_type": "gpt_neox", "hidden_act": "gelu", "hidden_size": 512, "intermediate_size": 2048,
        "layer_norm_eps": 1e-05, "num_attention_heads": 8, "num_hidden_layers": 6, "rotary_emb_base": 10000,
        "rotary_pct": 0.25, "tie_word_embeddings": False, "use_parallel_residual": True, "attention_bias": True,
    },
    "phi 1.5": {
        "model_type": "phi", "hidden_act": "gelu_new", "hidden_size": 2048, "intermediate_size": 8192,
        "layer_norm_eps": 1e-05, "num_attention_heads": 32, "num_hidden_layers": 24, "num_key_value_heads": None,
        "partial_rotary_factor": 0.5, "qk_layernorm": False, "rope_scaling": None, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
    },
    "gpt 2": {
        "model_type": "gpt2", "activation_function": "gelu_new", "attn_pdrop": 0.1, "layer_norm_epsilon": 1e-05,
        "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "summary_type": "cls_index",
        "summary_use_proj": True, "summary_first_dropout": 0.1, "task_specific_params": {"text-generation": {}},
    },
}  # fmt: skip


EXAMPLE = EncodedExample((5, 6, 7, 8, 9), 3)


def facts(spec: DecoderSpec) -> dict[str, Any]:
    """Return a spec as values that can be compared."""
    found = {field.name: getattr(spec, field.name) for field in fields(spec)}

    def plain(rotation: Rotation) -> tuple[Any, ...]:
        long = None if rotation.long is None else rotation.long.tolist()
        return rotation.frequencies.tolist(), rotation.scale, long, rotation.limit

    return {**found, "rotations": {name: plain(rotation) for name, rotation in spec.rotations.items()}}


@pytest.mark.parametrize("name", FILES)
def test_files_of_the_hub_say_what_transformers_reads_from_them(name: str) -> None:
    """Settings under older names, or left out, give the decoder of the settings that transformers fills in."""
    filled_in = AutoConfig.for_model(**FILES[name]).to_dict()

    assert facts(spec_of(FILES[name])) == facts(spec_of(filled_in))


@pytest.mark.parametrize("name", FILES)
def test_frequencies_are_those_of_transformers(name: str) -> None:
    """Bit by bit, for full and for sliding attention, beyond the original window too."""
    config, spec = AutoConfig.for_model(**FILES[name]), spec_of(FILES[name])
    module = sys.modules[MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].__module__]
    rotary = next((kind for title, kind in vars(module).items() if title.endswith("RotaryEmbedding")), None)
    theirs = None if rotary is None else rotary(config=config)

    for kind, rotation in spec.rotations.items():
        prefix = "" if kind == "all" else f"{kind}_"
        assert torch.equal(rotation.frequencies, getattr(theirs, f"{prefix}inv_freq").float())
        scale = theirs.attention_scaling if kind == "all" else getattr(theirs, f"{prefix}attention_scaling")
        assert rotation.scale == pytest.approx(scale, rel=1e-12)


STRANGE: dict[str, tuple[dict[str, Any], str]] = {
    "a family": ({"model_type": "opt"}, "the family opt is not known"),
    "a setting": ({"attention_sinks": 4}, "config.json sets attention_sinks to 4"),
    "quantized weights": ({"quantization_config": {"bits": 4}}, "config.json sets quantization_config"),
    "an activation": ({"hidden_act": "mish"}, "the activation mish is not known"),
    "positions": ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1.0, "factor": 2.0}}, "the type dynamic"),
    "a setting of positions": ({"rope_parameters": {"rope_theta": 10000.0, "mrope_section": [1]}}, "mrope_section"),
    "part of a head": ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    "a form": ({"rope_parameters": "default"}, "unusual form"),
    "no sizes": ({"hidden_size": None}, "does not give hidden_size"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_not_known_is_said(name: str) -> None:
    """A setting that may change the arithmetic is never passed over."""
    changes, reason = STRANGE[name]

    with pytest.raises(Unknown, match=reason):
        spec_of({**FILES["smollm2"], **changes})


def changed(folder: Path, **settings: Any) -> Path:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **settings}))
    return folder


def test_a_base_with_an_unknown_setting_goes_through_transformers(tmp_path: Path) -> None:
    """It is tuned and answers all the same, and whoever tunes it reads why."""
    folder = changed(make_folder(tmp_path / "tiny"), hidden_act="mish")

    base = load_folder(folder, dtype=torch.float32)
    tuner = Tuner(base.network, [EXAMPLE], Hyperparameters(1, 1), folder=tmp_path / "task", base_name="tiny")

    assert isinstance(base.network, FallbackNetwork)
    assert tuner.notices == [
        "This base runs through transformers, which is exact but slower: the activation mish is not known."
    ]
    assert len(list(tuner.run())) == 1


def test_a_checkpoint_with_more_than_its_family_has_goes_through_transformers(tmp_path: Path) -> None:
    """A tensor that the decoder would not read is not left out in silence."""
    folder = make_folder(tmp_path / "tiny")
    stored = load_file(folder / "model.safetensors")
    extra = {**stored, "model.layers.0.self_attn.sinks": torch.zeros(4)}
    save_file(extra, folder / "model.safetensors", metadata={"format": "pt"})

    network = network_of(folder, torch.float32)

    assert isinstance(network, FallbackNetwork)
    assert "model.layers.0.self_attn.sinks" in network.reason


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])
def test_checkpoints_under_older_names_are_read(family: str, tmp_path: Path) -> None:
    """Without the prefix of the decoder, with the head's first name, and with masks that follow from the settings."""
    model = tiny_model(family, torch.float32)
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    bare = {name.removeprefix("transformer."): value for name, value in stored.items()}
    bare = {name.replace("lm_head", "embed_out"): value for name, value in bare.items()}
    bare |= (
        {"h.0.attn.bias": torch.ones(1)} if family == "gpt2" else {"gpt_neox.layers.0.attention.bias": torch.ones(1)}
    )
    save_file(bare, tmp_path / "model.safetensors", metadata={"format": "pt"})

    network = network_of(tmp_path, torch.float32)

    assert isinstance(network, Network)
    expected = model(input_ids=torch.tensor([EXAMPLE.token_ids])).logits[0]
    answer = EXAMPLE.token_ids[EXAMPLE.answer_offset :]
    likely = expected[EXAMPLE.answer_offset - 1 : -1].log_softmax(1).gather(1, torch.tensor(answer)[:, None]).sum()
    found = network.option_scores([EXAMPLE], [answer], None)
    torch.testing.assert_close(found.float(), likely.view(1, 1), rtol=1e-4, atol=1e-4)
