"""Numbers that say whether a result can be trusted, computed from its DataTree."""

import json
from collections.abc import Sequence
from functools import cached_property

import arviz as az
import numpy as np
import pandas as pd
import scipy.stats
import xarray as xr

from homodyne_bayes.results import influence, store, told
from homodyne_bayes.results.flow import Flow, flow
from homodyne_bayes.results.levels import levels, suffixes
from homodyne_bayes.results.store import Parameter, group
from homodyne_bayes.results.told import Comparison
from homodyne_bayes.results.variables import coordinates, held, reported, widths
from homodyne_bayes.thresholds import INTERVAL, REWEIGHTED, Fault

COLUMNS = ("mcse", "ess", "r_hat", "ess_per_1000_evaluations", "of_prior", "of_uncorrected")


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
    def held(self) -> dict[str, float]:
        """The parameters that were held, with their values."""
        return held(self.tree)

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
    def frames(self) -> list[int]:
        """The frames that stand out, see `frames`."""
        return frames(self.tree)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """What the detector tells against what the maps say, see `told.comparisons`."""
        return told.comparisons(self.tree)

    @cached_property
    def unlike(self) -> list[Comparison]:
        """The comparisons that chance does not explain, see `told.unlike`."""
        return told.unlike(self.comparisons, self.limits["unlike"])

    @cached_property
    def corrections(self) -> pd.DataFrame:
        """How far the approximation was off in each scalar, see `corrections`."""
        return corrections(self.tree)

    @cached_property
    def prior_driven(self) -> list[str]:
        """What was sampled and whose interval is mostly the prior's."""
        return influence.prior_driven(self.tree)

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """How what was sampled responds to prior and likelihood, see `influence.sensitivity`."""
        return influence.sensitivity(self.tree)

    @cached_property
    def undecided(self) -> dict[str, float]:
        """What is reported and rests on priors, and how far, see `influence.undecided`."""
        return influence.undecided(self.tree, self.flow)

    @cached_property
    def conflicts(self) -> list[str]:
        """What was sampled and lies far out in its prior, see `influence.prior_conflicts`."""
        return influence.prior_conflicts(self.tree)

    @cached_property
    def flow(self) -> Flow | None:
        """How the model stands against the same fluid at rest, None where there is no such."""
        return flow(self.tree)

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


def summary(tree: xr.DataTree, names: list[str] | None = None) -> pd.DataFrame:
    """Return mean, sd, median, intervals, diagnostics and cost of every parameter.

    Parameters
    ----------
    tree : xarray.DataTree
        A result of `homodyne_bayes.fitting.pipeline.fit`.
    names : list of str, optional
        Variables of the posterior; by default all but the sampler's coordinates.

    Returns
    -------
    pandas.DataFrame
        One row a scalar: mean, sd, median, lower and upper end of the widest equal-tailed interval
        of `homodyne_bayes.results.levels`, then of others, such as lower_68; mcse, the
        Monte Carlo error of the mean, and ess, as many independent draws have it; r_hat, NaN
        but for chains of NUTS on all the data; ESS per 1000 evaluations of what was sampled;
        of_prior and of_uncorrected: width of the interval over that of the prior, and over that of
        the least squares fit under independent noise; NaN where noise is taken as independent.
        What the data leave open, as the parameters of flow where no flow is not excluded, has no
        mean, sd, median and lower end; the upper end of a rate is then its 95 % upper limit.
    """
    names = reported(tree) if names is None else names
    table = az.summary(
        tree, var_names=names, ci_prob=INTERVAL, ci_kind="eti", round_to="none", fmt="wide"
    ).astype(float)
    table = table.assign(**_quantiles(tree, names))
    stated = [f"{end}{which}" for which in suffixes(levels(tree)) for end in ("lower", "upper")]
    shown = ["mean", "sd", "median", *stated]
    if all_by_nuts(tree):
        table = table.rename(columns={"mcse_mean": "mcse", "ess_bulk": "ess"})
    else:
        table = table.assign(mcse=_errors(tree, names), r_hat=np.nan)
        table["ess"] = (table["sd"] / table["mcse"]) ** 2
    table["ess_per_1000_evaluations"] = 1000 * table["ess"] / evaluations(tree)
    for column, other in (("of_prior", "prior"), ("of_uncorrected", "warm_start")):
        ratio = widths(tree, names, other)
        table[column] = np.concatenate([np.atleast_1d(ratio[name]).ravel() for name in names])
    if "noise" not in tree.children:
        table["of_uncorrected"] = np.nan
    odds = flow(tree)
    for name in names:
        if odds is not None and odds.leaves_open(name):
            limit = odds.limit_of(group(tree, "posterior")[name])
            table.loc[name, [*shown, "mcse"]] = np.nan
            table.loc[name, "upper"] = limit
    return table[[*shown, *COLUMNS]]


