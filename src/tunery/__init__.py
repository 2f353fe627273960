"""
tunery: tune small open-weight text models on your own examples, on your own machine.

    import tunery
    model = tunery.tune(tunery.Dataset.read("tickets.csv"))
    model.generate("My card was charged twice")

Names are loaded when they are first used: `import tunery` alone loads no tensors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunery.data.dataset import Dataset
    from tunery.engine.tuner import Recipe
    from tunery.model import Model
    from tunery.old_models import rescue
    from tunery.resampling import cross_validate, data_curve, surgery
    from tunery.service.python import load, tune

__version__ = "0.1.0"

_HOMES = {
    "Dataset": "tunery.data.dataset",
    "Model": "tunery.model",
    "Recipe": "tunery.engine.tuner",
    "cross_validate": "tunery.resampling",
    "data_curve": "tunery.resampling",
    "load": "tunery.service.python",
    "rescue": "tunery.old_models",
    "surgery": "tunery.resampling",
    "tune": "tunery.service.python",
}

__all__ = ["Dataset", "Model", "Recipe", "cross_validate", "data_curve", "load", "rescue", "surgery", "tune"]


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tunery' has no attribute {name!r}")
    from tunery.progress import never_silent

    with never_silent("Loading tunery"):
        return getattr(import_module(_HOMES[name]), name)
