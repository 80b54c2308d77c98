"""Bayesian inference for X-ray photon correlation spectroscopy under flow.

Importing changes no setting; set ``jax.config.update("jax_enable_x64", True)`` yourself.
"""

from homodyne_bayes.config import DataConfig
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError, MissingPrecisionError
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.fitting.settings import FitConfig

__all__ = ["DataConfig", "FitConfig", "InputError", "MissingPrecisionError", "TwoTimeData", "fit"]