def _quantiles(tree: xr.DataTree, names: list[str]) -> dict[str, np.ndarray]:
    """Return medians and ends of the stated intervals of every scalar of some variables."""
    posterior = group(tree, "posterior")
    draws = [posterior[name].values.reshape(*posterior[name].shape[:2], -1) for name in names]
    every = np.concatenate(draws, axis=-1)
    made = {"median": np.median(every, axis=(0, 1))}
    for which, level in suffixes(levels(tree)).items():
        low, high = np.quantile(every, [(1 - level) / 2, (1 + level) / 2], axis=(0, 1))
        made |= {f"lower{which}": low, f"upper{which}": high}
    return made


def _errors(tree: xr.DataTree, names: list[str]) -> np.ndarray:
    """Return Monte Carlo errors of means of resampled draws, NaN where draws have no weights.

    A draw that was taken n times counts with the weight n, once.
    """
    density = group(tree, "sample_stats")["lp"].values
    _, which, counts = np.unique(density, return_inverse=True, return_counts=True)
    copies = counts[which].reshape(density.shape)
    posterior, variances = group(tree, "posterior"), []
    for name in names:
        draws = posterior[name].values.reshape(*density.shape, -1)
        squares = (draws - draws.mean(axis=(0, 1))) ** 2
        variances.append((copies[..., None] * squares).mean(axis=(0, 1)) / density.size)
    weighed = tree["certificate"].attrs["draws_from"] == REWEIGHTED
    errors = np.sqrt(np.concatenate(variances))
    return errors if weighed else np.full_like(errors, np.nan)


def misfit_tests(tree: xr.DataTree) -> pd.DataFrame:
    """Return the tests of misfit that could be made, "all" first, none under independent noise.

    Columns are chi2, dof, p, and p_adjusted, p times the number of tests (Bonferroni).
    """
    columns = ["chi2", "dof", "p"]
    if "noise" not in tree.children or not {*columns} <= {*tree["noise"].data_vars}:
        return pd.DataFrame(columns=[*columns, "p_adjusted"])
    tests = group(tree, "noise")[columns].to_dataframe()
    tests = tests[tests["dof"] > 0]
    return tests.assign(p_adjusted=(len(tests) * tests["p"]).clip(upper=1.0))


def departures(tree: xr.DataTree) -> list[str]:
    """Return the kinds of misfit that were found, the worst first; "all" if none alone."""
    tests = misfit_tests(tree)
    tests = tests[tests["p_adjusted"] <= store.limits(tree)["misfit"]]
    worst_first = tests.sort_values(["p", "chi2"], ascending=[True, False])
    names = [str(kind) for kind in worst_first.index]
    return [name for name in names if name != "all"] or names


def frames(tree: xr.DataTree) -> list[int]:
    """Return the frames that stand out from the model, counted in the file."""
    if "frame" not in departures(tree):
        return []
    noise = group(tree, "noise")
    scores = np.abs([noise[name].values for name in ("frame_shift", "frame_decay")])
    most = scipy.stats.norm.isf(0.5 * store.limits(tree)["misfit"] / scores.size)
    first = json.loads(tree.attrs["provenance"]).get("first_frame", 0)
    size = int(noise.attrs["bin_frames"])
    bins = np.flatnonzero((scores > most).any(axis=0))
    return [int(first + size * at + frame) for at in bins for frame in range(size)]


def truth(tree: xr.DataTree) -> dict[str, float]:
    """Return the true parameters of simulated data, none for measured ones."""
    return json.loads(tree.attrs["provenance"]).get("truth", {})


def evaluations(tree: xr.DataTree) -> float:
    """Return what a result cost in evaluations, values and gradients alike, of what was sampled.

    That is all the data, compressed or not: leapfrog steps of NUTS, warm-up included, a shard's
    counting 1/K, and draws weighed. The warm start is not counted.
    """
    cost = tree["certificate"].attrs
    return float(cost["gradients"] + cost["evaluations"])


def compressed(tree: xr.DataTree) -> bool:
    """Return whether maps were sampled in a compressed form, which all the data then judged."""
    return "judged_deviation" in tree["certificate"].attrs


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
        az.summary(group(tree, which)[names], kind="stats", round_to="none", fmt="wide")
        for which in ("posterior", "approximation")
    ]
    final, raw = (table[["mean", "sd"]].astype(float) for table in tables)
    return pd.DataFrame(
        {"shift": (raw["mean"] - final["mean"]) / final["sd"], "sd_ratio": raw["sd"] / final["sd"]}
    )


def outside_bounds(tree: xr.DataTree, table: pd.DataFrame) -> dict[str, Parameter]:
    """Return the labels in a summary whose mean lies outside the usual range, and whose it is."""
    rows, outside = store.parameters(tree), {}
    for label, mean in table["mean"].items():
        parameter = rows.get(str(label).split("[")[0])
        if parameter is not None and (mean < parameter.bounds[0] or mean > parameter.bounds[1]):
            outside[str(label)] = parameter
    return outside
