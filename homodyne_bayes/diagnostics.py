"""Numbers that say whether a result can be trusted, computed from its DataTree."""

import json
from typing import NamedTuple

import arviz as az
import numpy as np
import pandas as pd
import scipy.stats
import xarray as xr

from homodyne_bayes.parameters import COORDINATES, PARAMETERS

INTERVAL = 0.9
PRIOR_DRIVEN = 0.7  # of the prior's interval width
CONFLICT = 2.0  # of the prior's sd
MAX_R_HAT = 1.01
MIN_ESS_PER_CHAIN = 100
MIN_AGREEMENT_P = 1e-3


class Agreement(NamedTuple):
    """Whether the shards agree: chi2 on ``dof`` degrees of freedom, its p-value, and scores.

    ``scores`` (K, d) are the shards' deviations from the merged mean in units of their expected
    spread.
    """

    chi2: float
    dof: int
    p_value: float
    scores: np.ndarray


def reported(tree: xr.DataTree) -> list[str]:
    """Return the parameters of a result as users know them, in the table's order."""
    present = [str(name) for name in tree["posterior"].data_vars if name not in COORDINATES]
    return sorted(present, key=_place)


def coordinates(tree: xr.DataTree) -> list[str]:
    """Return the coordinates in which a result was sampled, in the table's order."""
    return [name for name in COORDINATES if name in tree["posterior"]]


def summary(tree: xr.DataTree, names: list[str] | None = None) -> pd.DataFrame:
    """Return mean, sd, 90 % interval, diagnostics and cost of every parameter.

    Parameters
    ----------
    tree : xarray.DataTree
        A result of `homodyne_bayes.pipeline.fit`.
    names : list of str, optional
        Variables of the posterior; by default upstream's names, contrast, offset and sigma.

    Returns
    -------
    pandas.DataFrame
        One row a scalar: mean, sd, lower and upper end of the equal-tailed 90 % interval,
        ess_bulk, r_hat, ESS per 1000 gradients of the full data, and width of the interval over
        that of the prior.
    """
    names = reported(tree) if names is None else names
    table = az.summary(
        tree, var_names=names, ci_prob=INTERVAL, ci_kind="eti", round_to="none", fmt="wide"
    )
    lower, upper = (column for column in table.columns if column.startswith("eti"))
    posterior, prior = (
        az.convert_to_dataset(tree[group].to_dataset()[names]) for group in ("posterior", "prior")
    )
    table = table.rename(columns={lower: "lower", upper: "upper"})
    table["ess_per_1000_gradients"] = 1000 * table["ess_bulk"] / gradients(tree)
    ratio = _width(posterior) / _width(prior)
    table["of_prior"] = np.concatenate([np.atleast_1d(ratio[name]).ravel() for name in names])
    columns = ["mean", "sd", "lower", "upper", "ess_bulk", "r_hat", "ess_per_1000_gradients"]
    return table[[*columns, "of_prior"]].astype(float)


def truth(tree: xr.DataTree) -> dict[str, float]:
    """Return the true parameters of simulated data, none for measured ones."""
    return json.loads(tree.attrs["provenance"]).get("truth", {})


def gradients(tree: xr.DataTree) -> float:
    """Return the cost of the kept draws in gradients of the full data (a shard's counts 1/K)."""
    steps = tree["sub_sample_stats"]["n_steps"]
    return float(steps.sum()) / steps.sizes["shard"]


def leapfrogs_per_draw(tree: xr.DataTree) -> float:
    """Return the mean number of leapfrog steps of one draw of one shard."""
    return float(tree["sub_sample_stats"]["n_steps"].mean())


def shard_agreement(draws: np.ndarray) -> Agreement:
    """Test whether sub-posteriors differ by more than their spread, as one fluid would not.

    With means m_k and covariances V_k, Σ (m_k - m)ᵀ V_k⁻¹ (m_k - m) about the precision-weighted
    mean m is χ² with (K-1) d degrees of freedom for Gaussian sub-posteriors under a weak prior;
    where the prior is strong it is smaller.

    Parameters
    ----------
    draws : numpy.ndarray
        (K, S, d) draws in unconstrained coordinates.
    """
    num_shards, _, d = draws.shape
    means = draws.mean(axis=1)
    spreads = draws.std(axis=1).mean(axis=0)
    scaled = means / spreads
    precisions = np.stack([np.linalg.inv(np.cov(one.T / spreads[:, None])) for one in draws])
    total = precisions.sum(axis=0)
    centre = np.linalg.solve(total, np.einsum("kij,kj->i", precisions, scaled))
    deviations = scaled - centre
    chi2 = float(np.einsum("ki,kij,kj->", deviations, precisions, deviations))
    dof = (num_shards - 1) * d
    scores = deviations / (draws.std(axis=1) / spreads) / np.sqrt(max(1 - 1 / num_shards, 1e-12))
    p_value = float(scipy.stats.chi2.sf(chi2, dof)) if dof else 1.0
    return Agreement(chi2, dof, p_value, scores)


