"""
Write the OpenAPI document of the server: the types of the Studio are made from it.

    python tools/openapi.py > openapi.json
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any, cast

from tunery.server.app import make_app


def main() -> None:
    """Print the document; no service is needed to describe the routes."""
    app = make_app(cast(Any, SimpleNamespace(address="http://127.0.0.1:8000")))
    json.dump(app.openapi(), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
