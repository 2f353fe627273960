"""
A base model in memory: network, encoder, and the slots that hold adapters.

One resident base serves any number of tuned models and one tuner at a time.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

from tunery import config
from tunery.engine import base, conversion
from tunery.engine.adapter import read_adapter
from tunery.engine.answers.generator import Generator, Piece, Request
from tunery.engine.answers.guides import Guides
from tunery.engine.answers.native.step import CompiledStep
from tunery.engine.answers.prefixes import PrefixStore
from tunery.engine.catalog import Catalog
from tunery.engine.conversion import has_four_bit_weights
from tunery.engine.encoding import EncodedExample, Encoder, Encoders, shared_prefix_tokens
from tunery.engine.integrity import BaseCheck
from tunery.engine.lanes import as_one_lane
from tunery.engine.lora import Adapter
from tunery.engine.network import Network
from tunery.engine.pull import pull
from tunery.engine.tuner import Recipe, Tuner
from tunery.errors import DataLoss, InvalidArgument
from tunery.types import (
    BASE_RENDERING,
    AnswerForm,
    Hyperparameters,
    Rendering,
    SamplingSettings,
    TuningExample,
    WeightFormat,
)

_log = logging.getLogger("tunery.engine")

ASKED_TOKENS = 16  # of answers that only have to be distinguished
# Share of the layers after which hidden states tell most about a text: docs/experiments.md, "Sentence embeddings and
# hidden states".
STATE_DEPTH = 2 / 3
STATE_TOKENS = 512  # of a prompt that its mean state is taken of
STATE_PREAMBLE_TOKENS = 128  # before them that are read, so that long instructions are not read for every prompt
# most tokens of prompts read together for their mean states, unless one has more; other users wait meanwhile
JOINT_TOKENS = 512


class ResidentBase:
    """A loaded base. Slot 0 belongs to the tuner, the others to tuned models."""

    check: BaseCheck | None = None  # check of its files; None if it is not in a catalog

    def __init__(self, loaded: base.Base) -> None:
        self.name, self.digest, self.folder, self.entry = loaded.name, loaded.digest, loaded.folder, loaded.entry
        self.network, self.notice = loaded.network, loaded.notice
        self.encoders = Encoders(loaded.tokenizer, loaded.window_tokens)
        self.encoder = self.encoders.plain
        self._slots = count(1)
        self._renderings: dict[int | None, Rendering] = {}
        self.prefixes = PrefixStore()
        self.guides = Guides(self.encoder)
        self.compiled: CompiledStep | None = None
        if isinstance(self.network, Network):
            reads = partial(conversion.read_four_bit, self.folder)
            self.compiled = CompiledStep.of(self.network, reads if has_four_bit_weights(self.folder) else None)

    def encoder_for(self, rendering: Rendering) -> Encoder:
        """Return the encoder for prompts that are rendered like this."""
        return self.encoders.of(rendering)

    def rendering_of(self, slot: int | None) -> Rendering:
        """Return how the prompts for a slot are rendered."""
        return self._renderings.get(slot, self.encoder.rendering)

    def add(self, adapter: Adapter, rendering: Rendering = BASE_RENDERING) -> int:
        """Store an adapter and how its prompts are rendered; return its slot."""
        slot = next(self._slots)
        self.network.install(slot, adapter)
        self._renderings[slot] = rendering
        return slot

    def remove(self, slot: int) -> None:
        self.prefixes.forget(slot)
        self.network.remove(slot)
        self._renderings.pop(slot, None)

    def require_whole(self, *, waits: bool = True) -> None:
        """Raise DataLoss if a file of the base is damaged, and drop the base from memory; see `BaseCheck`."""
        if self.check is None:
            return
        try:
            self.check.require(waits=waits)
        except DataLoss:
            resident_base.cache_clear()
            raise

    def tuner(
        self,
        examples: Sequence[TuningExample],
        hyperparameters: Hyperparameters,
        *,
        folder: Path,
        held_out: Sequence[TuningExample] = (),
        seed: int = 0,
        recipe: Recipe | None = None,
        source: Path | None = None,
        rendering: Rendering = BASE_RENDERING,
    ) -> Tuner:
        """
        Return a tuner for these examples, resuming from a checkpoint in `folder` if there is one.

        `source` is the folder of an adapter to start from, with the same rank and layers.
        """
        encoder = self.encoder_for(rendering)
        return Tuner(
            self.network,
            encoder.examples(examples),
            hyperparameters,
            folder=folder,
            base_name=self.name,
            base_digest=self.digest,
            held_out=encoder.examples(held_out),
            seed=seed,
            recipe=recipe,
            source=None if source is None else read_adapter(source, self.network),
            template_settings=self._told(rendering),
        )

    def _told(self, rendering: Rendering) -> dict[str, object]:
        """Return what a task keeps of its rendering, also where the template asks for nothing."""
        return {**self.encoder_for(rendering).template_settings, "thinking": rendering.thinking}

    def losses(self, rows: Sequence[EncodedExample], adapter: Adapter | None = None) -> list[float]:
        """Return the mean loss of each row over its answer tokens, in nats; uses the slot of the tuner."""
        if adapter is not None:
            self.network.install(0, adapter)
        try:
            return [self.network.loss([row]) / row.answer_tokens for row in rows]
        finally:
            self.network.remove(0)

    def mean_states(
        self, texts: Sequence[str], preamble: str = "", rendering: Rendering | None = None
    ) -> Iterator[list[list[float]]]:
        """
        Yield the mean of the base's hidden states for each prompt, a few prompts at a time, for classifiers.

        The tokens of a `preamble` are left out of the mean where a text begins with it, and so are those after
        STATE_TOKENS more; of a long preamble only the last STATE_PREAMBLE_TOKENS are read.
        """
        encoder = self.encoder_for(rendering or self.encoder.rendering)
        beginning = encoder.example(TuningExample(preamble, ""))
        rows: list[EncodedExample] = []
        for text in texts:
            # the end of an empty answer is predicted by the last token of the prompt
            whole = encoder.example(TuningExample(text, ""))
            first = shared_prefix_tokens([beginning, whole])
            start, end = max(0, first - STATE_PREAMBLE_TOKENS), min(first + STATE_TOKENS, whole.answer_offset)
            row = EncodedExample((*whole.token_ids[start:end], encoder.end_token_id), min(first, end - 1) + 1 - start)
            if rows and _joint_tokens([*rows, row]) > JOINT_TOKENS:
                yield self.network.mean_states(rows, STATE_DEPTH).tolist()
                rows = []
            rows.append(row)
        if rows:
            yield self.network.mean_states(rows, STATE_DEPTH).tolist()

    def stream(
        self,
        texts: Sequence[str],
        settings: SamplingSettings | Sequence[SamplingSettings],
        slot: int | None = None,
        rendering: Rendering | None = None,
    ) -> Iterator[Piece]:
        """
        Yield pieces of the answers to `texts`, numbered like the texts; breaking out of the loop stops the work.

        `settings` are the same for all, or one for each. Prompts are rendered with `rendering`, by default that of the
        slot.
        """
        encoder = self.encoder_for(rendering or self.rendering_of(slot))
        each = [settings] * len(texts) if isinstance(settings, SamplingSettings) else settings
        requests = [
            Request(tuple(encoder.prompt(text, own.max_output_tokens)), own, slot)
            for text, own in zip(texts, each, strict=True)
        ]
        return self.generator().answer(requests)

    def sample(
        self,
        adapter: Adapter,
        texts: Sequence[str],
        max_output_tokens: int,
        rendering: Rendering = BASE_RENDERING,
        *,
        seconds: float = math.inf,
    ) -> list[str]:
        """
        Return answers from an adapter that is being tuned, as far as they have come after this many seconds.

        They are generated from the weights used for tuning, since the compact weights that make answers fast would take
        additional memory. Raises InvalidArgument for a text that leaves no room for an answer.
        """
        settings, end = SamplingSettings(max_output_tokens=max_output_tokens), time.monotonic() + seconds
        slot, encoder = self.add(Adapter(adapter.shape, adapter.flat.detach().clone())), self.encoder_for(rendering)
        try:
            requests = [Request(tuple(encoder.prompt(text, max_output_tokens)), settings, slot) for text in texts]
            answers = [""] * len(texts)
            with as_one_lane():
                for piece in Generator(self.network, self.encoder, guides=self.guides).answer(requests):
                    answers[piece.number] += piece.text
                    if time.monotonic() > end:
                        break
            return answers
        finally:
            self.remove(slot)

    def asked(
        self,
        examples: Sequence[TuningExample],
        adapter: Adapter,
        places: Sequence[int],
        *,
        rendering: Rendering = BASE_RENDERING,
    ) -> list[str]:
        """Return the beginnings of an adapter's answers to these examples; nothing if there are none."""
        try:
            texts = [examples[place].text_input for place in places]
            answers = self.sample(adapter, texts, ASKED_TOKENS, rendering)
        except Exception as error:  # noqa: BLE001  # a row too long, too little memory: never the end of a job
            _log.info("Answers were not compared: %s", error)
            return []
        return [answer.strip() for answer in answers]

    def generator(self) -> Generator:
        """Return an empty generator; the generators of a resident base share cached prefixes."""
        return Generator(self.network, self.encoder, compiled=self.compiled, prefixes=self.prefixes, guides=self.guides)

    def answers(
        self,
        texts: Sequence[str],
        settings: SamplingSettings,
        slot: int | None = None,
        rendering: Rendering | None = None,
    ) -> list[str]:
        """Return the complete answers to `texts`; see `stream`."""
        answers = [""] * len(texts)
        for piece in self.stream(texts, settings, slot, rendering):
            answers[piece.number] += piece.text
        return answers