def warnings(tree: xr.DataTree) -> list[str]:
    """Return what a reader must know before using the result, one sentence each."""
    return [
        "The intervals are uncorrected for correlated noise: they take the entries of c2 as "
        "independent, which they are not, and are too narrow.",
        *_start_warnings(tree),
        *_sampling_warnings(tree),
        *_prior_warnings(tree),
        *_data_warnings(tree),
    ]


def _start_warnings(tree: xr.DataTree) -> list[str]:
    found, warm = [], tree["warm_start"].attrs
    if warm["outcome"] != "converged":
        found.append(f"The warm start ended with: {warm['outcome']}.")
    if warm["num_agreeing"] < 2:
        found.append("Only one start of the warm start reached the best optimum: try more starts.")
    return found


def _sampling_warnings(tree: xr.DataTree) -> list[str]:
    found = []
    diverging = int(tree["sub_sample_stats"]["diverging"].sum())
    if diverging:
        found.append(
            f"{diverging} transitions diverged: raise target_accept_prob or use fewer shards."
        )
    rows = summary(tree, reported(tree) + coordinates(tree))
    bad = rows.index[rows["r_hat"] > MAX_R_HAT]
    if len(bad):
        found.append(f"R-hat exceeds {MAX_R_HAT} for {', '.join(bad)}: draw more.")
    needed = MIN_ESS_PER_CHAIN * tree["posterior"].sizes["chain"]
    bad = rows.index[rows["ess_bulk"] < needed]
    if len(bad):
        found.append(f"Bulk ESS is below {needed} for {', '.join(bad)}: draw more.")
    agreement = tree["sub_posteriors"].attrs
    if agreement["agreement_p_value"] < MIN_AGREEMENT_P:
        found.append(
            f"The shards disagree (χ² = {agreement['agreement_chi2']:.0f} on "
            f"{agreement['agreement_dof']} degrees of freedom): the model does not describe "
            "all the data alike, or a chain is stuck."
        )
    return found


def _prior_warnings(tree: xr.DataTree) -> list[str]:
    found, driven, apart = [], prior_driven(tree), prior_conflicts(tree)
    if driven:
        found.append(
            f"The data say little about {', '.join(driven)}: the prior sets their interval."
        )
    if apart:
        found.append(
            f"Prior and data pull apart in {', '.join(apart)}: the posterior mean lies more than "
            f"{CONFLICT:g} sd of the prior from its centre; see how another prior changes it."
        )
    return found


def _data_warnings(tree: xr.DataTree) -> list[str]:
    found = _outside_bounds(summary(tree))
    provenance = json.loads(tree.attrs["provenance"])
    assumed = provenance.get("assumed", [])
    if assumed:
        found.append(f"Assumed, not read from the file: {', '.join(assumed)}.")
    convention = provenance.get("convention", tree.attrs["convention"])
    if convention != tree.attrs["convention"]:
        found.append(
            f"The data were simulated in the {convention} convention and fitted in the "
            f"{tree.attrs['convention']} convention."
        )
    return found


def prior_driven(tree: xr.DataTree) -> list[str]:
    """Return the sampled coordinates whose interval is mostly the prior's."""
    names = _physical(tree)
    if not names:
        return []
    table = summary(tree, names)
    return list(table.index[table["of_prior"] > PRIOR_DRIVEN])


def prior_conflicts(tree: xr.DataTree) -> list[str]:
    """Return the sampled coordinates whose posterior mean lies far out in the prior."""
    posterior, prior = tree["posterior"], tree["prior"]
    distances = {
        name: abs(float(posterior[name].mean() - prior[name].mean())) / float(prior[name].std())
        for name in _physical(tree)
    }
    return [name for name, distance in distances.items() if distance > CONFLICT]


def _physical(tree: xr.DataTree) -> list[str]:
    return coordinates(tree) + [name for name in ("phi0",) if name in tree["posterior"]]


def _place(name: str) -> int:
    """Return the row of a parameter in the table; a user's own parameters come first."""
    return list(PARAMETERS).index(name) if name in PARAMETERS else -1


def _width(dataset: xr.Dataset) -> xr.Dataset:
    tail = (1 - INTERVAL) / 2
    ends = dataset.quantile([tail, 1 - tail], dim=("chain", "draw"))
    return ends.isel(quantile=1, drop=True) - ends.isel(quantile=0, drop=True)


def _outside_bounds(table: pd.DataFrame) -> list[str]:
    found = []
    for name, row in table.iterrows():
        parameter = PARAMETERS.get(str(name).split("[")[0])
        if parameter is None or parameter.bounds is None:
            continue
        low, high = parameter.bounds
        if not low <= row["mean"] <= high:
            found.append(
                f"{name} = {row['mean']:.4g} {parameter.unit} lies outside the range "
                f"{low:g} to {high:g} usual for it."
            )
    return found
