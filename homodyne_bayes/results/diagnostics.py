"""Numbers that say whether a result can be trusted, computed from its DataTree."""

import json

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from homodyne_bayes.inference.convergence import MAX_R_HAT, MIN_ESS_PER_CHAIN
from homodyne_bayes.likelihood.misfit import KINDS
from homodyne_bayes.parameters import COORDINATES, PARAMETERS

INTERVAL = 0.9
TAIL = (1 - INTERVAL) / 2
PRIOR_DRIVEN = 0.7  # of the prior's interval width
CONFLICT = 2.0  # of the prior's sd
MISFIT = 0.01  # of a p-value, times the number of tests
TINY_P = 1e-6  # below this a χ² is no longer exact enough to tell how small
SENSITIVE = 0.05  # of power-scaling, Kallioinen et al., Stat. Comput. 34:57, 2024
INTERVAL_NOTES = {
    "speckle": "",
    "corrected": ", corrected least squares",
    "independent": ", uncorrected",
}
SETTING_WARNINGS = {
    "corrected": "The intervals are those of least squares, widened for correlated noise: they are "
    "valid, but wider than need be. Fit with --noise speckle for narrower ones.",
    "independent": "The intervals are uncorrected for correlated noise: they take the entries of "
    "c2 as independent, which they are not, and are much too narrow. Fit with --noise speckle, "
    "where every pair of frames was measured, for intervals that hold what they say.",
    "constant": "Contrast and offset were held fixed, and the intervals ignore that they are "
    "uncertain; quantiles misjudge them where the maps do not decay to their baseline.",
}


def group(tree: xr.DataTree, name: str) -> xr.Dataset:
    """Return one group of a result."""
    return tree.children[name].to_dataset()


def reported(tree: xr.DataTree) -> list[str]:
    """Return the parameters of a result as users know them, in the table's order."""
    present = [str(name) for name in tree["posterior"].data_vars if name not in COORDINATES]
    return sorted(present, key=_place)


def coordinates(tree: xr.DataTree) -> list[str]:
    """Return the coordinates in which a result was sampled, in the table's order."""
    return [name for name in COORDINATES if name in tree["posterior"]]


def sampled(tree: xr.DataTree) -> list[str]:
    """Return the sampled variables: coordinates first, then others in the table's order."""
    names = coordinates(tree) + reported(tree)
    return [name for name in names if name in tree["unconstrained_posterior"]]


def scalars(tree: xr.DataTree, names: list[str]) -> list[str]:
    """Return those variables that have one value a draw, other than sigma."""
    return [name for name in names if name != "sigma" and tree["posterior"][name].ndim == 2]


