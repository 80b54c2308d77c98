"""Which variables a result has, and how wide they are against other draws."""

import numpy as np
import xarray as xr

from homodyne_bayes.results import store
from homodyne_bayes.results.store import group
from homodyne_bayes.thresholds import INTERVAL

TAIL = (1 - INTERVAL) / 2


def reported(tree: xr.DataTree) -> list[str]:
    """Return the parameters of a result as users know them, in the order of tables."""
    rows, constant = store.parameters(tree), held(tree)
    names = [name for name in rows if name in tree["posterior"] and name not in constant]
    return [name for name in names if rows[name].role != "coordinate"]


def coordinates(tree: xr.DataTree) -> list[str]:
    """Return the coordinates in which a result was sampled, in the order of tables."""
    rows, constant = store.parameters(tree), held(tree)
    names = [name for name in rows if name in tree["posterior"] and name not in constant]
    return [name for name in names if rows[name].role == "coordinate"]


def held(tree: xr.DataTree) -> dict[str, float]:
    """Return the parameters that were held, or follow from such, with their values."""
    posterior, sampled = group(tree, "posterior"), tree["unconstrained_posterior"]
    names = [name for name in store.parameters(tree) if name in posterior and name not in sampled]
    draws = {name: posterior[name].values for name in names if posterior[name].ndim == 2}
    return {name: float(x[0, 0]) for name, x in draws.items() if np.ptp(x) == 0}


def sampled(tree: xr.DataTree) -> list[str]:
    """Return the sampled variables: coordinates first, then others in the order of tables."""
    names = coordinates(tree) + reported(tree)
    return [name for name in names if name in tree["unconstrained_posterior"]]


def scalars(tree: xr.DataTree, names: list[str]) -> list[str]:
    """Return those variables that have one value a draw, other than those of the noise."""
    rows = store.parameters(tree)
    return [n for n in names if rows[n].role != "noise" and tree["posterior"][n].ndim == 2]


def combined_rates(tree: xr.DataTree) -> dict[str, xr.DataArray]:
    """Return combined draws of the rates, (chain, draw, time); none without uncertainties."""
    held = group(tree, "combined_rates") if "combined_rates" in tree.children else xr.Dataset()
    return {str(name): draws for name, draws in held.items()}


def widths(tree: xr.DataTree, names: list[str], other: str) -> xr.Dataset:
    """Return widths of the posterior's intervals over those of the draws of another group."""
    both, ends = [group(tree, draws) for draws in ("posterior", other)], [TAIL, 1 - TAIL]
    shared = [name for name in names if name in both[1]]
    here, there = (
        draws[shared].quantile(ends, ("chain", "draw")).diff("quantile") for draws in both
    )
    unknown = {n: both[0][n].isel(chain=0, draw=0) * np.nan for n in names if n not in shared}
    return (here / there).isel(quantile=0, drop=True).assign(unknown)
