"""
What the handlers work with: made once when the server starts, found again from each request.

Knows the names of the services; nothing of HTTP besides where Starlette keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request

if TYPE_CHECKING:
    from tunery.engine.catalog import Catalog
    from tunery.service.accounts import Accounts
    from tunery.service.answering import Answering
    from tunery.service.creation import Creation
    from tunery.service.estimate import Estimates
    from tunery.service.library import Library
    from tunery.service.reports import DataCurves, Evaluations, Examinations
    from tunery.service.worker import Worker


@dataclass(frozen=True, slots=True)
class Services:
    """The parts behind the handlers; `address` is the public address of the server, without a slash at the end."""

    library: Library
    catalog: Catalog
    accounts: Accounts
    answering: Answering
    creation: Creation
    estimates: Estimates
    evaluations: Evaluations
    examinations: Examinations
    data_curves: DataCurves
    worker: Worker
    address: str


def services_of(request: Request) -> Services:
    """Return the services of the app that a request came to."""
    services: Services = request.app.state.services
    return services
