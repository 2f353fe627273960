"""
The web application: routes under every version prefix, errors in one envelope, services behind the handlers.

Made from services that somebody else starts and stops (`serve.py`). Knows routers; nothing of what they do.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI

from tunery import __version__
from tunery.server import (
    accounts,
    data_curves,
    datasets,
    evaluations,
    examinations,
    examples,
    exports,
    generation,
    info,
    inquiries,
    metrics,
    models,
    openai,
    operations,
    permissions,
    prompts,
    session,
    text,
    tuned_models,
)
from tunery.server.errors import add_error_handlers
from tunery.server.frontend import add_frontend
from tunery.server.guards import Guards
from tunery.server.log import RequestLog, noted_caller
from tunery.server.oauth import routes as oauth
from tunery.server.openapi import add_openapi
from tunery.server.services import Services

# Clients of different years default to different versions; all show the same resources.
VERSIONS = ("v1beta", "v1", "v1alpha", "v1beta3")
DESCRIBED_VERSION = "v1beta"


def make_app(services: Services) -> FastAPI:
    """Return the application that answers with these services."""
    app = FastAPI(
        title="tunery",
        version=__version__,
        description="The Gemini tuning API on one's own machine.",
        openapi_url="/openapi.json",
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,  # rpcs have names of their own
    )
    app.state.services = services
    app.state.metrics = metrics.metrics_of(services)
    app.add_middleware(RequestLog, metrics=app.state.metrics)
    noting = [Depends(noted_caller)]
    for version in VERSIONS:
        for router in _routers():
            is_described = version == DESCRIBED_VERSION
            app.include_router(router, prefix=f"/{version}", dependencies=noting, include_in_schema=is_described)
    app.include_router(text.router, prefix="/v1beta2", dependencies=noting, include_in_schema=False)
    for router in (info.health, metrics.router):
        app.include_router(router)
    for prefix in openai.PREFIXES:
        app.include_router(openai.router, prefix=prefix, include_in_schema=prefix == openai.PREFIXES[0])
    add_frontend(app)
    for router in (accounts.router, oauth.router, session.router):
        app.include_router(router)
    app.add_middleware(Guards, address=services.address)
    add_error_handlers(app)
    add_openapi(app)
    return app


def _routers() -> tuple[APIRouter, ...]:
    # `{id}:verb` before `{id}`: what is more special comes first
    return (
        generation.router,
        text.router,
        exports.router,
        operations.router,
        permissions.router,
        evaluations.router,
        examinations.router,
        data_curves.router,
        inquiries.router,
        examples.router,
        tuned_models.router,
        models.router,
        datasets.router,
        prompts.router,
        info.router,
    )
