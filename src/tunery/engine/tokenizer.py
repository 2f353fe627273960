"""
Reads the tokenizer of a base from `tokenizer.json`: its pieces, the names of its special tokens, its chat template.

A few classes of transformers build their own pipeline instead of using the one in the file. If it differs, the
tokenizer is loaded through transformers (`fallback.py`), so that texts get the ids the base was trained with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from tunery.engine.chat_templates import rendered
from tunery.files import write_json

FILE, CONFIG, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"

# For bases without a chat template (pretrained, not instruction-tuned). The words are ones that any tokenizer has; the
# line break before the answer makes its first word a separate token; answers stop at the end-of-text token.
PLAIN_CHAT_TEMPLATE = (
    "{%- if bos_token %}{{ bos_token }}{% endif -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{ message['content'] + '\n\n' }}"
    "{%- elif message['role'] == 'user' -%}{{ 'Input:\n' + message['content'] + '\n' }}"
    "{%- else -%}{{ 'Output:\n' + message['content'] + eos_token }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'Output:\n' }}{%- endif -%}"
)


class Tokenizer:
    """
    The tokenizer of one base and its chat template; a base without one gets `PLAIN_CHAT_TEMPLATE`.

    `names` has the special tokens with a name, such as `eos_token`; `extra` has the other special tokens.
    """

    def __init__(
        self, backend: Backend, names: Mapping[str, str], extra: Sequence[str] = (), chat_template: str | None = None
    ) -> None:
        backend.no_truncation()
        backend.no_padding()
        self.backend, self.names, self.extra = backend, dict(names), tuple(extra)
        self.chat_template = chat_template or PLAIN_CHAT_TEMPLATE
        known = {token.content for token in backend.get_added_tokens_decoder().values()}
        missing = [name for name in dict.fromkeys((*names.values(), *extra)) if name not in known]
        backend.add_tokens([AddedToken(name, special=True, normalized=False) for name in missing])

    @classmethod
    def read(cls, folder: Path) -> Tokenizer:
        """Read the tokenizer of a folder; raises ValueError or OSError for one that cannot be read."""
        if not is_read_as_it_stands(folder):
            from tunery.engine.fallback import tokenizer_parts

            return cls(*tokenizer_parts(folder))
        facts = _facts(folder)
        backend = Backend.from_file(str(folder / FILE))
        known = {token.content for token in backend.get_added_tokens_decoder().values()}
        added = [AddedToken(**token) for token in _added(facts) if token["content"] not in known]
        backend.add_tokens(added)
        extra = facts.get("extra_special_tokens") or facts.get("additional_special_tokens") or ()
        named = {**facts, **extra} if isinstance(extra, dict) else facts
        names = {key: _content(value) for key, value in named.items() if key.endswith("_token") and _is_token(value)}
        others = [] if isinstance(extra, dict) else [_content(token) for token in extra]
        return cls(backend, names, others, _template(folder, facts))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text that contains its own special tokens."""
        return list(self.backend.encode(text, add_special_tokens=False).ids)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        return str(self.backend.decode(list(token_ids), skip_special_tokens=skip_special_tokens))

    def pieces(self, token_ids: Sequence[int]) -> list[str]:
        """Return the spellings of tokens in the vocabulary."""
        return [self.backend.id_to_token(token) or "" for token in token_ids]

    def render(
        self,
        turns: Sequence[Mapping[str, str]],
        *,
        add_generation_prompt: bool = False,
        date: datetime | None = None,
        thinking: bool | None = None,
    ) -> str:
        """
        Return a conversation, messages with `role` and `content`, as the chat template renders it.

        `thinking` None leaves the choice to the template. Raises the errors of `chat_templates.rendered`.
        """
        chosen = {} if thinking is None else {"enable_thinking": thinking}
        return rendered(
            self.chat_template, turns, add_generation_prompt=add_generation_prompt, date=date, **self.names, **chosen
        )

    def token_id(self, name: str) -> int | None:
        """Return the id of a token by its name, such as `eos_token`."""
        return self.backend.token_to_id(self.names[name]) if name in self.names else None

    @property
    def special_ids(self) -> frozenset[int]:
        """Return the ids of the tokens that are special by name or listed as such."""
        found = map(self.backend.token_to_id, (*self.names.values(), *self.extra))
        return frozenset(token for token in found if token is not None)

    @property
    def control_tokens(self) -> list[str]:
        """Return the tokens that do not stand for text."""
        return [token.content for token in self.backend.get_added_tokens_decoder().values() if token.special]

    def save(self, folder: Path) -> None:
        """Write the files from which transformers and `read` build the same tokenizer."""
        self.backend.save(str(folder / FILE))
        facts: dict[str, object] = {"tokenizer_class": "PreTrainedTokenizerFast", **self.names}
        if self.extra:
            facts["extra_special_tokens"] = list(self.extra)
        write_json(folder / CONFIG, {**facts, "clean_up_tokenization_spaces": False})
        (folder / TEMPLATE).write_text(self.chat_template, "utf-8")


