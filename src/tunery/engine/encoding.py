"""
Encodes texts as token ids and decodes them, with one template for tuning and serving.

A prompt is the chat template with one user turn and the opening of the answer; an example is such a prompt, the output
and the token that ends a turn. Both come from the same call, so a served prompt has exactly the token ids that were
tuned on. Only the template writes control tokens: a text that spells one is encoded as text.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from tokenizers import Tokenizer as Backend

from tunery.data.checks import long_outputs
from tunery.engine.catalog import Catalog
from tunery.engine.chat_templates import asks_for_date, knows_thinking
from tunery.engine.rows import EncodedExample as EncodedExample
from tunery.engine.rows import shared_prefix_tokens as shared_prefix_tokens
from tunery.engine.tokenizer import Tokenizer
from tunery.errors import DatasetInvalid, InvalidArgument
from tunery.types import BASE_RENDERING, CatalogEntry, Rendering, TuningExample, Turn

KEPT_ENCODERS = 64  # of models that are rendered in their own way; made again in milliseconds
LOST_CHARACTER = "\ufffd"  # what a decoder writes for bytes that are not a character
_LOST_CHARACTER_IN_TOKENS = (
    "ï¿½",
    LOST_CHARACTER,
    "<0xEF><0xBF><0xBD>",
)  # tokens that really mean it: as bytes, as text, as fallback


class Encoder:
    """
    The template and tokenizer of one base.

    `window_tokens` is the longest sequence (prompt plus answer) that the base can read. `rendering` sets the date and
    the thinking of the template.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        window_tokens: int,
        rendering: Rendering = BASE_RENDERING,
    ) -> None:
        self.tokenizer = tokenizer
        self.window_tokens = window_tokens
        self.rendering = rendering
        self._control = ControlTokens(tokenizer)
        self.end_token_id = self._find_end_token()
        ends = (self.end_token_id, tokenizer.token_id("eos_token"))
        self.stop_token_ids = frozenset(token for token in ends if token is not None)

    def prompt(self, text_input: str, max_output_tokens: int = 1) -> list[int]:
        """Return the token ids of the prompt; raises InvalidArgument if the window is too small."""
        return self.conversation((_asked(text_input),), max_output_tokens)

    def conversation(self, turns: Sequence[Turn], max_output_tokens: int = 1) -> list[int]:
        """
        Return the token ids that precede the answer to a conversation; a prompt is a single user turn.

        Raises InvalidArgument when the window is too small or the base's template rejects these turns.
        """
        token_ids = self._encode(turns)
        limit = self.window_tokens - max_output_tokens
        if len(token_ids) > limit:
            raise InvalidArgument(
                f"The prompt has {len(token_ids):,} tokens; with {max_output_tokens:,} output tokens this base can read"
                f" {max(limit, 0):,}. Shorten it or request fewer output tokens."
            )
        return token_ids

    def example(self, example: TuningExample) -> EncodedExample:
        """
        Return the row of an example.

        A row longer than the window loses the end of its input, never the template or the answer (`was_cut`).
        Raises InvalidArgument if the template and the answer alone do not fit.
        """
        prompt = self._encode((_asked(example.text_input),))
        answer = self._answer(example, prompt)
        was_cut = len(prompt) + len(answer) > self.window_tokens
        if was_cut:
            prompt = self._cut_prompt(example.text_input, len(prompt), self.window_tokens - len(answer))
        return EncodedExample((*prompt, *answer), len(prompt), was_cut)

    def examples(self, examples: Sequence[TuningExample]) -> list[EncodedExample]:
        """
        Return the rows of examples; raises DatasetInvalid with every row, counted from 1, whose output does not fit.
        """
        if beyond := self.outputs_beyond_window(examples):
            raise DatasetInvalid("", long_outputs(beyond, self.window_tokens))
        return [self.example(example) for example in examples]

    def outputs_beyond_window(self, examples: Sequence[TuningExample]) -> dict[int, int]:
        """
        Return the number of tokens of template and output, by index, for each example that does not fit even without
        its input.
        """
        prompt = self._encode((_asked(""),))
        found = {}
        for place, example in enumerate(examples):
            if may_exceed(example.output, self.window_tokens):
                found[place] = len(prompt) + len(self._answer(TuningExample("", example.output), prompt))
        return {place: tokens for place, tokens in found.items() if tokens > self.window_tokens}

    def row_text(self, example: TuningExample) -> str:
        """Return an example as the base reads it: template, special tokens, answer."""
        return self.tokenizer.decode(self.example(example).token_ids)

    def answers(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the token ids of complete answers, each with its end token."""
        prompt = self._encode((_asked(""),))
        return [tuple(self._answer(TuningExample("", text), prompt)) for text in texts]

    def beginnings(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the token ids of texts that begin an answer, each by itself."""
        return [tuple(self._encode((), text)) for text in texts]

    def text(self, token_ids: Sequence[int]) -> str:
        """Return the text of answer tokens without special tokens."""
        return self.tokenizer.decode(token_ids, skip_special_tokens=True)

    def whole_text(self, token_ids: Sequence[int]) -> str:
        """Return the text of answer tokens like `text`, but without an incomplete character at the end."""
        text = self.text(token_ids)
        if not text.endswith(LOST_CHARACTER):
            return text
        plain = [token for token in token_ids if token not in self.tokenizer.special_ids]
        spelled = "".join(self.tokenizer.pieces(plain))
        return text if spelled.endswith(_LOST_CHARACTER_IN_TOKENS) else text.rstrip(LOST_CHARACTER)

    @property
    def template_settings(self) -> dict[str, object]:
        """Return what the template was told, as a task keeps it; the date only if the template asks for one."""
        date = self.rendering.date
        asked = {"template_date": f"{date:%Y-%m-%d}"} if date and asks_for_date(self.tokenizer.chat_template) else {}
        return {"thinking": self.rendering.thinking, **asked}

    @property
    def is_additive(self) -> bool:
        """Return whether the texts of token sequences can simply be concatenated, as with byte-level BPE."""
        return type(self.tokenizer.backend.decoder).__name__ == "ByteLevel"

    def rendered(self, turns: Sequence[Turn]) -> str:
        """Return the text that precedes the answer to a conversation, for use in other programs."""
        return self._render(*turns)

    def _render(self, *turns: Turn) -> str:
        said = [{"role": turn.role, "content": turn.text} for turn in turns]
        try:
            return self._written(said, add_generation_prompt=True)
        except TemplateError as error:  # templates reject turns that their model has not learned, such as a system turn
            raise InvalidArgument(f"The chat template of this base rejects these turns: {error}.") from error

    def _written(self, said: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = False) -> str:
        return self.tokenizer.render(
            said,
            add_generation_prompt=add_generation_prompt,
            date=self.rendering.date,
            thinking=self.rendering.thinking,
        )

    def _encode(self, turns: Sequence[Turn], output: str = "") -> list[int]:
        """Return the token ids of rendered turns followed by the beginning of an answer."""
        texts = [*(turn.text for turn in turns), output]
        if not self._control.are_spelled_in(texts):
            return self.tokenizer.encode(self._rendered(turns) + output)
        mark = _unused_character(texts)
        marked = [replace(turn, text=self._control.marked(turn.text, mark)) for turn in turns]
        return self._control.encode(self._rendered(marked) + self._control.marked(output, mark), mark)

    def _rendered(self, turns: Sequence[Turn]) -> str:
        return self._render(*turns) if turns else ""

    def _answer(self, example: TuningExample, prompt: list[int]) -> list[int]:
        whole = self._encode((_asked(example.text_input),), example.output)
        # SentencePiece marks the start of a text, so the true ids of the answer only follow from prompt + answer; if
        # both merge into one token at the border, the prompt has to stay as it will be served
        is_prefix = whole[: len(prompt)] == prompt
        return [*(whole[len(prompt) :] if is_prefix else self._encode((), example.output)), self.end_token_id]

    def _cut_prompt(self, text_input: str, prompt_tokens: int, limit: int) -> list[int]:
        text_ids = self._encode((), text_input)
        keep = len(text_ids) - (prompt_tokens - limit)
        while keep >= 0:
            prompt = self._encode((_asked(self.text(text_ids[:keep])),))
            if len(prompt) <= limit:
                return prompt
            keep -= len(prompt) - limit
        raise InvalidArgument(
            f"The output and the template alone exceed the {self.window_tokens:,} tokens of this base."
            " Shorten the output."
        )

    def _find_end_token(self) -> int:
        """
        Return the first token that the template writes after an answer if it is special, else the end-of-text token.
        """
        turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
        behind = self.tokenizer.encode(self._written(turns).rpartition("y")[2])
        if behind and behind[0] in self.tokenizer.special_ids:
            return behind[0]
        end = self.tokenizer.token_id("eos_token")
        if end is None:
            raise InvalidArgument("The tokenizer of this base has no end-of-text token, so the base cannot be tuned.")
        return end


class Encoders:
    """
    The encoders of one base: `plain`, and one for each other way in which its template can be rendered.

    A tuned model needs one of its own only if the template asks for the date, or it thinks.
    """

    def __init__(self, tokenizer: Tokenizer, window_tokens: int) -> None:
        self.plain = Encoder(tokenizer, window_tokens)
        self._others = lru_cache(KEPT_ENCODERS)(partial(Encoder, tokenizer, window_tokens))

    @classmethod
    def read(cls, entry: CatalogEntry, data_folder: Path) -> Encoders:
        """Return the encoders of a base without loading its weights."""
        return cls(Tokenizer.read(_folder_of(entry, data_folder)), entry.input_token_limit)

    def of(self, rendering: Rendering) -> Encoder:
        """Return the encoder for prompts that are rendered like this."""
        template = self.plain.tokenizer.chat_template
        date = rendering.date if asks_for_date(template) else None
        thinking = rendering.thinking if knows_thinking(template) else False
        told = Rendering(date, thinking)
        return self.plain if told == self.plain.rendering else self._others(told)


class ControlTokens:
    """
    The control tokens of a tokenizer, and how a text that spells one is encoded without it.

    A mark is inserted into such spellings before the template is rendered. Wherever the template then puts the text,
    anything that matches a control token was written by the template. A twin of the tokenizer has other, secret names
    for these tokens; to it, a spelling without its mark is ordinary text. Pieces, merges and all other ids are the
    same.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._backend = tokenizer.backend
        names = sorted(tokenizer.control_tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(name) for name in names) or r"(?!)")
        self._beginnings = frozenset(name[:end] for name in names for end in range(1, len(name)))
        self._longest = max(map(len, names), default=0)
        self._secret_names = {name: f"{secrets.token_hex(8)}-{place}" for place, name in enumerate(names)}

    def are_spelled_in(self, texts: Iterable[str]) -> bool:
        """
        Return whether a text contains a control token, or ends with the beginning of one that the following text may
        complete.
        """
        return any(self._pattern.search(self._normalized(text)) or self._open_end(text) for text in texts)

    def marked(self, text: str, mark: str) -> str:
        """Return the text with `mark` after the first character of each control token in it."""
        text = self._pattern.sub(lambda match: match[0][0] + mark + match[0][1:], text)
        length = self._open_end(text)
        return text[: len(text) - length + 1] + mark + text[len(text) - length + 1 :] if length else text

    def encode(self, rendered: str, mark: str) -> list[int]:
        """Return the ids of a rendering of marked texts."""
        renamed = self._pattern.sub(lambda match: self._secret_names[match[0]], rendered)
        return list(self._twin.encode(renamed.replace(mark, ""), add_special_tokens=False).ids)

    def _open_end(self, text: str) -> int:
        """Return the number of characters at the end of a text that may begin a control token."""
        lengths = range(min(self._longest, len(text)), 0, -1)
        return next((length for length in lengths if text[-length:] in self._beginnings), 0)

    def _normalized(self, text: str) -> str:
        normalizer = self._backend.normalizer
        return text if normalizer is None else f"{text}\n{normalizer.normalize_str(text)}"

    @cached_property
    def _twin(self) -> Backend:
        twin = Backend.from_str(json.dumps(_renamed(json.loads(self._backend.to_str()), self._secret_names)))
        assert all(twin.token_to_id(new) == self._backend.token_to_id(old) for old, new in self._secret_names.items())
        return twin


def _renamed(description: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return a tokenizer's JSON with other names for some tokens; no merge of plain text produces these names."""
    model = description["model"]
    for token in description["added_tokens"]:
        if token["content"] in names:
            token |= {"content": names[token["content"]], "normalized": False}
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(piece, piece): number for piece, number in model["vocab"].items()}
    else:  # Unigram
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        model["merges"] = [pair for pair in model["merges"] if names.keys().isdisjoint((*pair, "".join(pair)))]
    return {**description, "post_processor": None, "truncation": None, "padding": None}


