"""Numbers that say whether a result can be trusted, computed from its DataTree."""

import json

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from homodyne_bayes.convergence import MAX_R_HAT, MIN_ESS_PER_CHAIN
from homodyne_bayes.parameters import COORDINATES, PARAMETERS

INTERVAL = 0.9
PRIOR_DRIVEN = 0.7  # of the prior's interval width
CONFLICT = 2.0  # of the prior's sd
SENSITIVE = 0.05  # of power-scaling, Kallioinen et al., Stat. Comput. 34:57, 2024


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
        ess_bulk, r_hat, ESS per 1000 evaluations of all the data, and width of the interval over
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
    table["ess_per_1000_evaluations"] = 1000 * table["ess_bulk"] / evaluations(tree)
    ratio = _width(posterior) / _width(prior)
    table["of_prior"] = np.concatenate([np.atleast_1d(ratio[name]).ravel() for name in names])
    columns = ["mean", "sd", "lower", "upper", "ess_bulk", "r_hat", "ess_per_1000_evaluations"]
    return table[[*columns, "of_prior"]].astype(float)


def truth(tree: xr.DataTree) -> dict[str, float]:
    """Return the true parameters of simulated data, none for measured ones."""
    return json.loads(tree.attrs["provenance"]).get("truth", {})


def evaluations(tree: xr.DataTree) -> float:
    """Return what a result cost in evaluations of all the data, values and gradients alike.

    Leapfrog steps of NUTS, warm-up included, a shard's counting 1/K, and draws weighed. The warm
    start is not counted.
    """
    cost = tree["certificate"].attrs
    return float(cost["gradients"] + cost["evaluations"])


def certificate(tree: xr.DataTree) -> str:
    """Return the verdict on a result and what it rests on, in one sentence."""
    found, last = tree["certificate"].attrs, tree["certificate"].isel(attempt=-1)
    if not found["certified"]:
        return f"NOT CERTIFIED: the draws are those of the {found['draws_from']}, unweighted."
    if found["draws_from"] == "reweighted draws":
        return (
            f"Certified: {int(tree['certificate']['num_evaluations'].sum())} draws of proposals "
            f"weighed by the posterior of all the data, k-hat {float(last['k_hat']):.2f}, "
            f"ESS {float(last['ess']):.0f}."
        )
    return "Certified: NUTS on all the data, converged."


def corrections(tree: xr.DataTree, names: list[str] | None = None) -> pd.DataFrame:
    """Return how far the approximation was off in each scalar, in posterior sd.

    Columns are ``shift``, its mean minus the result's, over the result's sd, and ``sd_ratio``.
    """
    names = reported(tree) + coordinates(tree) if names is None else names
    tables = [
        az.summary(tree[group].to_dataset()[names], kind="stats", round_to="none", fmt="wide")
        for group in ("posterior", "approximation")
    ]
    final, raw = (table[["mean", "sd"]].astype(float) for table in tables)
    return pd.DataFrame(
        {"shift": (raw["mean"] - final["mean"]) / final["sd"], "sd_ratio": raw["sd"] / final["sd"]}
    )


def sensitivity(tree: xr.DataTree) -> pd.DataFrame:
    """Return how the sampled coordinates respond to prior and likelihood raised to a power.

    Columns ``prior`` and ``likelihood`` hold the power-scaling sensitivity of each coordinate
    (Kallioinen et al., Stat. Comput. 34:57, 2024); above 0.05 one is sensitive.
    """
    names = _physical(tree)
    scaled = {
        group: az.psense(tree, var_names=names, group=group) for group in ("prior", "likelihood")
    }
    return pd.DataFrame(
        {group: {name: float(found[name]) for name in names} for group, found in scaled.items()}
    )


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
    refused = json.loads(tree["certificate"].attrs["refused"])
    found = [f"Refused: {sentence}." for sentence in refused]
    rows = summary(tree, reported(tree) + coordinates(tree))
    bad = rows.index[rows["r_hat"] > MAX_R_HAT]
    if len(bad):
        found.append(f"R-hat exceeds {MAX_R_HAT} for {', '.join(bad)}: draw more.")
    needed = MIN_ESS_PER_CHAIN * tree["posterior"].sizes["chain"]
    bad = rows.index[rows["ess_bulk"] < needed]
    if len(bad):
        found.append(f"Bulk ESS is below {needed} for {', '.join(bad)}: draw more.")
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