# Classes that always use the file's pipeline, and families for which transformers does so whatever class is named
_PLAIN_CLASSES = frozenset({"TokenizersBackend", "PreTrainedTokenizer"})
_PLAIN_FAMILIES = frozenset({"granite", "olmo2", "olmo3", "phi3"})
# The pipelines that the other classes build, as far as there are files with the same pipeline
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PIPELINES: dict[str, tuple[object, object]] = {
    "GPT2Tokenizer": (None, _BYTES),
    "Qwen2Tokenizer": (
        {"type": "NFC"},
        {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": _QWEN}, "behavior": "Isolated", "invert": False},
                {**_BYTES, "use_regex": False},
            ],
        },
    ),
    "GemmaTokenizer": (
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
    ),
}
# The names that a class uses if the configuration gives none
_END = "<|endoftext|>"
_NAMES_OF_CLASSES = {
    "GPT2Tokenizer": {"bos_token": _END, "eos_token": _END, "unk_token": _END},
    "Qwen2Tokenizer": {"eos_token": _END, "unk_token": _END, "pad_token": _END},
    "GemmaTokenizer": {
        "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"
    },
}  # fmt: skip


def is_read_as_it_stands(folder: Path) -> bool:
    """Return whether transformers' tokenizer for this folder uses the pipeline of its `tokenizer.json`."""
    if not (folder / FILE).is_file() or not (folder / CONFIG).is_file():
        return False
    named = _class_of(json.loads((folder / CONFIG).read_text("utf-8")))
    config = folder / "config.json"
    family = json.loads(config.read_text("utf-8")).get("model_type") if config.is_file() else None
    if named in _PLAIN_CLASSES or family in _PLAIN_FAMILIES:
        return True
    description = json.loads((folder / FILE).read_text("utf-8"))
    if named == "LlamaTokenizer" and family != "mistral":
        return '"ByteLevel"' in json.dumps(description["pre_tokenizer"])
    return named in _PIPELINES and _PIPELINES[named] == _pipeline(description)


def _pipeline(description: Mapping[str, Any]) -> tuple[object, object] | None:
    model = description["model"]
    if model.get("type") != "BPE" or model.get("ignore_merges"):
        return None
    return description.get("normalizer"), _without_offsets(description.get("pre_tokenizer"))


def _without_offsets(part: Any) -> Any:
    """Return a part of a pipeline without settings that do not affect ids."""
    if isinstance(part, list):
        return [_without_offsets(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {key: _without_offsets(value) for key, value in part.items() if key != "trim_offsets"}


def _facts(folder: Path) -> dict[str, Any]:
    """
    Return `tokenizer_config.json` with the names of its class added and, if it lists no added tokens, those of the
    older file.
    """
    facts: dict[str, Any] = json.loads((folder / CONFIG).read_text("utf-8"))
    older = folder / "special_tokens_map.json"
    if "added_tokens_decoder" not in facts and older.is_file():
        facts |= json.loads(older.read_text("utf-8"))
    return {**_NAMES_OF_CLASSES.get(_class_of(facts), {}), **facts}


def _class_of(facts: Mapping[str, Any]) -> str:
    return str(facts.get("tokenizer_class") or "").removesuffix("Fast")


def _added(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = facts.get("added_tokens_decoder") or {}
    return [{k: v for k, v in listed[number].items() if k != "__type"} for number in sorted(listed, key=int)]


def _is_token(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and "content" in value)


def _content(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token)


def _template(folder: Path, facts: Mapping[str, Any]) -> str | None:
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text("utf-8")
    stated = facts.get("chat_template")
    if isinstance(stated, list):
        return next((str(named["template"]) for named in stated if named.get("name") == "default"), None)
    return stated if isinstance(stated, str) else None
