"""Tests of `engine.tokenizer`: texts, ids and conversations are those of transformers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.engine.tiny_bases import SPECIAL, VOCABULARY, make_folder, tiny_tokenizer
from tunery.engine import fallback
from tunery.engine.chat_templates import rendered, settled
from tunery.engine.tokenizer import _QWEN, is_read_as_it_stands
from tunery.engine.tokenizer import Tokenizer as TextSide
from tunery.types import Rendering

# Short templates that use what those of the families use: loops and their controls, namespaces, macros, filters, dates,
# tools, errors, thinking, generation tags, trimmed blocks
TEMPLATES = {
    "chatml with a default": (
        "{% for message in messages %}{% if loop.first and message.role != 'system' %}"
        "{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama 3": (
        "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n"
        '        {%- set date_string = strftime_now("%d %b %Y") %}\n    {%- else %}\n'
        '        {%- set date_string = "26 Jul 2024" %}\n    {%- endif %}\n{%- endif %}\n'
        "{%- if messages[0]['role'] == 'system' %}\n    {%- set system = messages[0]['content']|trim %}\n"
        '    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system = "" %}\n{%- endif %}\n'
        '{{- "<|head|>system<|/head|>\\n\\n" }}\n{%- if tools is not none %}{{- "Tools" }}{%- endif %}\n'
        '{{- "Today: " + date_string + "\\n\\n" + system }}\n'
        "{%- for message in messages %}\n    {{- '<|head|>' + message['role'] + '<|/head|>\\n\\n'"
        " + message['content'] | trim + '<|eot|>' }}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- '<|head|>assistant<|/head|>\\n\\n' }}\n{%- endif %}\n"
    ),
    "qwen 3": (
        "{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}\n"
        "{%- for message in messages[::-1] %}\n    {%- set index = (messages|length - 1) - loop.index0 %}\n"
        "    {%- if ns.multi_step and message.role == 'user' and message.content is string"
        " and not (message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}\n"
        "        {%- set ns.multi_step = false %}\n        {%- set ns.last = index %}\n    {%- endif %}\n"
        "{%- endfor %}\n{%- for message in messages %}\n    {%- if message.role == 'assistant' %}\n"
        "        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}\n"
        "        {{- '<|im_start|>assistant\\n' + (content if loop.index0 > ns.last or loop.last else content) }}\n"
        "    {%- else %}\n        {{- '<|im_start|>' + message.role + '\\n' + message.content }}\n    {%- endif %}\n"
        "    {{- '<|im_end|>\\n' }}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n"
        "    {%- if enable_thinking is defined and enable_thinking is false %}\n"
        "        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- endif %}\n{%- endif %}"
    ),
    "smollm 3": (
        '{%- set today = strftime_now("%d %B %Y") -%}\n{%- set mode = "/think" if enable_thinking is not defined'
        ' or enable_thinking else "/no_think" -%}\n{{- "<|im_start|>system\\n" -}}\n'
        '{{- "Date: " ~ today ~ "\\nMode: " ~ mode ~ "\\n<|im_end|>\\n" -}}\n'
        '{%- for message in messages -%}\n{% generation %}\n{{- "<|im_start|>" + message.role + "\\n" -}}\n'
        '{{- message.content + "<|im_end|>\\n" -}}\n{% endgeneration %}\n{%- endfor -%}\n'
        '{%- if add_generation_prompt -%}\n{{ "<|im_start|>assistant\\n" }}\n'
        '{%- if mode == "/no_think" %}{{ "<think>\\n\\n</think>\\n" }}{% endif %}\n{%- endif -%}'
    ),
    "gemma": (
        "{{ bos_token }}\n{%- if messages[0]['role'] == 'system' -%}\n"
        "    {%- set first = messages[0]['content'] + '\n\n' -%}\n    {%- set loop_messages = messages[1:] -%}\n"
        "{%- else -%}\n    {%- set first = '' -%}\n    {%- set loop_messages = messages -%}\n{%- endif -%}\n"
        "{%- for message in loop_messages -%}\n    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}\n"
        "        {{ raise_exception('Roles must alternate') }}\n    {%- endif -%}\n"
        "    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}\n"
        "    {{ '<turn>' + role + '\n' + (first if loop.first else '') }}\n"
        "    {%- if message['content'] is string -%}\n        {{ message['content'] | trim }}\n    {%- endif -%}\n"
        "    {{ '</turn>\n' }}\n{%- endfor -%}\n"
        "{%- if add_generation_prompt -%}\n    {{'<turn>model\n'}}\n{%- endif -%}"
    ),
    "phi": (
        "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message"
        " and message['tools'] is not none %}{{ message['tools'] | tojson }}{% else %}"
        "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
    ),
    "granite": (
        "{%- set ns = namespace(system='', seen=0) %}\n{%- for message in messages %}\n"
        "  {%- if message.role != 'system' %}{% break %}{% endif %}\n  {%- set ns.system = message.content %}\n"
        "{%- endfor %}\n{%- if not ns.system %}"
        "{%- set ns.system = 'Date: ' + strftime_now('%B %d, %Y') %}{%- endif %}\n"
        "{{ '<|r|>system<|/r|>' + ns.system + '<|end|>\n' }}\n{%- for message in messages %}\n"
        "  {%- if message.role == 'system' %}{% continue %}{% endif %}\n"
        "  {{- '<|r|>' ~ message.role ~ '<|/r|>' ~ message.content ~ '<|end|>\n' }}\n"
        "  {%- set ns.seen = ns.seen + 1 %}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}{{- '<|r|>assistant<|/r|>' }}{%- endif %}"
    ),
    "mistral": (
        "{%- macro said(text) -%}{{ ' ' + text if text else '' }}{%- endmacro -%}\n"
        "{%- set pairs = messages | rejectattr('role', 'equalto', 'system') | list %}\n"
        "{{- bos_token }}\n{%- for message in pairs %}\n    {%- if message['role'] == 'user' %}\n"
        "        {{- '[INST]' + said(message['content']) + '[/INST]' }}\n"
        "    {%- elif message['role'] == 'assistant' %}\n        {{- said(message['content']) + eos_token }}\n"
        "    {%- else %}\n        {{- raise_exception('Only user and assistant') }}\n    {%- endif %}\n{%- endfor %}\n"
    ),
    "json and html": "{{ messages | tojson }}{{ messages | tojson(indent=2) }}"
    "{{ {'ä': '<b>'} | tojson(ensure_ascii=true) }}",
}
ASK, SYSTEM = {"role": "user", "content": " a <b> & ä?\n"}, {"role": "system", "content": "Be brief. "}
HISTORY = [ASK, {"role": "assistant", "content": "<think>x</think>\n\nb "}, ASK]
CONVERSATIONS = [[ASK], [SYSTEM, ASK], HISTORY, [SYSTEM, *HISTORY], [*HISTORY, HISTORY[1]], [HISTORY[1]]]


def outcome(render: Any) -> str:
    try:
        return str(render())
    except TemplateError as error:
        return f"rejected: {error}"


@pytest.mark.parametrize("thinking", [None, True, False])
@pytest.mark.parametrize("turns", CONVERSATIONS, ids=lambda turns: "-".join(turn["role"][0] for turn in turns))
@pytest.mark.parametrize("name", TEMPLATES)
def test_conversations_are_written_as_transformers_writes_them(
    name: str, turns: list[dict[str, str]], thinking: bool | None
) -> None:
    """With and without the opening of the answer, thinking or not, and with the same errors."""
    theirs = tiny_tokenizer(TEMPLATES[name])
    ours = TextSide(*fallback.parts_of(theirs))
    chosen = {} if thinking is None else {"enable_thinking": thinking}

    for opens in (True, False):
        expected = outcome(
            lambda opens=opens: theirs.apply_chat_template(turns, tokenize=False, add_generation_prompt=opens, **chosen)
        )
        found = outcome(lambda opens=opens: ours.render(turns, add_generation_prompt=opens, thinking=thinking))
        assert found == expected


@pytest.mark.parametrize("name", ["llama 3", "smollm 3", "granite"])
def test_a_template_is_told_the_given_date(name: str) -> None:
    """Tomorrow the same prompt is the same text."""
    tokenizer = TextSide(*fallback.parts_of(tiny_tokenizer(TEMPLATES[name])))

    texts = {tokenizer.render([ASK], date=datetime(2026, 1, day)) for day in (2, 2, 3)}

    assert len(texts) == 2
    assert all("2026" in text for text in texts)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% set n = namespace(_a=1) %}",
        "{% set n = namespace() %}{% set n.__class__ = 1 %}",
        "{{ strftime_now.__self__ }}",
    ],
)
def test_a_template_stays_in_its_sandbox(template: str) -> None:
    """What leads out of it is refused or is nothing."""
    assert outcome(lambda: rendered(template, [ASK])) == "" or outcome(lambda: rendered(template, [ASK])).startswith(
        "rejected"
    )


def backend(kind: str) -> Tokenizer:
    """Return a tokenizer with the pipeline of a family."""
    pieces = {token: number for number, token in enumerate(VOCABULARY)}
    if kind == "gemma":
        plain = ["<pad>", "<eos>", "<bos>", "<unk>", *(chr(code) for code in range(33, 127)), "▁", "▁a", "ab"]
        pieces = {piece: number for number, piece in enumerate([*plain, *(f"<0x{byte:02X}>" for byte in range(256))])}
        made = Tokenizer(
            models.BPE(pieces, [("▁", "a"), ("a", "b")], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
        )
        made.normalizer = normalizers.Replace(" ", "▁")
        made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        return made
    made = Tokenizer(models.BPE(pieces, [("Ċ", "Ċ"), ("Ġ", "Ġ")]))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind != "qwen2")
    steps = {
        "gpt2": [],
        "qwen2": [pre_tokenizers.Split(Regex(_QWEN), "isolated")],
        "digits": [pre_tokenizers.Digits(individual_digits=True)],
    }[kind]
    made.pre_tokenizer = pre_tokenizers.Sequence([*steps, byte_level]) if steps else byte_level
    made.normalizer = normalizers.NFC() if kind == "qwen2" else None
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return made


def written(folder: Path, kind: str, class_name: str) -> Path:
    """Write a folder with such a tokenizer that names a class."""
    make_folder(folder)
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}
    names = names if kind == "gemma" else {"eos_token": SPECIAL[2], "pad_token": SPECIAL[0], "unk_token": SPECIAL[0]}
    PreTrainedTokenizerFast(tokenizer_object=backend(kind), **names).save_pretrained(folder)
    facts = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps({**facts, "tokenizer_class": class_name}))
    return folder


CASES = [
    ("digits", "PreTrainedTokenizerFast", True),
    ("digits", "GPT2Tokenizer", False),
    ("gpt2", "GPT2Tokenizer", True),
    ("gpt2", "LlamaTokenizerFast", True),
    ("qwen2", "Qwen2Tokenizer", True),
    ("gpt2", "Qwen2Tokenizer", False),
    ("gemma", "GemmaTokenizerFast", True),
    ("gemma", "LlamaTokenizer", False),
]


@pytest.mark.parametrize(("kind", "class_name", "as_it_stands"), CASES)
def test_ids_are_those_of_transformers(kind: str, class_name: str, as_it_stands: bool, tmp_path: Path) -> None:
    """Whatever class a base names, also where that class reads its file otherwise than it is written."""
    folder = written(tmp_path / "base", kind, class_name)
    with fallback.quiet_transformers():
        theirs = AutoTokenizer.from_pretrained(folder)

    ours = TextSide.read(folder)

    assert is_read_as_it_stands(folder) is as_it_stands
    assert ours.names == theirs.special_tokens_map
    assert set(ours.special_ids) == set(theirs.all_special_ids)
    end = theirs.eos_token

    @given(st.text(max_size=30) | st.text(st.sampled_from(" \n\tab'12é😀"), max_size=20))
    @settings(max_examples=40, database=None)
    def texts_agree(text: str) -> None:
        for asked in (text, f"{text}{end} a{text}"):
            ids = ours.encode(asked)
            assert ids == theirs(asked, add_special_tokens=False)["input_ids"]
            assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)

    texts_agree()


def test_saved_tokenizer_is_read_again_by_both(tmp_path: Path) -> None:
    """Exports carry the tokenizer and the template that tuning used."""
    ours = TextSide(*fallback.parts_of(tiny_tokenizer()))
    ours.save(tmp_path)

    theirs, again = AutoTokenizer.from_pretrained(tmp_path), TextSide.read(tmp_path)

    text = "a\n\n5 <|im_end|> ä"
    assert ours.encode(text) == again.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
    assert ours.names == again.names == theirs.special_tokens_map
    assert ours.chat_template == again.chat_template == theirs.chat_template


def test_tokens_that_only_the_configuration_lists_are_added(tmp_path: Path) -> None:
    """Bases list tokens beside `tokenizer.json`; those that it lacks are special all the same."""
    folder = written(tmp_path / "base", "gpt2", "PreTrainedTokenizerFast")
    facts = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    added = {"content": "<|tool|>", "special": True, "lstrip": False, "rstrip": False, "normalized": False}
    facts |= {"added_tokens_decoder": {str(len(VOCABULARY)): {**added, "single_word": False}}}
    facts |= {"additional_special_tokens": ["<|tool|>"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts))

    ours, theirs = TextSide.read(folder), AutoTokenizer.from_pretrained(folder)

    assert ours.encode("a<|tool|>") == theirs("a<|tool|>", add_special_tokens=False)["input_ids"]
    assert set(ours.special_ids) == set(theirs.all_special_ids)


MIDNIGHT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("thinking", [None, True, False])
@pytest.mark.parametrize("turns", CONVERSATIONS[:4], ids=lambda turns: "-".join(turn["role"][0] for turn in turns))
@pytest.mark.parametrize("name", [*TEMPLATES])
def test_a_settled_template_writes_what_a_told_one_does(
    name: str, turns: list[dict[str, str]], thinking: bool | None
) -> None:
    """Whatever clock and whatever choice of thinking a program has that renders an export."""
    rendering = Rendering(MIDNIGHT, thinking)
    exported = tiny_tokenizer(settled(TEMPLATES[name], rendering))

    def theirs(**chosen: bool) -> str:
        return outcome(
            lambda: exported.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **chosen)
        )

    told = outcome(
        lambda: rendered(
            TEMPLATES[name],
            turns,
            add_generation_prompt=True,
            date=MIDNIGHT,
            **exported.special_tokens_map,
            **({} if thinking is None else {"enable_thinking": thinking}),
        )
    )
    assert theirs() == told
    if thinking is not None:
        assert theirs(enable_thinking=not thinking) == told


def test_settling_leaves_other_templates_alone() -> None:
    assert settled(TEMPLATES["phi"], Rendering(MIDNIGHT, False)) == TEMPLATES["phi"]