def summary(tree: xr.DataTree, names: list[str] | None = None) -> pd.DataFrame:
    """Return mean, sd, 90 % interval, diagnostics and cost of every parameter.

    Parameters
    ----------
    tree : xarray.DataTree
        A result of `homodyne_bayes.fitting.pipeline.fit`.
    names : list of str, optional
        Variables of the posterior; by default upstream's names, contrast, offset and sigma.

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
        ratio = _share(tree, names, other)
        table[column] = np.concatenate([np.atleast_1d(ratio[name]).ravel() for name in names])
    if tree.attrs["noise"] == "independent":
        table["of_uncorrected"] = np.nan
    columns = ["mean", "sd", "lower", "upper", "ess_bulk", "r_hat", "ess_per_1000_evaluations"]
    return table[[*columns, "of_prior", "of_uncorrected"]].astype(float)


def interval_label(tree: xr.DataTree) -> str:
    """Return what to call the interval: its level, and how far it takes noise as correlated."""
    return f"{100 * INTERVAL:.0f} % interval{INTERVAL_NOTES[tree.attrs['noise']]}"


def growth(tree: xr.DataTree) -> str:
    """Return how much wider the intervals are than under independent noise, in one sentence.

    Empty where noise is taken as independent.
    """
    ratio = summary(tree)["of_uncorrected"].dropna()
    if ratio.empty:
        return ""
    return (
        f"The intervals are {ratio.median():.1f} times as wide as those of the same model under "
        f"independent noise (median over {len(ratio)} parameters, from {ratio.min():.1f} to "
        f"{ratio.max():.1f})."
    )


def misfit_tests(tree: xr.DataTree) -> pd.DataFrame:
    """Return the tests of misfit that could be made, "all" first, none under independent noise.

    Columns are chi2, dof, p, and p_adjusted, p times the number of tests (Bonferroni).
    """
    if "noise" not in tree.children:
        return pd.DataFrame(columns=["chi2", "dof", "p", "p_adjusted"])
    found = group(tree, "noise")[["chi2", "dof", "p"]].to_dataframe()
    found = found[found["dof"] > 0]
    return found.assign(p_adjusted=(len(found) * found["p"]).clip(upper=1.0))


def departures(tree: xr.DataTree) -> list[str]:
    """Return the kinds of misfit that were found, the worst first; "all" if none alone."""
    found = misfit_tests(tree)
    found = found[found["p_adjusted"] <= MISFIT]
    worst_first = found.sort_values(["p", "chi2"], ascending=[True, False])
    names = [str(kind) for kind in worst_first.index]
    return [name for name in names if name != "all"] or names


def misfit(tree: xr.DataTree) -> list[str]:
    """Return whether the model fits and what follows, one sentence each.

    None where noise is taken as independent: it does not tell misfit from correlated noise.
    """
    found, kinds = misfit_tests(tree), departures(tree)
    white = "whitened " if tree.attrs["noise"] == "speckle" else ""
    tested = ", ".join(str(name) for name in found.index if name != "all")
    if found.empty:
        return []
    if not kinds:
        return [
            f"No departure from the model was found: of {len(found)} tests ({tested}, and all "
            f"together) the smallest p is {found['p'].min():.2g}, and "
            f"{found['p_adjusted'].min():.2g} once corrected for their number. Departures of other "
            "kinds, and ones too small for these data, are not excluded.",
        ]
    return [
        "The data depart from the model: " + "; ".join(_departure(found, k) for k in kinds) + ".",
        "The parameters are then effective values of the nearest model: their intervals hold "
        "these, and not a constant of the physical system.",
        f"See in the maps of {white}residuals where it happens, and try another model, fewer "
        "frames or other angles.",
    ]


def p_value(p: float) -> str:
    """Return a p-value as text.

    >>> p_value(0.0312), p_value(3e-20)
    ('p = 0.031', 'p < 10⁻⁶')
    """
    return f"p = {p:.2g}" if p >= TINY_P else "p < 10⁻⁶"


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


def method(tree: xr.DataTree) -> str:
    """Return which approximation was weighed, in a few words."""
    settings = json.loads(tree.attrs["settings"])
    made = {
        "consensus": f"{settings['merge']} merge of {settings['num_shards']} shards",
        "laplace": "least squares fit",
        "full": "NUTS on all the data",
    }
    return f"{settings['method']}: {made[settings['method']]}"


def certificate(tree: xr.DataTree) -> str:
    """Return the verdict on a result and what it rests on, in one sentence."""
    found, last = tree["certificate"].attrs, tree["certificate"].isel(attempt=-1)
    if all_by_nuts(tree):
        verdict = "Certified" if found["certified"] else "NOT CERTIFIED"
        outcome = "converged" if found["certified"] else "did not converge"
        return f"{verdict}: the draws are those of NUTS on all the data, which {outcome}."
    if not found["certified"]:
        return f"NOT CERTIFIED: the draws are those of the {found['draws_from']}, unweighted."
    return (
        f"Certified: {int(tree['certificate']['num_evaluations'].sum())} draws of proposals "
        f"weighed by the posterior of all the data, k-hat {float(last['k_hat']):.2f}, "
        f"ESS {float(last['ess']):.0f}."
    )


def refused(tree: xr.DataTree) -> list[str]:
    """Return what was refused on the way to the result and why, one sentence each."""
    return [f"{reason}." for reason in json.loads(tree["certificate"].attrs["refused"])]


def advice(tree: xr.DataTree) -> list[str]:
    """Return what to try where a result is not certified, one sentence each; none where it is."""
    if tree["certificate"].attrs["certified"]:
        return []
    settings, why = json.loads(tree.attrs["settings"]), " ".join(refused(tree))
    sharded, cavity = settings["method"] == "consensus", settings["merge"] == "cavity"
    far = "k-hat" in why or "disagree" in why
    more = (
        "Let NUTS on all the data take over: raise rescue_pairs, now "
        f"{settings['rescue_pairs']}, well above the {int(tree.attrs['num_pairs'])} pairs of the "
        "data, or choose method full."
    )
    steps = {
        "Draw more: raise num_warmup and num_samples.": "R-hat" in why or "ESS" in why,
        "Raise target_accept_prob towards 1, so that transitions diverge less.": "diverged" in why,
        "Merge by the rule cavity, which is exactest.": far and sharded and not cavity,
        "Deal fewer shards: lower num_shards.": far and sharded and settings["num_shards"] > 2,
        more: not all_by_nuts(tree),
    }
    return [sentence for sentence, applies in steps.items() if applies]


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
    sensitive = table > SENSITIVE
    diagnosis = np.where(
        sensitive["likelihood"], "prior-data conflict", "strong prior / weak likelihood"
    )
    return table.assign(diagnosis=np.where(sensitive["prior"], diagnosis, ""))


def warnings(tree: xr.DataTree) -> list[str]:
    """Return what a reader must know before using the result, one sentence each."""
    table = summary(tree, reported(tree) + coordinates(tree))
    choices = [tree.attrs["noise"], tree.attrs["scaling"]]
    return [
        *[SETTING_WARNINGS[choice] for choice in choices if choice in SETTING_WARNINGS],
        *(misfit(tree) if departures(tree) else []),
        *_start_warnings(tree),
        *_draws_warnings(tree, table),
        *_prior_warnings(tree),
        *_outside_bounds(table),
        *_data_warnings(tree),
    ]


def prior_driven(tree: xr.DataTree) -> list[str]:
    """Return the sampled coordinates whose interval is mostly the prior's."""
    names = scalars(tree, sampled(tree))
    ratio = _share(tree, names, "prior")
    return [name for name in names if float(ratio[name]) > PRIOR_DRIVEN]