@lru_cache(maxsize=1)
def resident_base(
    name: str, data_folder: Path, dtype: str | None = None, weights: WeightFormat = WeightFormat.AUTO
) -> ResidentBase:
    """Return a base of the catalog and keep it in memory for the next call; see `loaded_base`."""
    resident_base.cache_clear()  # the earlier one goes before another comes, since memory may not hold both
    return loaded_base(name, data_folder, dtype, weights)


def kept_as(weights: str, dtype: str | None = None) -> tuple[Any, ...]:
    """Return the other arguments of `resident_base`, in one form, because a base is kept under its arguments."""
    return () if dtype is None and weights == WeightFormat.AUTO else (dtype, WeightFormat(weights))


def loaded_base(
    name: str, data_folder: Path, dtype: str | None = None, weights: WeightFormat = WeightFormat.AUTO
) -> ResidentBase:
    """
    Load a base of the catalog into memory, pulling it first if it is missing.

    `dtype` is "bfloat16", "float32", or None for the faster one on this machine; `weights` as in `base.chosen_format`.
    Raises DataLoss for damaged files.
    """
    entry = pull(name, data_folder, config.default_base_model())
    check = BaseCheck(Catalog(data_folder, config.default_base_model()), entry.alias_of or entry.name)
    device = base.chosen_device(config.device())
    chosen = base.device_dtype(device) if dtype is None else getattr(torch, dtype)
    try:
        resident = ResidentBase(base.load(entry, data_folder, dtype=chosen, device=device, weights=weights))
    except Exception:
        check.require(waits=True)  # a damaged file is the better explanation
        raise
    resident.check = check
    resident.require_whole(waits=not check.is_large)
    return resident


