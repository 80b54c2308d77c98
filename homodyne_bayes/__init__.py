"""Bayesian inference for X-ray photon correlation spectroscopy under flow.

Importing changes no setting; set ``jax.config.update("jax_enable_x64", True)`` yourself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homodyne_bayes.config import DataConfig
    from homodyne_bayes.data.two_time import TwoTimeData
    from homodyne_bayes.errors import InputError, MissingPrecisionError
    from homodyne_bayes.fitting.pipeline import fit
    from homodyne_bayes.fitting.settings import FitConfig

__all__ = ["DataConfig", "FitConfig", "InputError", "MissingPrecisionError", "TwoTimeData", "fit"]

_MODULES = {
    "DataConfig": "config",
    "FitConfig": "fitting.settings",
    "InputError": "errors",
    "MissingPrecisionError": "errors",
    "TwoTimeData": "data.two_time",
    "fit": "fitting.pipeline",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
