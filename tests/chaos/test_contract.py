"""A few hundred calls of `contract.py`: what a server does is what its OpenAPI document says."""

from __future__ import annotations

from tests.chaos.contract import contract_server, explore


def test_the_server_keeps_to_its_document() -> None:
    """No 5xx, no status that is not described, no reply of another shape, nothing without credentials."""
    with contract_server() as live:
        found = explore(live, "owner", 2, seed=1, phases=("fuzzing",))

    assert found.cases > 200
    assert found.statuses[200] > 40
    assert found.faults == []