class ResidentAnswering:
    """
    Answers of a base in memory with the adapter in a slot, or without one if the slot is None.

    Keeps a reference to `owner`, because an adapter is removed from the base together with the model it belongs to.
    `rendering` is by default that of the slot; a prompted base gets the date of the tuned model it is compared with.
    """

    def __init__(
        self,
        resident: ResidentBase,
        slot: int | None = None,
        owner: object = None,
        rendering: Rendering | None = None,
    ) -> None:
        self._resident, self._slot, self._owner = resident, slot, owner
        self._rendering = rendering or resident.rendering_of(slot)

    def fits(self, prompt: str, max_output_tokens: int) -> bool:
        """Return whether the window fits a prompt and this many output tokens."""
        try:
            self._resident.encoder_for(self._rendering).prompt(prompt, max_output_tokens)
        except InvalidArgument:
            return False
        return True

    def answers(self, prompts: Sequence[str], max_output_tokens: int, form: AnswerForm | None = None) -> list[str]:
        """Return the complete answers."""
        settings = SamplingSettings(max_output_tokens=max_output_tokens, form=form)
        return self._resident.answers(prompts, settings, self._slot, self._rendering)

    def label_chances(self, prompts: Sequence[str], labels: Sequence[str]) -> list[Mapping[str, float]]:
        """Return the probability of each label after each prompt."""
        settings = SamplingSettings(max_output_tokens=1, form=AnswerForm(labels=tuple(labels)))
        found: list[Mapping[str, float]] = [{}] * len(prompts)
        for piece in self._resident.stream(prompts, settings, self._slot, self._rendering):
            found[piece.number] = dict(piece.label_probabilities)
        return found

    def mean_states(self, prompts: Sequence[str], preamble: str) -> list[list[float]]:
        """Return the mean hidden state of the base for each prompt; see `ResidentBase.mean_states`."""
        return [state for part in self._resident.mean_states(prompts, preamble, self._rendering) for state in part]


def _joint_tokens(rows: Sequence[EncodedExample]) -> int:
    """Return how many tokens are read for rows whose common beginning is read once."""
    prefix = shared_prefix_tokens(rows) if len(rows) > 1 else 0
    return prefix + sum(len(row.token_ids) - prefix for row in rows)
