"""Numbers that say whether a result can be trusted, computed from its DataTree."""

import json
from collections.abc import Sequence
from functools import cached_property

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from homodyne_bayes.results import store
from homodyne_bayes.results.store import Parameter, group
from homodyne_bayes.thresholds import INTERVAL, Fault

TAIL = (1 - INTERVAL) / 2


class Numbers:
    """A result and what follows from it, each thing computed once, when it is first asked for.

    Parameters
    ----------
    tree : xarray.DataTree
        A result of `homodyne_bayes.fitting.pipeline.fit`; it must not be changed afterwards.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self.tree = tree

    @property
    def certified(self) -> bool:
        """Whether the draws can be taken for the posterior of all the data."""
        return bool(self.tree["certificate"].attrs["certified"])

    @cached_property
    def faults(self) -> tuple[Fault, ...]:
        """What speaks against the draws, or spoke against earlier attempts, in order."""
        return store.faults(self.tree)

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """What the result says of its parameters, in the order of tables."""
        return store.parameters(self.tree)

    @cached_property
    def limits(self) -> dict[str, float]:
        """The numbers that decided the verdict."""
        return store.limits(self.tree)

    @cached_property
    def reported(self) -> list[str]:
        """The parameters as users know them."""
        return reported(self.tree)

    @cached_property
    def coordinates(self) -> list[str]:
        """The coordinates in which the result was sampled."""
        return coordinates(self.tree)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """`summary` of all parameters, those that are reported first."""
        return summary(self.tree, self.reported + self.coordinates)

    @cached_property
    def misfit_tests(self) -> pd.DataFrame:
        """The tests of misfit, see `misfit_tests`."""
        return misfit_tests(self.tree)

    @cached_property
    def departures(self) -> list[str]:
        """The kinds of misfit that were found, see `departures`."""
        return departures(self.tree)

    @cached_property
    def corrections(self) -> pd.DataFrame:
        """How far the approximation was off in each scalar, see `corrections`."""
        return corrections(self.tree)

    @cached_property
    def prior_driven(self) -> list[str]:
        """The coordinates whose interval is mostly the prior's."""
        return prior_driven(self.tree)

    def words(self, choice: str) -> dict[str, str]:
        """Return what a choice, or misfit, says of itself."""
        return store.words(self.tree, choice)

    def lines(self, names: Sequence[str]) -> pd.DataFrame:
        """Return the summary of some variables, a row a scalar."""
        posterior = group(self.tree, "posterior")
        sizes = {name: posterior[name][0, 0].size for name in self.reported + self.coordinates}
        ends = dict(zip(sizes, np.cumsum(list(sizes.values())), strict=True))
        rows = [i for name in names for i in range(ends[name] - sizes[name], ends[name])]
        return self.summary.iloc[rows]


def reported(tree: xr.DataTree) -> list[str]:
    """Return the parameters of a result as users know them, in the order of tables."""
    rows = store.parameters(tree)
    return [n for n in rows if n in tree["posterior"] and rows[n].role != "coordinate"]


def coordinates(tree: xr.DataTree) -> list[str]:
    """Return the coordinates in which a result was sampled, in the order of tables."""
    rows = store.parameters(tree)
    return [n for n in rows if n in tree["posterior"] and rows[n].role == "coordinate"]


def sampled(tree: xr.DataTree) -> list[str]:
    """Return the sampled variables: coordinates first, then others in the order of tables."""
    names = coordinates(tree) + reported(tree)
    return [name for name in names if name in tree["unconstrained_posterior"]]


def scalars(tree: xr.DataTree, names: list[str]) -> list[str]:
    """Return those variables that have one value a draw, other than those of the noise."""
    rows = store.parameters(tree)
    return [n for n in names if rows[n].role != "noise" and tree["posterior"][n].ndim == 2]


def summary(tree: xr.DataTree, names: list[str] | None = None) -> pd.DataFrame:
    """Return mean, sd, 90 % interval, diagnostics and cost of every parameter.

    Parameters
    ----------
    tree : xarray.DataTree
        A result of `homodyne_bayes.fitting.pipeline.fit`.
    names : list of str, optional
        Variables of the posterior; by default all but the sampler's coordinates.

    Returns
    -------
    pandas.DataFrame
        One row a scalar: mean, sd, lower and upper end of the equal-tailed 90 % interval,
        ess_bulk, r_hat, ESS per 1000 evaluations of all the data, of_prior and of_uncorrected:
        width of the interval over that of the prior, and over that of the least squares fit under
        independent noise; NaN where noise is taken as independent anyway.
    """
    names = reported(tree) if names is None else names
    table = az.summary(
        tree, var_names=names, ci_prob=INTERVAL, ci_kind="eti", round_to="none", fmt="wide"
    )
    lower, upper = (column for column in table.columns if column.startswith("eti"))
    table = table.rename(columns={lower: "lower", upper: "upper"})
    table["ess_per_1000_evaluations"] = 1000 * table["ess_bulk"] / evaluations(tree)
    for column, other in (("of_prior", "prior"), ("of_uncorrected", "warm_start")):
        ratio = widths(tree, names, other)
        table[column] = np.concatenate([np.atleast_1d(ratio[name]).ravel() for name in names])
    if "noise" not in tree.children:
        table["of_uncorrected"] = np.nan
    columns = ["mean", "sd", "lower", "upper", "ess_bulk", "r_hat", "ess_per_1000_evaluations"]
    return table[[*columns, "of_prior", "of_uncorrected"]].astype(float)


