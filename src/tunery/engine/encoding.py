"""
Encodes texts as token ids and decodes them, with one template for tuning and serving.

A prompt is the chat template with one user turn and the opening of the answer; an example is that prompt, its output
and the token that ends a turn. Both come from the same call, so a served prompt has exactly the token ids that were
tuned on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from tunery.engine.catalog import Catalog
from tunery.errors import InvalidArgument
from tunery.types import CatalogEntry, TuningExample, Turn

# For bases without a chat template (pretrained, not instruction-tuned). Plain words that any tokenizer has; the line
# break before the answer keeps its first word a separate token; answers stop at the end-of-text token.
PLAIN_CHAT_TEMPLATE = (
    "{%- if bos_token %}{{ bos_token }}{% endif -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{ message['content'] + '\n\n' }}"
    "{%- elif message['role'] == 'user' -%}{{ 'Input:\n' + message['content'] + '\n' }}"
    "{%- else -%}{{ 'Output:\n' + message['content'] + eos_token }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'Output:\n' }}{%- endif -%}"
)


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """Token ids of prompt and answer in one row; the answer begins at `answer_offset` ≥ 1."""

    token_ids: tuple[int, ...]
    answer_offset: int
    was_cut: bool = False

    @property
    def answer_tokens(self) -> int:
        return len(self.token_ids) - self.answer_offset


def shared_prefix_tokens(rows: Sequence[EncodedExample]) -> int:
    """Return how many leading tokens all rows share, leaving each row at least one."""
    shortest = min(len(row.token_ids) for row in rows) - 1
    first = rows[0].token_ids
    for index in range(shortest):
        if any(row.token_ids[index] != first[index] for row in rows):
            return index
    return shortest


class Encoder:
    """
    The template and tokenizer of one base.

    `window_tokens` is the longest sequence (prompt plus answer) that the base can read.
    """

    def __init__(self, tokenizer: Any, window_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.window_tokens = window_tokens
        self.end_token_id = self._find_end_token()
        self.stop_token_ids = frozenset({self.end_token_id, *self._special_ends()})

    def prompt(self, text_input: str, max_output_tokens: int = 1) -> list[int]:
        """Return the token ids before the answer; raises InvalidArgument when the window is too small."""
        return self.conversation((_asked(text_input),), max_output_tokens)

    def conversation(self, turns: Sequence[Turn], max_output_tokens: int = 1) -> list[int]:
        """
        Return the token ids before the answer to a conversation; a prompt is a single turn of the user.

        Raises InvalidArgument when the window is too small or the base's template rejects these turns.
        """
        token_ids = self._tokenize(self.rendered(turns))
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
        Raises InvalidArgument when template and answer alone do not fit.
        """
        prompt = self._tokenize(self._render(_asked(example.text_input)))
        answer = self._answer(example, prompt)
        was_cut = len(prompt) + len(answer) > self.window_tokens
        if was_cut:
            prompt = self._cut_prompt(example.text_input, len(prompt), self.window_tokens - len(answer))
        return EncodedExample((*prompt, *answer), len(prompt), was_cut)

    def examples(self, examples: Sequence[TuningExample]) -> list[EncodedExample]:
        return [self.example(example) for example in examples]

    def row_text(self, example: TuningExample) -> str:
        """Return an example as the base reads it: template, special tokens, answer."""
        return str(self.tokenizer.decode(self.example(example).token_ids, clean_up_tokenization_spaces=False))

    def answers(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the token ids of complete answers, each with its end token."""
        prompt = self._tokenize(self._render(_asked("")))
        return [tuple(self._answer(TuningExample("", text), prompt)) for text in texts]

    def text(self, token_ids: Sequence[int]) -> str:
        """Return the text of answer tokens without special tokens."""
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    @property
    def is_additive(self) -> bool:
        """Return whether texts of token runs can be concatenated, as with byte-level BPE."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        return type(getattr(backend, "decoder", None)).__name__ == "ByteLevel"

    def rendered(self, turns: Sequence[Turn]) -> str:
        """Return the text before the answer to a conversation, as other programs need it."""
        return self._render(*turns)

    def _render(self, *turns: Turn) -> str:
        said = [{"role": turn.role, "content": turn.text} for turn in turns]
        try:
            return str(self.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True))
        except TemplateError as error:  # templates reject what their model has not learned, such as a system turn
            raise InvalidArgument(f"The chat template of this base rejects these turns: {error}.") from error

    def _tokenize(self, text: str) -> list[int]:
        # the template writes its own special tokens
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _answer(self, example: TuningExample, prompt: list[int]) -> list[int]:
        whole = self._tokenize(self._render(_asked(example.text_input)) + example.output)
        # SentencePiece marks the start of a text, so the answer's true ids only follow from prompt + answer; where both
        # merge into one token at the border, the prompt must stay as it will be served
        is_prefix = whole[: len(prompt)] == prompt
        return [*(whole[len(prompt) :] if is_prefix else self._tokenize(example.output)), self.end_token_id]

    def _cut_prompt(self, text_input: str, prompt_tokens: int, limit: int) -> list[int]:
        text_ids = self._tokenize(text_input)
        keep = len(text_ids) - (prompt_tokens - limit)
        while keep >= 0:
            prompt = self._tokenize(self._render(_asked(self.text(text_ids[:keep]))))
            if len(prompt) <= limit:
                return prompt
            keep -= len(prompt) - limit
        raise InvalidArgument(
            f"The output and the template alone exceed the {self.window_tokens:,} tokens of this base."
            " Shorten the output."
        )

    def _find_end_token(self) -> int:
        """
        Return the first token the template writes after an answer if it is special, else the end-of-text token.
        """
        turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
        rendered = str(self.tokenizer.apply_chat_template(turns, tokenize=False))
        behind = self._tokenize(rendered.rpartition("y")[2])
        if behind and behind[0] in self.tokenizer.all_special_ids:
            return int(behind[0])
        if self.tokenizer.eos_token_id is None:
            raise InvalidArgument("The tokenizer of this base has no end-of-text token, so the base cannot be tuned.")
        return int(self.tokenizer.eos_token_id)

    def _special_ends(self) -> set[int]:
        return {int(self.tokenizer.eos_token_id)} if self.tokenizer.eos_token_id is not None else set()


def _asked(text_input: str) -> Turn:
    return Turn("user", text_input)


_NO_LIMIT_TOKENS = 1 << 30


def token_counts(entry: CatalogEntry, data_folder: Path, examples: Sequence[TuningExample]) -> list[int]:
    """
    Count the tokens of each example, prompt plus answer, as the tuner encodes it.

    Raises FailedPrecondition when the base is not on this machine.
    """
    return [len(row.token_ids) for row in encoded(entry, data_folder, examples)]


def encoded(entry: CatalogEntry, data_folder: Path, examples: Sequence[TuningExample]) -> list[EncodedExample]:
    """Encode examples of any length; raises as `token_counts` does."""
    from transformers import AutoTokenizer

    folder = Catalog(data_folder).folder(entry.alias_of or entry.name)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_CHAT_TEMPLATE
    encoder = Encoder(tokenizer, _NO_LIMIT_TOKENS)
    return encoder.examples(examples)
