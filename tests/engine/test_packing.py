"""Tests of `engine.packing`: index arithmetic of a packed row."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tunery.engine.encoding import EncodedExample, shared_prefix_tokens
from tunery.engine.lanes import FirstLane, Handover
from tunery.engine.packing import BLOCK_TOKENS, ROUND_TOKENS, halfway, lane, pack


@st.composite
def batches(draw: st.DrawFn) -> list[EncodedExample]:
    prefix = draw(st.lists(st.integers(0, 9), min_size=0, max_size=12))
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        tokens = (*prefix, *draw(st.lists(st.integers(0, 9), min_size=2, max_size=300)))
        rows.append(EncodedExample(tokens, draw(st.integers(1, len(tokens) - 1))))
    return rows


def unpacked(rows: list[EncodedExample], index: int) -> list[int]:
    """Read the tokens of one example back from the packed row."""
    batch = pack(rows)
    own = batch.layout.numbers == index
    return [*batch.token_ids[: batch.layout.prefix].tolist(), *batch.token_ids[own].tolist()]


@given(batches())
def test_every_row_can_be_read_back(rows: list[EncodedExample]) -> None:
    """Prefix and rest of each example give its tokens, and its positions count from 0."""
    batch = pack(rows)

    for index, row in enumerate(rows):
        assert unpacked(rows, index) == list(row.token_ids)
        own = batch.positions[batch.layout.numbers == index].tolist()
        assert own == list(range(batch.layout.prefix, len(row.token_ids)))


@given(batches())
def test_answers_are_predicted_from_the_token_before(rows: list[EncodedExample]) -> None:
    """
    For each answer token the chosen hidden state stands on the token before it, in the same example or the prefix.
    """
    batch = pack(rows)
    wanted = [(row, position) for row in rows for position in range(row.answer_offset, len(row.token_ids))]

    assert batch.targets.tolist() == [row.token_ids[position] for row, position in wanted]
    for at, (row, position) in zip(batch.answer_rows.tolist(), wanted, strict=True):
        assert batch.token_ids[at] == row.token_ids[position - 1]
        assert batch.positions[at] == position - 1


@given(batches())
def test_blocks_cover_the_row_once(rows: list[EncodedExample]) -> None:
    """
    Every token is a query of exactly one block, no block is larger than BLOCK_TOKENS, and its keys begin at or before
    it.
    """
    batch = pack(rows)

    queries = [index for block in batch.layout.blocks for index in range(block.query_start, block.query_end)]
    assert queries == list(range(len(batch.token_ids)))
    assert all(block.query_end - block.query_start <= BLOCK_TOKENS for block in batch.layout.blocks)
    assert all(block.key_start <= block.query_start for block in batch.layout.blocks)


def test_identical_rows_keep_a_token_of_their_own() -> None:
    """Rows that are equal share all but their last token."""
    row = EncodedExample((1, 2, 3, 4), 2)

    assert shared_prefix_tokens([row, row]) == 3
    assert pack([row, row]).layout.numbers[:6].tolist() == [-1, -1, -1, 0, 1, 2]


@given(batches())
def test_filling_rounds_the_row_and_predicts_nothing(rows: list[EncodedExample]) -> None:
    """The row ends on a round number of tokens; what fills it up is less than that and stands behind all examples."""
    batch = pack(rows)
    filling = batch.layout.numbers == len(rows)

    assert len(batch.token_ids) % ROUND_TOKENS == 0
    assert int(filling.sum()) < ROUND_TOKENS
    assert not filling[batch.answer_rows].any()
    assert not filling[: len(filling) - int(filling.sum())].any()


@given(batches(), st.floats(0, 3))
def test_lanes_are_cut_at_a_round_number_and_lose_nothing(rows: list[EncodedExample], answer_cost: float) -> None:
    """Both parts together have all tokens, answers and queries of the row; only a row of one round is cut within it."""
    batch = pack(rows)
    tokens = len(batch.token_ids)
    cut, trade = halfway(batch, answer_cost), FirstLane(Handover())

    parts = [lane(batch, 0, cut, trade), lane(batch, cut, tokens, trade)]

    assert cut % ROUND_TOKENS == 0 or tokens == ROUND_TOKENS
    assert torch.equal(torch.cat([part.token_ids for part in parts]), batch.token_ids)
    assert sorted(torch.cat([part.targets for part in parts]).tolist()) == sorted(batch.targets.tolist())
    queries = [q for part in parts for block in part.layout.blocks for q in range(block.query_start, block.query_end)]
    assert queries == list(range(tokens))


def test_a_single_row_shares_nothing() -> None:
    """One row is packed as it is, and its tokens are counted before sharing."""
    batch = pack([EncodedExample((1, 2, 3, 4), 2)])

    assert batch.layout.prefix == 0
    assert batch.row_tokens == 4
