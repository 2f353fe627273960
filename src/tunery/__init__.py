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
    from tunery.engine.cross_validation import cross_validate
    from tunery.engine.data_curve import data_curve
    from tunery.engine.model import Model, load, tune
    from tunery.engine.surgery import surgery
    from tunery.engine.tuning.schedule import Recipe
    from tunery.old_models.rescue import rescue

__version__ = "0.1.0.dev0"

_HOMES = {
    "Dataset": "tunery.data.dataset",
    "Model": "tunery.engine.model",
    "Recipe": "tunery.engine.tuning.schedule",
    "cross_validate": "tunery.engine.cross_validation",
    "data_curve": "tunery.engine.data_curve",
    "load": "tunery.engine.model",
    "rescue": "tunery.old_models.rescue",
    "surgery": "tunery.engine.surgery",
    "tune": "tunery.engine.model",
}

__all__ = ["Dataset", "Model", "Recipe", "cross_validate", "data_curve", "load", "rescue", "surgery", "tune"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tunery' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