def _unused_character(texts: Sequence[str]) -> str:
    return next(mark for mark in map(chr, range(0xF0000, 0xFFFFE)) if not any(mark in text for text in texts))


def _asked(text_input: str) -> Turn:
    return Turn("user", text_input)


_NO_LIMIT_TOKENS = 1 << 30
_TEMPLATE_SHARE = 0.5  # share of a window that templates always leave free; the longest have 300 tokens


def may_exceed(output: str, window_tokens: int) -> bool:
    """Return, without a tokenizer, whether an output may not fit a window: a token has at least one byte."""
    return len(output.encode()) > window_tokens * _TEMPLATE_SHARE


def outputs_beyond_window(entry: CatalogEntry, data_folder: Path, examples: Sequence[TuningExample]) -> dict[int, int]:
    """Like `Encoder.outputs_beyond_window`, but without the weights of a base; raises the errors of `token_counts`."""
    if not any(may_exceed(example.output, entry.input_token_limit) for example in examples):
        return {}
    return _encoder_of(entry, data_folder, entry.input_token_limit).outputs_beyond_window(examples)


def require_fitting_outputs(
    entry: CatalogEntry,
    data_folder: Path,
    examples: Sequence[TuningExample],
    rows: Sequence[int] | None = None,
    column: str = "output",
) -> None:
    """Raise DatasetInvalid with every row whose output does not fit a base; `rows` as in `checks.long_outputs`."""
    if tokens := outputs_beyond_window(entry, data_folder, examples):
        raise DatasetInvalid("", long_outputs(tokens, entry.input_token_limit, rows or None, column))


def token_counts(entry: CatalogEntry, data_folder: Path, examples: Sequence[TuningExample]) -> list[int]:
    """
    Count the tokens of each example, prompt plus answer, as the tuner encodes it.

    Raises FailedPrecondition when the base is not on this machine.
    """
    return [len(row.token_ids) for row in encoded(entry, data_folder, examples)]


def encoded(entry: CatalogEntry, data_folder: Path, examples: Sequence[TuningExample]) -> list[EncodedExample]:
    """Encode examples of any length; raises the errors of `token_counts`."""
    return _encoder_of(entry, data_folder, _NO_LIMIT_TOKENS).examples(examples)


def _encoder_of(entry: CatalogEntry, data_folder: Path, window_tokens: int) -> Encoder:
    return Encoder(Tokenizer.read(_folder_of(entry, data_folder)), window_tokens)


def _folder_of(entry: CatalogEntry, data_folder: Path) -> Path:
    return Catalog(data_folder).folder(entry.alias_of or entry.name)
