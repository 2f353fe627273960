"""A base in memory: what it tells about prompts without answering them."""

from __future__ import annotations

from itertools import chain

import pytest
import torch

from tests.engine.tiny_bases import make_folder
from tunery.engine import resident as module
from tunery.engine.base import load_folder
from tunery.engine.resident import ResidentAnswering, ResidentBase
from tunery.engine.rows import EncodedExample

PREAMBLE = "Name the kind of the thing: "


@pytest.fixture(scope="module")
def resident(tmp_path_factory: pytest.TempPathFactory) -> ResidentBase:
    folder = make_folder(tmp_path_factory.mktemp("base") / "tiny", max_position_embeddings=1024)
    return ResidentBase(load_folder(folder, dtype=torch.float32))


def states_of(resident: ResidentBase, texts: list[str]) -> torch.Tensor:
    return torch.tensor(list(chain.from_iterable(resident.mean_states(texts, PREAMBLE))))


def plain_states(resident: ResidentBase, text: str) -> torch.Tensor:
    """The hidden states of a prompt, one token at a time, from a whole pass for each."""
    prompt = resident.encoder.prompt(text)
    rows = [EncodedExample((*prompt[: end + 1], 0), end + 1) for end in range(len(prompt))]
    return torch.cat([resident.network.mean_states([row], module.STATE_DEPTH) for row in rows])


def test_the_mean_is_over_what_follows_the_preamble(resident: ResidentBase) -> None:
    """With the end of the template, which is read behind it; the beginning is the same for all texts."""
    text = f"{PREAMBLE}oak"
    beginning, prompt = resident.encoder.prompt(PREAMBLE), resident.encoder.prompt(text)
    first = next(at for at, pair in enumerate(zip(beginning, prompt, strict=False)) if pair[0] != pair[1])

    found = states_of(resident, [text])[0]

    torch.testing.assert_close(found, plain_states(resident, text)[first:].mean(0), rtol=1e-4, atol=1e-5)


def test_a_text_has_the_same_states_beside_others(resident: ResidentBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are read together: one that is the preamble alone, one without it, two that are equal."""
    texts = [f"{PREAMBLE}oak", PREAMBLE, "a hen", f"{PREAMBLE}oak", f"{PREAMBLE}{'a long one ' * 8}"]

    together = states_of(resident, texts)
    monkeypatch.setattr(module, "JOINT_TOKENS", 1)
    alone = states_of(resident, texts)

    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_long_prompts_are_read_to_a_limit(resident: ResidentBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows the limit changes nothing, and neither does a text longer than the window raise an error."""
    monkeypatch.setattr(module, "STATE_TOKENS", 8)
    texts = [f"{PREAMBLE}twelve letters, {more}" for more in ("or some", "and then " * 400)]

    first, second = states_of(resident, texts)

    torch.testing.assert_close(first, second)


def test_long_instructions_are_not_read_for_every_prompt(
    resident: ResidentBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the last tokens of what all prompts begin with are read, so the tokens before them change nothing."""
    monkeypatch.setattr(module, "STATE_PREAMBLE_TOKENS", 4)
    passes: list[int] = []
    read = resident.network.mean_states
    monkeypatch.setattr(
        resident.network,
        "mean_states",
        lambda rows, depth: (passes.append(sum(len(row.token_ids) for row in rows)), read(rows, depth))[1],
    )
    beginnings = [f"{first} long, long instructions. {PREAMBLE}" for first in ("Some", "Such")]

    found = [list(resident.mean_states([f"{one}oak"], one)) for one in beginnings]

    assert found[0] == found[1]
    assert len(resident.encoder.prompt(f"{beginnings[0]}oak")) > 2 * max(passes)


def test_a_candidate_tells_the_states_of_its_base(resident: ResidentBase) -> None:
    """As an evaluation asks for them: one list of numbers for each prompt."""
    texts = [f"{PREAMBLE}{n}" for n in range(5)]

    found = ResidentAnswering(resident).mean_states(texts, PREAMBLE)

    assert torch.equal(torch.tensor(found), states_of(resident, texts))
