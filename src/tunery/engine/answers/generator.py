"""
Generates answers: prompts in, pieces of text out, many requests with different adapters in one batch.

Requests are submitted and dropped between steps; a step reads new prompts or decodes one token for every running row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import torch

from tunery.engine.answers.cache import DecodeLayout, KeyValueCache, PrefillLayout, capacity_tokens
from tunery.engine.answers.drawing import Lookup, TextStream, next_token
from tunery.engine.answers.guides import Guide, Guides
from tunery.engine.answers.labels import LabelScoring, calibrated, chosen_label
from tunery.engine.answers.native.step import CompiledStep
from tunery.engine.answers.prefixes import PrefixStore
from tunery.engine.attention import Trade
from tunery.engine.encoding import Encoder
from tunery.engine.fallback import FallbackNetwork
from tunery.engine.lanes import FirstLane, Handover, SecondLane
from tunery.engine.lora import Adapter, RowGroup
from tunery.engine.network import Network
from tunery.engine.packing import lane, pack
from tunery.engine.rows import EncodedExample
from tunery.errors import NotFound
from tunery.types import SamplingSettings, TokenLogprob

MAX_ROWS = 16  # rows decoded together; with more, a step of the default base is limited by products, not by memory
MAX_HELD = 16  # steps that a free place waits for other places
MAX_GUESSES = 3  # in 4 bits, four rows take 1.4 times as long as one, see `products`
CACHE_BYTES = 1 << 30  # for keys and values; 22,700 tokens of the default base in float32
PREFILL_TOKENS = 2048  # tokens of prompts that are read together
LANE_TOKENS = 32  # least tokens of a prompt read in two lanes; both read all weights, which takes longer for fewer
# Room in the cache for an answer when it begins. Most answers need less; with room for the whole window, only two
# answers would fit at a time.
RESERVED_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt, the slot of its adapter (None: the plain base) and how to sample the answer."""

    prompt: tuple[int, ...]
    settings: SamplingSettings
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """New text of a request; `finish_reason` "STOP" or "MAX_TOKENS" comes with the last piece."""

    number: int
    text: str
    finish_reason: str | None = None
    tokens: int = 0  # in the answer so far
    label_probabilities: tuple[tuple[str, float], ...] = ()  # only for a closed set of labels, the likeliest first
    logprobs: tuple[TokenLogprob, ...] = ()  # of the tokens since the last piece, on request


@dataclass(slots=True)
class _ChosenLabel:
    """
    A label that was chosen and is now read token by token for its log probabilities; `text` is said at the end, unless
    it is None and each token is said as it comes.
    """

    tokens: list[int]
    probabilities: tuple[tuple[str, float], ...]
    text: str | None


@dataclass(eq=False, slots=True)
class _Row:
    number: int
    request: Request
    stream: TextStream
    random: torch.Generator
    lookup: Lookup
    guide: Guide | None = None
    labels: LabelScoring | None = None
    tokens: list[int] = field(default_factory=list)
    label: _ChosenLabel | None = None
    logprobs: list[TokenLogprob] = field(default_factory=list)  # of the tokens since the last piece
    shown_characters: int = 0

    @property
    def token_ids(self) -> tuple[int, ...]:
        return (*self.request.prompt, *self.tokens)

    @property
    def longest(self) -> int:
        """The number of tokens for which there has to be room before the row begins."""
        left = self.request.settings.max_output_tokens - len(self.tokens)
        return len(self.request.prompt) + len(self.tokens) + min(left, RESERVED_TOKENS)


