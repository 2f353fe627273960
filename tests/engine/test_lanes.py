"""Tests of `engine.lanes`: two threads through one row give what one gives, every time, and fail as one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from tests.fakes import random_rows, tiny_network
from tunery.engine.lanes import FirstLane, Handover, LanePair, SecondLane, as_one_lane
from tunery.engine.network import Network
from tunery.engine.rows import EncodedExample


def gradient_of(network: Network, rows: int = 5) -> tuple[float, torch.Tensor]:
    adapter = network.fresh_adapter(4, 8, 1)
    adapter.flat.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    gradient = torch.zeros_like(adapter.flat)
    network.install(0, adapter, gradient)
    return network.add_gradient(random_rows(rows)), gradient


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("family", ["llama", "lfm2"])
def test_two_lanes_give_the_loss_and_gradient_of_one(family: str, rows: int) -> None:
    """In float64 they agree to 1e-12, with a shared prefix and for a single row, which is cut in itself."""
    loss, gradient = gradient_of(tiny_network(family, lanes=True), rows)

    plain_loss, plain_gradient = gradient_of(tiny_network(family, lanes=False), rows)

    assert loss == pytest.approx(plain_loss, rel=1e-12)
    assert torch.allclose(gradient, plain_gradient, rtol=1e-9, atol=1e-12)


def test_every_pass_gives_the_same_bytes() -> None:
    """The order of sums does not depend on which lane is faster."""
    network = tiny_network("qwen3", torch.float32)
    first = gradient_of(network)

    for _ in range(20):
        loss, gradient = gradient_of(network)
        assert loss == first[0]
        assert torch.equal(gradient, first[1])


FORKING = """
import multiprocessing, torch
from tests.engine.test_lanes import gradient_of
from tests.fakes import tiny_network

torch.set_num_threads(2)
network = tiny_network("qwen3", torch.float32)
work = lambda: (gradient_of(network)[0], float(torch.ones(1_000_000).add_(1).sum()))  # the sum takes OpenMP's threads
wanted = work()
context = multiprocessing.get_context("fork")
ours, theirs = context.Pipe(duplex=False)
child = context.Process(target=lambda: theirs.send(work()), daemon=True)
child.start()
print(ours.poll(20) and ours.recv() == wanted)
"""


def test_a_forked_process_has_two_lanes_as_well() -> None:
    """A program that tuned and then forks, as multiprocessing does on Linux, can tune in its child."""
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=120)

    assert done.stdout == "True\n", done.stderr


def test_answers_at_one_end_leave_a_lane_without_any() -> None:
    """A lane whose tokens predict nothing still hands over its keys, and gets their gradient."""
    rows = [EncodedExample((5, *range(6, 60)), 53)]
    found = []
    for lanes in (True, False):
        network = tiny_network("qwen3", lanes=lanes)
        adapter = network.fresh_adapter(4, 8, 1)
        adapter.flat.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
        gradient = torch.zeros_like(adapter.flat)
        network.install(0, adapter, gradient)
        found.append((network.add_gradient(rows), gradient))

    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_one_lane_ends_both_and_is_the_one_raised(failing: int) -> None:
    """The other lane, which waits for what will not come, is woken; the pair can be used again."""
    lanes, handover = LanePair(), Handover()
    trades = (FirstLane(handover), SecondLane(handover, 1))
    ones = torch.ones(1, 1, 1)

    def work(number: int) -> int:
        if number == failing:
            raise MemoryError("of this lane")
        if number == 0:
            trades[0].settle(ones, ones)
        trades[number].share(ones, ones)
        return number

    with pytest.raises(MemoryError, match="of this lane"):
        lanes.run((lambda: work(0), lambda: work(1)), handover)

    assert lanes.run((lambda: 3, lambda: 4), Handover()) == (3, 4)


def test_lanes_share_the_threads_of_torch_and_leave_their_number_as_it_was() -> None:
    """Each lane gets half, at least one; gradients are recorded where the caller records them."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with torch.no_grad():
            counts = LanePair().run((torch.get_num_threads, torch.get_num_threads), Handover())
            modes = LanePair().run((torch.is_grad_enabled, torch.is_grad_enabled), Handover())
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)

    assert counts == (2, 2)
    assert modes == (False, False)
    assert after == 4


@pytest.mark.parametrize(("given", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait(given: str | None, found: str) -> None:
    """OpenMP is told so before torch is loaded, unless the user has said something else; see `engine/__init__.py`."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    program = (
        "import os, sys, tunery.engine; assert 'torch' not in sys.modules; import tunery.engine.resident;"
        " print(os.environ['OMP_WAIT_POLICY'])"
    )
    said = {} if given is None else {"OMP_WAIT_POLICY": given}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**environment, **said}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == found


def test_small_products_get_the_threads_of_one_lane() -> None:
    """And the calling thread has its own again afterwards."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        with as_one_lane():
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
