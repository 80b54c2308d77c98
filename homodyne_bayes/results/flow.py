"""How a model stands against the same fluid at rest, and what that leaves of its parameters."""

import json
import math
from typing import NamedTuple

import numpy as np
import xarray as xr

from homodyne_bayes.results import store
from homodyne_bayes.results.store import group
from homodyne_bayes.thresholds import LIMIT


class Flow(NamedTuple):
    """Flow against no flow.

    Attributes
    ----------
    log_bayes_factor, error, k_hat : float
        Of the model against the same fluid at rest.
    rate, meaning, unit : str
        The rate that is not there at rest: its name, what it is, and its unit.
    lacks : tuple of str
        The parameters that are not there at rest.
    decided : bool
        Whether the data prefer flow so much that these have intervals.
    trusted : bool
        Whether the weights behind the evidence can be trusted.
    weights : numpy.ndarray
        (C, S) of the draws under a prior flat in the rate from 0 on, sum 1.
    """

    log_bayes_factor: float
    error: float
    k_hat: float
    rate: str
    meaning: str
    unit: str
    lacks: tuple[str, ...]
    decided: bool
    trusted: bool
    weights: np.ndarray

    @property
    def ess(self) -> float:
        """How many draws the weights are worth."""
        return float(1 / (self.weights**2).sum())

    def limit_of(self, draws: xr.DataArray) -> float:
        """Return the upper limit of a parameter by its draws (C, S); NaN if no rate from 0 on."""
        alike = draws.attrs["units"] == self.unit and float(draws.min()) >= 0
        return self.limit(draws.values) if alike else math.nan

    def leaves_open(self, name: str) -> bool:
        """Return whether the data do not decide a parameter or rate of this name."""
        return not self.decided and name in (*self.lacks, self.rate)

    def limit(self, draws: np.ndarray) -> float:
        """Return the upper limit of what grows with the rate from 0 on, by its draws (C, S)."""
        order = np.argsort(draws, axis=None)
        share = np.cumsum(self.weights.ravel()[order])
        return float(draws.ravel()[order][np.searchsorted(share, LIMIT)])


def flow(tree: xr.DataTree) -> Flow | None:
    """Return how a result stands against the same fluid at rest; None if there is no such fluid."""
    if "still" not in tree.children:
        return None
    still, limits = group(tree, "still"), store.limits(tree)
    stated = still.attrs
    log_weight = still["log_flat"].values
    weights = np.exp(log_weight - log_weight.max())
    factor, k_hat = float(stated["log_bayes_factor"]), float(stated["k_hat"])
    return Flow(
        log_bayes_factor=factor,
        error=float(stated["error"]),
        k_hat=k_hat,
        rate=stated["rate"],
        meaning=stated["meaning"],
        unit=str(group(tree, "rates")[stated["rate"]].attrs["units"]),
        lacks=tuple(json.loads(stated["lacks"])),
        decided=not factor < math.log(limits["flow_odds"]),  # also where it is not known
        trusted=k_hat < limits["max_k_hat"],
        weights=weights / weights.sum(),
    )


def below(limit: float) -> str:
    """Return an upper limit as text, or that there is none.

    >>> below(2.61e-5), below(math.nan)
    ('< 2.6e−05 (95 %)', 'not decided')
    """
    if math.isnan(limit):
        return "not decided"
    return f"< {limit:.2g} ({100 * LIMIT:.0f} %)".replace("-", "−")