class Generator:
    """The running answers of one network: call `submit`, then `step` until `is_idle`, and `drop` at any time."""

    def __init__(
        self,
        network: Network | FallbackNetwork,
        encoder: Encoder,
        *,
        compiled: CompiledStep | None = None,
        prefixes: PrefixStore | None = None,
        guides: Guides | None = None,
        max_rows: int = MAX_ROWS,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.network, self.encoder, self.max_rows = network, encoder, max_rows
        self._compiled, self._prefixes = compiled, prefixes
        self._guides = guides or Guides(encoder)
        dtype = network.dtype if compiled is None else torch.float32
        self._cache_bytes = cache_bytes
        self._token_bytes = network.token_bytes(dtype) if isinstance(network, Network) else 0
        self.others_bytes = 0  # the part of the limit that other generators use at the moment
        self._waiting: list[_Row] = []
        self._choosing: list[_Row] = []  # whose labels are being scored
        self._running: list[_Row] = []  # in slot order of the cache
        self._cache = KeyValueCache(dtype)
        self._numbers = 0
        self._has_read = False  # whether the last step read prompts
        self._held = 0  # steps in which there was room for some waiting rows, but not for all
        self.drawn_tokens = 0  # of all answers so far

    @property
    def is_idle(self) -> bool:
        return not (self._waiting or self._choosing or self._running)

    @property
    def waiting(self) -> list[int]:
        """Return the numbers of requests that have not started."""
        return [row.number for row in self._waiting]

    @property
    def cache_bytes(self) -> int:
        """Return how many bytes the keys and values of the running rows take."""
        return self._cache.bytes

    def submit(self, request: Request) -> int:
        """
        Queue a request and return the number that its pieces carry.

        Raises InvalidArgument for a constraint that cannot be enforced, NotFound for a slot without an adapter, since
        otherwise the plain base would answer instead without anyone noticing.
        """
        if request.slot is not None and request.slot not in self.network.adapters:
            raise NotFound(f"There is no adapter in slot {request.slot}; it was removed with its model.")
        form = request.settings.form
        guide = None if form is None or form.labels else self._guides.of(form)
        labels = None
        if form is not None and form.labels:
            tokens = (self.encoder.beginnings if form.are_beginnings else self.encoder.answers)(form.labels)
            labels = LabelScoring(self.network, request.prompt, tokens, request.slot)
        self._numbers += 1
        random = torch.Generator().manual_seed(request.settings.seed)
        stops, is_additive = request.settings.stop_sequences, self.encoder.is_additive
        stream = TextStream(self.encoder.text, self.encoder.whole_text, stops, is_additive=is_additive)
        self._waiting.append(_Row(self._numbers, request, stream, random, Lookup(request.prompt), guide, labels))
        return self._numbers

    @torch.inference_mode()
    def drop(self, number: int) -> None:
        """Forget a request; its row is free for the next step."""
        self._waiting = [row for row in self._waiting if row.number != number]
        self._choosing = [row for row in self._choosing if row.number != number]
        for row in [row for row in self._running if row.number == number]:
            self._free(row)

    @torch.inference_mode()
    def step(self) -> list[Piece]:
        """
        Read waiting prompts or decode one token of every running row, in turn; return the new text.

        A step does not do both, because other users may have to wait for it.
        """
        pieces = self._choose_labels()
        if not self.network.is_packed:
            return pieces + self._step_uncached()
        self._make_room()
        running, is_reading = len(self._running), not self._has_read
        if is_reading:
            pieces += self._admit()
        self._has_read = is_reading and len(self._running) > running
        if self._running and not self._has_read:
            pieces += self._decode()
        return pieces

    @property
    def _cache_tokens(self) -> int:
        return max(0, self._cache_bytes - self.others_bytes) // self._token_bytes if self._token_bytes else 0

    def answer(self, requests: Sequence[Request]) -> Iterator[Piece]:
        """
        Yield the pieces of these requests as they come, numbered 0, 1, ...; breaking out of the loop drops the rest.
        """
        numbers = {self.submit(request): index for index, request in enumerate(requests)}
        try:
            while numbers:
                for piece in self.step():
                    if piece.number in numbers:
                        index = numbers[piece.number]
                        if piece.finish_reason:
                            del numbers[piece.number]
                        yield replace(piece, number=index)
        finally:
            for number in numbers:
                self.drop(number)

    def _choose_labels(self) -> list[Piece]:
        """
        Score a portion of the labels of one request, in turn, or all labels of several requests that have the same
        ones.
        """
        for row in [row for row in self._waiting if row.labels][: self.max_rows - len(self._choosing)]:
            self._waiting.remove(row)
            self._choosing.append(row)
        if not self._choosing:
            return []
        first = self._choosing[0].labels
        assert first is not None
        others = [row.labels for row in self._choosing[1:] if row.labels] if self.network.is_packed else []
        joining = first.joining(others)
        first.step(joining)
        if not first.is_done:
            self._choosing.append(self._choosing.pop(0))
            return []
        pieces: list[Piece] = []
        for row in [row for row in self._choosing if row.labels is first or row.labels in joining]:
            assert row.labels is not None
            self._choosing.remove(row)
            pieces += self._labelled(row, row.labels.probabilities())
        return pieces

    def _labelled(self, row: _Row, probabilities: torch.Tensor) -> list[Piece]:
        form, place = row.request.settings.form, chosen_label(probabilities, row.request.settings, row.random)
        assert form is not None
        told = calibrated(probabilities, form.label_temperature).tolist()
        ranked = tuple(sorted(zip(form.labels, told, strict=True), key=lambda pair: -pair[1]))
        tokens = self.encoder.answers([form.labels[max(place, 0)]])[0]
        if row.request.settings.top_logprobs is not None and place >= 0:
            self._read_again(row, tokens, ranked, None if form.is_own else form.labels[place])
            return []
        if not form.is_own or place < 0:
            text = form.labels[place] if place >= 0 else form.none_label
            return [Piece(row.number, text, "STOP", len(tokens) - 1, ranked)]
        pieces = self._spelled(row, tokens)
        return [*pieces[:-1], replace(pieces[-1], label_probabilities=ranked)]

    def _read_again(
        self, row: _Row, tokens: Sequence[int], ranked: tuple[tuple[str, float], ...], text: str | None
    ) -> None:
        """Let a row wait once more, to read the tokens of its label one by one: a score has only their sum."""
        row.labels, row.label = None, _ChosenLabel(list(tokens), ranked, text)
        if text is not None:  # a label that was asked for is said whole
            settings = replace(row.request.settings, max_output_tokens=len(tokens), stop_sequences=())
            row.request = replace(row.request, settings=settings)
            row.stream = TextStream(self.encoder.text, self.encoder.whole_text, is_additive=self.encoder.is_additive)
        self._waiting.insert(0, row)

    def _spelled(self, row: _Row, tokens: Sequence[int]) -> list[Piece]:
        """Return the pieces of text that these tokens give if they are drawn one by one, up to the first end."""
        pieces: list[Piece] = []
        for token in tokens:
            piece = self._extend(row, token)
            if piece.text or piece.finish_reason:
                pieces.append(piece)
            if piece.finish_reason:
                break
        return pieces

    def _admit(self) -> list[Piece]:
        """
        Move waiting rows into free places; rows of the same adapter are grouped, so that their common prefix is read
        once.

        While more rows are waiting than there is room for, free places are collected for MAX_HELD steps: reading one
        prompt takes as long as reading four, and sixteen answers that start one by one take twice as long as sixteen
        that start together.
        """
        pieces: list[Piece] = []
        chosen: list[_Row] = []
        free = [row for row in self._waiting if row.labels is None]
        while free and self._fits([*self._running, *chosen, free[0]]):
            chosen.append(free.pop(0))
        if chosen and free and self._running and self._held < MAX_HELD:
            self._held += 1
            return []
        self._held = 0
        self._waiting = [row for row in self._waiting if row not in chosen]
        chosen.sort(key=lambda row: (row.request.slot is not None, row.request.slot or 0))
        for slot, rows in groupby(chosen, key=lambda row: row.request.slot):
            for portion in _portions(list(rows)):
                pieces += self._prefill(portion, slot)
        return pieces

    def _fits(self, rows: Sequence[_Row]) -> bool:
        """
        Return whether these rows may run together; the cache is as long for every row as for the longest. A single row
        always may.
        """
        longest = max(row.longest for row in rows)
        tokens = capacity_tokens(min(longest, self.encoder.window_tokens)) * len(rows)
        return len(rows) == 1 or (len(rows) <= self.max_rows and tokens <= self._cache_tokens)

    def _make_room(self) -> None:
        """Make the newest rows wait again if the running ones outgrow the cache; their tokens are kept."""
        while len(self._running) > 1:
            longest = max(self._cache.lengths) + 1 + MAX_GUESSES
            if capacity_tokens(min(longest, self.encoder.window_tokens)) * len(self._running) <= self._cache_tokens:
                return
            newest = max(self._running, key=lambda row: row.number)
            self._free(newest)
            self._waiting.insert(0, newest)

    def _prefill(self, rows: list[_Row], slot: int | None) -> list[Piece]:
        network = self._packed
        device = network.device
        prompts = [EncodedExample(row.token_ids, len(row.token_ids)) for row in rows]
        known = None if self._prefixes is None else self._prefixes.find(slot, [row.token_ids for row in rows])
        whole, begin = pack(prompts), known.tokens if known else 0
        starts, start = [], whole.layout.prefix
        for prompt in prompts:
            length = len(prompt.token_ids) - whole.layout.prefix
            starts.append((start, start + length))
            start += length
        slots = tuple(self._cache.add_slot() for _ in rows)
        self._running += rows

        def part(first: int, end: int, trade: Trade | None) -> torch.Tensor:
            batch, before = lane(whole, first, end), known if first == begin else None
            layout = PrefillLayout(batch.layout, self._cache, slots, tuple(starts), before, trade)
            groups = [RowGroup(0, None, slot)]
            return network.hidden(batch.token_ids.to(device), batch.positions.to(device), layout, groups)

        hidden = self._in_lanes(part, begin, len(whole.token_ids))
        for cache_slot, prompt in zip(slots, prompts, strict=True):
            self._cache.lengths[cache_slot] = len(prompt.token_ids)
        self._keep_prefix(slot, rows[0].request.prompt[: whole.layout.prefix or None], slots[0])
        ends = torch.tensor([end - 1 - begin for _, end in starts], device=device)
        return self._draw(rows, network.head.drawn_logits(hidden[ends]))

    def _in_lanes(self, part: Callable[[int, int, Trade | None], torch.Tensor], begin: int, end: int) -> torch.Tensor:
        """Return the hidden states of a row from `begin` to `end`, which two lanes compute if it is long enough."""
        lanes = self._packed.lanes
        if lanes is None or end - begin < LANE_TOKENS or torch.get_num_threads() < 2:
            return part(begin, end, None)
        handover, cut = Handover(), (begin + end) // 2
        first, second = FirstLane(handover), SecondLane(handover, cut)
        works = (lambda: part(begin, cut, first), lambda: part(cut, end, second))
        return torch.cat(lanes.run(works, handover))

    def _keep_prefix(self, slot: int | None, token_ids: Sequence[int], cache_slot: int) -> None:
        if self._prefixes is not None:
            self._prefixes.keep(slot, token_ids, self._cache.layers(cache_slot), self.network.dtype)

    @property
    def _packed(self) -> Network:
        assert isinstance(self.network, Network)
        return self.network

    def _decode(self) -> list[Piece]:
        rows = list(self._running)
        if self._compiled is not None and len(rows) == 1:
            return self._decode_alone(rows[0], self._compiled)
        tokens = [row.tokens[-1] for row in rows]
        if self._compiled is None:
            logits = self._plain_logits(rows, tokens)
        else:
            logits = self._compiled.logits(tokens, self._cache, [self._adapter(row) for row in rows])
        self._cache.lengths = [length + 1 for length in self._cache.lengths]
        return self._draw(rows, logits)

    def _decode_alone(self, row: _Row, compiled: CompiledStep) -> list[Piece]:
        """
        Decode one token and check the guesses for the next ones; the step ends at the first guess that differs from the
        token drawn.
        """
        guesses = row.lookup.guess(max(0, min(MAX_GUESSES, self._left(row) - 1)))
        logits = compiled.logits_ahead([row.tokens[-1], *guesses], self._cache, self._adapter(row))
        pieces: list[Piece] = []
        for scores, guess in zip(logits, [*guesses, None], strict=True):
            self._cache.lengths[0] += 1
            pieces += self._draw([row], scores[None])
            if row not in self._running or row.tokens[-1] != guess:
                break
        return pieces

    def _adapter(self, row: _Row) -> Adapter | None:
        return None if row.request.slot is None else self.network.adapters.get(row.request.slot)

    def _plain_logits(self, rows: Sequence[_Row], tokens: Sequence[int]) -> torch.Tensor:
        network = self._packed
        token_ids = torch.tensor(tokens, device=network.device)
        lengths = torch.tensor(self._cache.lengths, device=network.device)
        groups = _merged([RowGroup(index, index + 1, row.request.slot) for index, row in enumerate(rows)])
        hidden = network.hidden(token_ids, lengths, DecodeLayout(self._cache, lengths), groups)
        return network.head.drawn_logits(hidden)

    def _step_uncached(self) -> list[Piece]:
        free = [row for row in self._waiting if row.labels is None]
        self._running += free[: self.max_rows - len(self._running)]
        self._waiting = [row for row in self._waiting if row not in self._running]
        pieces = []
        for row in list(self._running):
            assert isinstance(self.network, FallbackNetwork)
            pieces += self._draw([row], self.network.next_logits(row.token_ids, row.request.slot)[None])
        return pieces

    def _draw(self, rows: list[_Row], logits: torch.Tensor) -> list[Piece]:
        pieces = []
        for row, scores in zip(rows, logits, strict=True):
            token = self._next(row, scores)
            self._note(row, token, scores)
            piece = self._extend(row, token)
            if piece.finish_reason:
                self._free(row)
            if piece.text or piece.finish_reason:
                pieces += self._told(row, piece)
        return pieces

    def _note(self, row: _Row, token: int, scores: torch.Tensor) -> None:
        """Keep the log probability of a token among the logits `[V]`, if wanted and it does not end the answer."""
        count = row.request.settings.top_logprobs
        if count is None or token in self.encoder.stop_token_ids:
            return
        logs = torch.log_softmax(scores.to("cpu", torch.float64), -1)
        found = logs.topk(count)
        top = [self._logprob(*each) for each in zip(found.indices.tolist(), found.values.tolist(), strict=True)]
        row.logprobs.append(replace(self._logprob(token, float(logs[token])), top=tuple(top)))

    def _logprob(self, token: int, logprob: float) -> TokenLogprob:
        return TokenLogprob(token, self._guides.spelling(token), logprob)

    def _told(self, row: _Row, piece: Piece) -> list[Piece]:
        """Return a piece with what else is to be told about its row."""
        row.shown_characters += len(piece.text)
        if row.label is not None:
            if row.label.text is not None and piece.finish_reason is None:
                return []
            text = piece.text if row.label.text is None else row.label.text
            ranked = row.label.probabilities if piece.finish_reason else ()
            piece = replace(piece, text=text, label_probabilities=ranked)
        if row.logprobs:
            count = self._shown_tokens(row, is_last=piece.finish_reason is not None)
            piece = replace(piece, logprobs=tuple(row.logprobs[:count]))
            del row.logprobs[:count]
        return [piece]

    def _shown_tokens(self, row: _Row, *, is_last: bool) -> int:
        """Return how many of the tokens that are still to be told begin in the text that has been shown."""
        if not row.request.settings.stop_sequences or (is_last and not row.stream.is_stopped):
            return len(row.logprobs)
        before = len(row.tokens) - len(row.logprobs)
        lengths = (len(self.encoder.text(row.tokens[: before + count])) for count in range(len(row.logprobs) + 1))
        return next(count for count, length in enumerate(lengths) if length >= row.shown_characters)

    def _next(self, row: _Row, scores: torch.Tensor) -> int:
        if row.label is not None:
            return row.label.tokens[len(row.tokens)]

        def draw(allowed: torch.Tensor) -> int:
            return next_token(allowed, row.request.settings, row.random, row.tokens)

        return draw(scores) if row.guide is None else row.guide.draw(scores, self._left(row), draw)

    def _left(self, row: _Row) -> int:
        """Return how many more tokens a row may draw."""
        room = self.encoder.window_tokens - len(row.request.prompt)
        return min(row.request.settings.max_output_tokens, room) - len(row.tokens)

    def _extend(self, row: _Row, token: int) -> Piece:
        if token in self.encoder.stop_token_ids:
            reason = "MAX_TOKENS" if row.guide is not None and row.guide.was_hurried else "STOP"
            return Piece(row.number, row.stream.flush(), reason, len(row.tokens))
        if row.guide is not None:
            row.guide.push(token)
        row.tokens.append(token)
        row.lookup.push(token)
        self.drawn_tokens += 1
        text = row.stream.push(token)
        if row.stream.is_stopped:
            return Piece(row.number, text, "STOP", len(row.tokens))
        if self._left(row) <= 0:
            return Piece(row.number, text + row.stream.flush(), "MAX_TOKENS", len(row.tokens))
        return Piece(row.number, text, None, len(row.tokens))

    def _free(self, row: _Row) -> None:
        slot = self._running.index(row)
        if self.network.is_packed:
            moved = self._cache.free_slot(slot)
            self._running[slot] = self._running[moved]
            self._running.pop()
        else:
            self._running.pop(slot)


def _portions(rows: list[_Row]) -> Iterator[list[_Row]]:
    portion: list[_Row] = []
    for row in rows:
        if portion and sum(len(r.token_ids) for r in portion) + len(row.token_ids) > PREFILL_TOKENS:
            yield portion
            portion = []
        portion.append(row)
    yield portion


def _merged(groups: list[RowGroup]) -> list[RowGroup]:
    """Join neighbours that use the same slot."""
    merged: list[RowGroup] = []
    for group in groups:
        if merged and merged[-1].slot == group.slot:
            merged[-1] = RowGroup(merged[-1].start, group.end, group.slot)
        else:
            merged.append(group)
    return merged