def misfit_tests(tree: xr.DataTree) -> pd.DataFrame:
    """Return the tests of misfit that could be made, "all" first, none under independent noise.

    Columns are chi2, dof, p, and p_adjusted, p times the number of tests (Bonferroni).
    """
    columns = ["chi2", "dof", "p"]
    if "noise" not in tree.children or not {*columns} <= {*tree["noise"].data_vars}:
        return pd.DataFrame(columns=[*columns, "p_adjusted"])
    found = group(tree, "noise")[columns].to_dataframe()
    found = found[found["dof"] > 0]
    return found.assign(p_adjusted=(len(found) * found["p"]).clip(upper=1.0))


def departures(tree: xr.DataTree) -> list[str]:
    """Return the kinds of misfit that were found, the worst first; "all" if none alone."""
    found = misfit_tests(tree)
    found = found[found["p_adjusted"] <= store.limits(tree)["misfit"]]
    worst_first = found.sort_values(["p", "chi2"], ascending=[True, False])
    names = [str(kind) for kind in worst_first.index]
    return [name for name in names if name != "all"] or names


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


def all_by_nuts(tree: xr.DataTree) -> bool:
    """Return whether the draws are those of NUTS on all the data."""
    return "diverging" in tree["sample_stats"]


def lack_pairs(tree: xr.DataTree) -> bool:
    """Return whether pairs of usable frames were not measured."""
    return bool(tree.attrs["num_missing"])


def corrections(tree: xr.DataTree, names: list[str] | None = None) -> pd.DataFrame:
    """Return how far the approximation was off in each scalar, in posterior sd.

    Columns are ``shift``, its mean minus the result's, over the result's sd, and ``sd_ratio``.
    They tell nothing where the result is not certified, or where NUTS made both.
    """
    names = reported(tree) + coordinates(tree) if names is None else names
    names = [name for name in names if name in tree["approximation"]]
    tables = [
        az.summary(group(tree, one)[names], kind="stats", round_to="none", fmt="wide")
        for one in ("posterior", "approximation")
    ]
    final, raw = (table[["mean", "sd"]].astype(float) for table in tables)
    return pd.DataFrame(
        {"shift": (raw["mean"] - final["mean"]) / final["sd"], "sd_ratio": raw["sd"] / final["sd"]}
    )


def sensitivity(tree: xr.DataTree) -> pd.DataFrame:
    """Return how the sampled coordinates respond to prior and likelihood raised to a power.

    Columns ``prior`` and ``likelihood`` hold the power-scaling sensitivity of each coordinate,
    ``diagnosis`` what it means, empty where the prior hardly matters (Kallioinen et al., Stat.
    Comput. 34:57, 2024).
    """
    names = scalars(tree, sampled(tree))
    scaled = {
        one: az.psense(tree, var_names=names or None, group=one) for one in ("prior", "likelihood")
    }
    table = pd.DataFrame(
        {one: {name: float(found[name]) for name in names} for one, found in scaled.items()}
    )
    sensitive = table > store.limits(tree)["sensitive"]
    diagnosis = np.where(
        sensitive["likelihood"], "prior-data conflict", "strong prior / weak likelihood"
    )
    return table.assign(diagnosis=np.where(sensitive["prior"], diagnosis, ""))


def prior_driven(tree: xr.DataTree) -> list[str]:
    """Return the sampled coordinates whose interval is mostly the prior's."""
    names = scalars(tree, sampled(tree))
    ratio, most = widths(tree, names, "prior"), store.limits(tree)["prior_driven"]
    return [name for name in names if float(ratio[name]) > most]


def prior_conflicts(tree: xr.DataTree) -> list[str]:
    """Return the sampled coordinates whose posterior mean lies far out in the prior."""
    posterior, prior = tree["posterior"], tree["prior"]
    distances = {
        name: abs(float(posterior[name].mean() - prior[name].mean())) / float(prior[name].std())
        for name in scalars(tree, sampled(tree))
    }
    most = store.limits(tree)["conflict"]
    return [name for name, distance in distances.items() if distance > most]


def outside_bounds(tree: xr.DataTree, table: pd.DataFrame) -> dict[str, Parameter]:
    """Return the labels in a summary whose mean lies outside the usual range, and whose it is."""
    rows, found = store.parameters(tree), {}
    for label, mean in table["mean"].items():
        parameter = rows.get(str(label).split("[")[0])
        if parameter is not None and not parameter.bounds[0] <= mean <= parameter.bounds[1]:
            found[str(label)] = parameter
    return found


def widths(tree: xr.DataTree, names: list[str], other: str) -> xr.Dataset:
    """Return widths of the posterior's intervals over those of the draws of another group."""
    both, ends = [group(tree, one) for one in ("posterior", other)], [TAIL, 1 - TAIL]
    shared = [name for name in names if name in both[1]]
    here, there = (one[shared].quantile(ends, ("chain", "draw")).diff("quantile") for one in both)
    unknown = {n: both[0][n].isel(chain=0, draw=0) * np.nan for n in names if n not in shared}
    return (here / there).isel(quantile=0, drop=True).assign(unknown)
