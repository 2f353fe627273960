"""
A batch of examples as one packed row: no padding, the shared prefix only once, and which hidden state predicts which
token.

`attention.py` uses the blocks, `network.py` the rows and targets.

    prefix | rest of example 0 | rest of example 1 | ... | filling

Positions restart after the prefix for each example. The filling rounds up the number of tokens in the row. Nothing
attends to it and it predicts nothing, so it affects neither loss nor gradient. It is there because on a CPU a program
is compiled, and kept, for each new shape of a product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from tunery.engine.attention import Block, PackedLayout, Trade
from tunery.engine.rows import EncodedExample, shared_prefix_tokens

# A block multiplies all its queries with all its keys and masks those that must not be seen. With rows of 200 tokens,
# the wasted products are 3 % of a step, and one large product is faster than many small ones; above this size, the
# waste grows with the square.
BLOCK_TOKENS = 256

# This way, rows of 100-300 tokens have a dozen different lengths instead of a hundred: the peak memory for 96 short
# tickets was 1,042 MB instead of 1,656. It costs 8 tokens per row on average.
ROUND_TOKENS = 16


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """
    One packed row of `T` tokens with `N` answer tokens.

    `token_ids`, `positions`: `[T]`; `answer_rows` `[N]`: index of the hidden state that predicts each answer token;
    `targets` `[N]`: those tokens. `row_tokens`: number of tokens in the rows as the user gave them, before sharing.
    """

    token_ids: Tensor
    positions: Tensor
    answer_rows: Tensor
    targets: Tensor
    layout: PackedLayout
    row_tokens: int


def pack(rows: Sequence[EncodedExample], *, share_prefix: bool = True) -> PackedBatch:
    """Return the rows as one packed row. The prefix is shared if that saves something (with two rows or more)."""
    prefix = shared_prefix_tokens(rows) if share_prefix and len(rows) > 1 else 0
    starts = _starts(rows, prefix)
    token_ids = list(rows[0].token_ids[:prefix])
    positions = list(range(prefix))
    numbers = [-1] * prefix
    for number, row in enumerate(rows):
        token_ids += row.token_ids[prefix:]
        positions += range(prefix, len(row.token_ids))
        numbers += [number] * (len(row.token_ids) - prefix)
    answer_rows, targets = _answers(rows, starts, prefix)
    filling = -len(token_ids) % ROUND_TOKENS
    token_ids += [rows[0].token_ids[0]] * filling
    positions += [0] * filling
    numbers += [len(rows)] * filling
    starts[-1] += filling
    position_ids = torch.tensor(positions)
    return PackedBatch(
        token_ids=torch.tensor(token_ids),
        positions=position_ids,
        answer_rows=torch.tensor(answer_rows),
        targets=torch.tensor(targets),
        layout=PackedLayout(position_ids, torch.tensor(numbers), prefix, tuple(_blocks(starts, prefix))),
        row_tokens=sum(len(row.token_ids) for row in rows),
    )


def pack_options(rows: Sequence[EncodedExample], options: Sequence[Sequence[int]]) -> PackedBatch:
    """
    Return the prompts of rows, each read once, followed by every option.

        prefix | rest of prompt 0 | option 0 | option 1 | ... | rest of prompt 1 | option 0 | ... | filling

    Answer tokens are in the same order. The last token of an option is predicted and never read, so it has no place.
    """
    prompts = [row.token_ids[: row.answer_offset] for row in rows]
    prefix = shared_prefix_tokens([EncodedExample(prompt, len(prompt)) for prompt in prompts]) if len(rows) > 1 else 0
    token_ids, positions = list(prompts[0][:prefix]), list(range(prefix))
    numbers, trunks, starts = [-1] * prefix, [-1] * prefix, [prefix]
    answer_rows: list[int] = []
    for place, prompt in enumerate(prompts):
        trunk = place * (len(options) + 1)
        end = len(token_ids) + len(prompt) - prefix - 1  # its hidden state predicts the first token of every option
        for number, part in enumerate((prompt[prefix:], *(option[:-1] for option in options)), trunk):
            if number > trunk:
                answer_rows += [end, *range(len(token_ids), len(token_ids) + len(part))]
            first = prefix if number == trunk else len(prompt)
            token_ids += part
            positions += range(first, first + len(part))
            numbers += [number] * len(part)
            trunks += [trunk] * len(part)
        starts.append(len(token_ids))
    filling = -len(token_ids) % ROUND_TOKENS
    starts[-1] += filling
    position_ids = torch.tensor(positions + [0] * filling)
    layout = PackedLayout(
        position_ids,
        torch.tensor(numbers + [-2] * filling),
        prefix,
        tuple(_blocks(starts, prefix)),
        trunks=torch.tensor(trunks + [-2] * filling),
    )
    return PackedBatch(
        token_ids=torch.tensor(token_ids + [prompts[0][0]] * filling),
        positions=position_ids,
        answer_rows=torch.tensor(answer_rows),
        targets=torch.tensor([token for _ in rows for option in options for token in option]),
        layout=layout,
        row_tokens=sum(map(len, prompts)) + len(rows) * sum(map(len, options)),
    )


def halfway(batch: PackedBatch, answer_cost: float) -> int:
    """
    Return the token at which half of the row's work is done, a multiple of ROUND_TOKENS if possible, with at least one
    token on each side.

    `answer_cost`: the extra cost of an answer token, as a share of the cost of a token.
    """
    cost = torch.ones(len(batch.token_ids), dtype=torch.float64)
    cost.index_add_(0, batch.answer_rows, torch.full((len(batch.answer_rows),), answer_cost, dtype=torch.float64))
    done = cost.cumsum(0)
    middle = int(torch.searchsorted(done, done[-1] / 2)) + 1
    size = ROUND_TOKENS if len(cost) >= 2 * ROUND_TOKENS else 1
    return min(max(round(middle / size) * size, size), len(cost) - size)


def lane(batch: PackedBatch, start: int, end: int, trade: Trade | None = None) -> PackedBatch:
    """
    Return tokens `start:end` of a packed row as a separate row, which sees the tokens before it through `trade`;
    without `trade`, the caller of attention supplies keys and values of the whole row up to `end`.
    """
    layout = batch.layout
    answers = (batch.answer_rows >= start) & (batch.answer_rows < end)
    blocks = tuple(cut for block in layout.blocks for cut in _within(block, start, end))
    return PackedBatch(
        token_ids=batch.token_ids[start:end],
        positions=batch.positions[start:end],
        answer_rows=batch.answer_rows[answers] - start,
        targets=batch.targets[answers],
        layout=PackedLayout(layout.positions, layout.numbers, layout.prefix, blocks, start, trade, layout.trunks),
        row_tokens=batch.row_tokens,
    )


def _starts(rows: Sequence[EncodedExample], prefix: int) -> list[int]:
    """Return where the rest of each row begins, and the end of the last row."""
    starts = [prefix]
    for row in rows:
        starts.append(starts[-1] + len(row.token_ids) - prefix)
    return starts


def _answers(rows: Sequence[EncodedExample], starts: list[int], prefix: int) -> tuple[list[int], list[int]]:
    answer_rows: list[int] = []
    targets: list[int] = []
    for row, start in zip(rows, starts, strict=False):
        for position in range(row.answer_offset, len(row.token_ids)):
            before = position - 1  # the hidden state one token earlier predicts this one
            answer_rows.append(before if before < prefix else start + before - prefix)
            targets.append(row.token_ids[position])
    return answer_rows, targets


def _blocks(starts: list[int], prefix: int) -> list[Block]:
    """
    Split the row into blocks of queries.

    Neighbours, including the prefix, are merged as long as a block stays within BLOCK_TOKENS; longer ones are split.
    """
    segments = [(0, prefix)] if prefix else []
    segments += list(pairwise(starts))
    groups: list[list[tuple[int, int]]] = []
    for segment in segments:
        if groups and segment[1] - groups[-1][0][0] <= BLOCK_TOKENS:
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return [block for group in groups for block in _cut(group[0][0], group[-1][1])]


def _cut(start: int, end: int) -> list[Block]:
    return [Block(first, min(first + BLOCK_TOKENS, end), start) for first in range(start, end, BLOCK_TOKENS)]


def _within(block: Block, start: int, end: int) -> Iterator[Block]:
    first, last = max(block.query_start, start), min(block.query_end, end)
    if first < last:
        yield Block(first, last, block.key_start)
