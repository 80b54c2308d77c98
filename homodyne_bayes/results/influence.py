"""What the priors of a result have to say in it."""

from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from homodyne_bayes.results import store
from homodyne_bayes.results.flow import Flow
from homodyne_bayes.results.store import group
from homodyne_bayes.results.variables import reported, sampled, scalars, widths

DENSITIES = ("log_prior", "log_likelihood")


def sensitivity(tree: xr.DataTree) -> pd.DataFrame:
    """Return how what was sampled responds to prior and likelihood raised to a power.

    Columns ``prior`` and ``likelihood`` hold the power-scaling sensitivity of each coordinate, of
    contrast and offset the largest of all angles, and of the rates at t_ref, by their names;
    ``diagnosis`` what it means, empty where the prior hardly matters (Kallioinen et al., Stat.
    Comput. 34:57, 2024).
    """
    names = judged(tree)
    draws = group(tree, "posterior")[names].assign(levels(tree))
    groups = {"posterior": draws, **{name: group(tree, name) for name in DENSITIES}}
    scaled = {
        density: az.psense(xr.DataTree.from_dict(groups), group=density)
        for density in ("prior", "likelihood")
    }
    table = pd.DataFrame(
        {
            density: {str(name): float(response[name].max()) for name in draws}
            for density, response in scaled.items()
        }
    )
    sensitive = table > store.limits(tree)["sensitive"]
    diagnosis = np.where(
        sensitive["likelihood"], "prior-data conflict", "strong prior / weak likelihood"
    )
    return table.assign(diagnosis=np.where(sensitive["prior"], diagnosis, ""))


def levels(tree: xr.DataTree) -> dict[str, xr.DataArray]:
    """Return draws of the rates next to t_ref, (chain, draw), logarithms of those above 0."""
    rates = {str(name): rate_at_reference(tree, str(name)) for name in group(tree, "rates")}
    log: Any = np.log  # keeps what is labelled so
    return {n: log(draws) if float(draws.min()) > 0 else draws for n, draws in rates.items()}


def rate_at_reference(tree: xr.DataTree, name: str) -> xr.DataArray:
    """Return draws of a rate at the frame next to t_ref, (chain, draw)."""
    at = float(group(tree, "constant_data")["t_ref"])
    return group(tree, "rates")[name].sel(time=at, method="nearest", drop=True)


def judged(tree: xr.DataTree) -> list[str]:
    """Return what has a prior and is spoken of: what was sampled, contrast and offset of angles."""
    names, rows = scalars(tree, sampled(tree)), store.parameters(tree)
    of_angles = [n for n in reported(tree) if rows[n].role == "scaling"]
    return names + [n for n in of_angles if n not in names and n in tree["prior"]]


def prior_driven(tree: xr.DataTree) -> list[str]:
    """Return what was sampled and whose interval is mostly the prior's, of some angles at least."""
    names = judged(tree)
    ratio, most = widths(tree, names, "prior"), store.limits(tree)["prior_driven"]
    return [name for name in names if float(ratio[name].max()) > most]


def undecided(tree: xr.DataTree, flow: Flow | None) -> dict[str, float]:
    """Return the reported quantities of the fluid that rest on priors, and how far.

    The number is the sd by the data alone, contrast and offset of every angle free, over the sd of
    the posterior, of rates at t_ref and of other physical parameters that were sampled. Parameters
    of flow are left out where they have an upper limit only, and always coordinates such as a
    bend, which shape a rate.
    """
    draws, alone = group(tree, "unconstrained_posterior"), group(tree, "data_alone")
    ratios = {
        name: float((alone[at] / draws[at].std(("chain", "draw"))).max())
        for name, at in sampled_for(tree).items()
        if not (flow and flow.leaves_open(name))
    }
    most = store.limits(tree)["widened"]
    return {name: ratio for name, ratio in ratios.items() if ratio > most}


def sampled_for(tree: xr.DataTree) -> dict[str, str]:
    """Return what was sampled for each reported quantity of the fluid: rates, and parameters."""
    rows, names = store.parameters(tree), sampled(tree)
    names_sampled = {
        str(name): str(rate.attrs["level"]) for name, rate in group(tree, "rates").items()
    }
    names_sampled |= {name: name for name in names if rows[name].role == "physical"}
    return {name: at for name, at in names_sampled.items() if at in names}


def prior_conflicts(tree: xr.DataTree) -> list[str]:
    """Return what was sampled and whose posterior mean lies far out in the prior.

    The sd of the prior is the distance from its centre to the end of its middle 68 % on that side,
    which heavy tails leave alone.
    """
    posterior, dims = tree["posterior"], ("chain", "draw")
    low, centre, high = (group(tree, "prior").quantile(q, dims) for q in (0.16, 0.5, 0.84))
    distances = {
        name: np.maximum(
            (posterior[name].mean(dims) - centre[name]) / (high[name] - centre[name]),
            (centre[name] - posterior[name].mean(dims)) / (centre[name] - low[name]),
        )
        for name in judged(tree)
    }
    most = store.limits(tree)["conflict"]
    return [name for name, distance in distances.items() if float(distance.max()) > most]
