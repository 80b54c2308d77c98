"""Bayesian inference for X-ray photon correlation spectroscopy under flow.

Importing changes no setting and loads no library: names are imported when they are first used, and
`setup` sets JAX up.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homodyne_bayes.config import DataConfig
    from homodyne_bayes.data.two_time import TwoTimeData
    from homodyne_bayes.errors import InputError, MissingPrecisionError
    from homodyne_bayes.face import (
        calibrate,
        compare,
        coverage,
        fit,
        formats,
        inspect,
        load,
        models,
        noises,
        numpyro_model,
        rates,
        read,
        rerun,
        series,
        setup,
        simulate,
    )
    from homodyne_bayes.fitting.settings import FitConfig
    from homodyne_bayes.results.view import Result

__all__ = [
    "Result",
    "__version__",
    "calibrate",
    "compare",
    "coverage",
    "fit",
    "formats",
    "inspect",
    "load",
    "models",
    "noises",
    "numpyro_model",
    "rates",
    "read",
    "rerun",
    "series",
    "setup",
    "simulate",
]
_MODULES = {
    **dict.fromkeys(__all__, "face"),
    "DataConfig": "config",
    "FitConfig": "fitting.settings",
    "InputError": "errors",
    "MissingPrecisionError": "errors",
    "Result": "results.view",
    "TwoTimeData": "data.two_time",
    "inspect": "data.reading",
    "load": "results.view",
    "read": "data.reading",
    "setup": "environment",
}
_NAMES = {"inspect": "contents"}  # what has another name where it is


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - nothing is loaded at import

        return version("homodyne-bayes")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), _NAMES.get(name, name))


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