def prior_conflicts(tree: xr.DataTree) -> list[str]:
    """Return the sampled coordinates whose posterior mean lies far out in the prior."""
    posterior, prior = tree["posterior"], tree["prior"]
    distances = {
        name: abs(float(posterior[name].mean() - prior[name].mean())) / float(prior[name].std())
        for name in scalars(tree, sampled(tree))
    }
    return [name for name, distance in distances.items() if distance > CONFLICT]


def _start_warnings(tree: xr.DataTree) -> list[str]:
    found, warm = [], tree["warm_start"].attrs
    if warm["outcome"] != "converged":
        found.append(f"The warm start ended with: {warm['outcome']}.")
    if warm["num_agreeing"] < 2:
        found.append("Only one start of the warm start reached the best optimum: try other seeds.")
    return found


def _draws_warnings(tree: xr.DataTree, table: pd.DataFrame) -> list[str]:
    """Return what is left to say about draws that are certified; `refused` says it of others."""
    if not tree["certificate"].attrs["certified"]:
        return []
    found, needed = [], MIN_ESS_PER_CHAIN * tree["posterior"].sizes["chain"]
    bad = table.index[table["r_hat"] > MAX_R_HAT]
    if len(bad):
        found.append(f"R-hat exceeds {MAX_R_HAT} for {', '.join(bad)}: draw more.")
    bad = table.index[table["ess_bulk"] < needed]
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
    found, provenance = [], json.loads(tree.attrs["provenance"])
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


def _place(name: str) -> int:
    """Return the row of a parameter in the table; a user's own parameters come first."""
    return list(PARAMETERS).index(name) if name in PARAMETERS else -1


def _departure(found: pd.DataFrame, kind: str) -> str:
    chi2, dof, p = (float(found[name][kind]) for name in ("chi2", "dof", "p"))
    meaning = KINDS[kind].meaning if kind in KINDS else "no kind departs alone, all together do"
    return f"{meaning} ({kind}: χ² = {chi2:.1f} on {dof:.0f}, {p_value(p)})"


def _share(tree: xr.DataTree, names: list[str], other: str) -> xr.Dataset:
    """Return widths of the posterior's intervals over those of the draws of another group."""
    both, ends = [group(tree, one) for one in ("posterior", other)], [TAIL, 1 - TAIL]
    shared = [name for name in names if name in both[1]]
    own, others = (one[shared].quantile(ends, ("chain", "draw")).diff("quantile") for one in both)
    unknown = {n: both[0][n].isel(chain=0, draw=0) * np.nan for n in names if n not in shared}
    return (own / others).isel(quantile=0, drop=True).assign(unknown)


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
