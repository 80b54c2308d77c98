"""Rows of the tables of a result, as text by name; `homodyne_bayes.results.tables` sets them."""

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from homodyne_bayes.results import budget as uncertainty
from homodyne_bayes.results import diagnostics, influence, sentences
from homodyne_bayes.results.diagnostics import Numbers, group
from homodyne_bayes.results.flow import below
from homodyne_bayes.results.levels import levels, suffixes
from homodyne_bayes.results.variables import TAIL
from homodyne_bayes.text import azimuth, interval, number, percent, rounded, short

MAX_LISTED = 6  # angles
MAX_SHARDS = 16  # of a table
OF_DRAWS = ("sd", "median", "mcse", "ess", "r_hat", "of_prior", "of_uncorrected", "warm_start")
NOT_KNOWN = np.array([np.nan])

Row = dict[str, str]


def parameters(numbers: Numbers, names: Sequence[str]) -> list[Row]:
    """Return one row of text for every scalar of some variables.

    Keys are label, name, mean, sd, median, interval, the widest (an upper limit, or that there is
    none, where the data leave it open), and others such as interval_68, unit, mcse (over the sd),
    ess, r_hat, of_prior, driven (not empty where the prior sets the interval), warm_start,
    of_uncorrected (a dash where noise is taken as independent), and truth and inside, empty for
    measured data.
    """
    scalars = [(name, at) for name in names for at in _entries_of(numbers, name)]
    lines = numbers.lines(names).iterrows()
    return [_row(numbers, *scalar, line) for scalar, (_, line) in zip(scalars, lines, strict=True)]


def labels(numbers: Numbers, names: Sequence[str]) -> list[str]:
    """Return what to call every scalar of some variables, angles included."""
    return [_label(numbers, name, at) for name in names for at in _entries_of(numbers, name)]


def of_role(numbers: Numbers, roles: Sequence[str]) -> list[Row]:
    """Return a row for every scalar of the parameters of some roles."""
    names = numbers.reported + numbers.coordinates
    names = [name for name in names if numbers.parameters[name].role in roles]
    return parameters(numbers, names) + held(numbers, roles)


def held(numbers: Numbers, roles: Sequence[str]) -> list[Row]:
    """Return a row for every parameter of some roles that was held, keys as of `parameters`."""
    return [
        _held(numbers, name, value)
        for name, value in numbers.held.items()
        if numbers.parameters[name].role in roles
    ]


def _held(numbers: Numbers, name: str, value: float) -> Row:
    """Return the row of what was held."""
    given = numbers.words("priors").get(name, "")
    said = {
        "label": _label(numbers, name, ()),
        "name": name,
        "mean": short(value),
        "interval": f"held, {given}" if given else "held",
        "unit": group(numbers.tree, "posterior")[name].attrs["units"],
    }
    others = [f"interval{which}" for which in suffixes(levels(numbers.tree)) if which]
    return (
        dict.fromkeys((*OF_DRAWS, *others), "–")
        | dict.fromkeys(("driven", "truth", "inside"), "")
        | said
    )


def _row(numbers: Numbers, name: str, at: tuple[int, ...], line: pd.Series) -> Row:
    sd, posterior = line["sd"], group(numbers.tree, "posterior")[name]
    start, shape = group(numbers.tree, "warm_start"), posterior.shape[2:]
    warm = start[name][:, :, *at].values if name in start else NOT_KNOWN
    low, high = np.quantile(warm, [TAIL, 1 - TAIL])
    driven = line["of_prior"] > numbers.limits["prior_driven"]
    left_open = numbers.flow is not None and numbers.flow.leaves_open(name)
    row = {
        "label": _label(numbers, name, at),
        "name": name,
        "mean": rounded(line["mean"], sd),
        "sd": rounded(sd, sd),
        "interval": below(line["upper"])
        if left_open
        else interval(line["lower"], line["upper"], sd),
        **{
            f"interval{which}": interval(line[f"lower{which}"], line[f"upper{which}"], sd)
            for which in suffixes(levels(numbers.tree))
            if which
        },
        "median": rounded(line["median"], sd),
        "unit": posterior.attrs["units"],
        "mcse": number(line["mcse"] / sd),
        "ess": number(line["ess"], 0),
        "r_hat": number(line["r_hat"], 3),
        "of_prior": percent(line["of_prior"]),
        "of_uncorrected": number(line["of_uncorrected"], 1),
        "driven": "prior-driven" if driven else "",
        "warm_start": interval(low, high, warm.std()),
        "truth": "",
        "inside": "",
    }
    if left_open:
        row |= dict.fromkeys(("ess", "of_uncorrected", "warm_start"), "–")
    truth = diagnostics.truth(numbers.tree)
    if name in truth:
        value = float(np.broadcast_to(truth[name], shape)[at])
        inside = not (value < line["lower"] or value > line["upper"])
        row |= {"truth": f"{value:.6g}".replace("-", "−")}
        row |= {"inside": "inside" if inside else "outside"}
    return row


def _label(numbers: Numbers, name: str, at: tuple[int, ...]) -> str:
    symbol, draws = numbers.parameters[name].symbol, group(numbers.tree, "posterior")[name]
    if not at:
        return symbol
    where = (
        azimuth(draws["phi"][at[0]], digits=6) if "phi" in draws.dims else ", ".join(map(str, at))
    )
    return f"{symbol} [{where}]"


def _entries_of(numbers: Numbers, name: str) -> list[tuple[int, ...]]:
    return list(np.ndindex(*group(numbers.tree, "posterior")[name].shape[2:]))


def budget(numbers: Numbers) -> list[Row]:
    """Return label, name, median, intervals and what dominates, of rates at t_ref and parameters.

    Intervals are statistical, systematic and combined; of a quantity that has an upper limit only,
    these limits. None where no uncertainties were stated, contrast and offset left out.
    """
    if not uncertainty.stated(numbers.tree):
        return []
    return [
        _budget_row(line)
        for line in uncertainty.lines(numbers.tree)
        if line.quantity.name not in numbers.parameters
        or numbers.parameters[line.quantity.name].role == "physical"
    ]


def _budget_row(line: uncertainty.Line) -> Row:
    quantity, moved = line.quantity, line.moved
    name = quantity.name + ("(t_ref)" if "t" in quantity.at else "")
    row = {"label": line.label, "name": name, "unit": quantity.unit, "median": "–"}
    if quantity.kind != "interval":
        limits = {"statistical": below(quantity.limit), "combined": below(quantity.combined_limit)}
        return row | limits | {"systematic": "–", "dominating": "–"}
    sd, systematic = line.sds[uncertainty.STATISTICS], line.systematic
    combined_sd = sd if moved is None else float(moved.std())
    least = "none" if line.told else "not told"
    dominating = f"{line.dominating}, {percent(line.share)}" if systematic else "statistics only"
    added = math.hypot(*(value for name, value in line.sds.items() if name in quantity.added))
    return row | {
        "median": rounded(line.median, sd),
        "statistical": interval(*line.statistical, sd),
        "systematic": least if systematic is None else interval(*systematic, added),
        "combined": interval(*line.combined, combined_sd) if line.told else "not told",
        "dominating": dominating if line.told else "not told",
    }


def misfit(numbers: Numbers) -> list[Row]:
    """Return kind, chi2, dof, p and meaning of every test of misfit; departs is empty if it fits.

    The meaning is what a departure of that kind would tell.
    """
    apart, meanings = numbers.departures, numbers.words("misfit")
    return [
        {
            "kind": str(kind),
            "chi2": number(line["chi2"], 1),
            "dof": f"{line['dof']:.0f}",
            "p": sentences.p_value(line["p"]).removeprefix("p ").removeprefix("= "),
            "departs": "departs" if kind in apart else "",
            "meaning": meanings.get(str(kind), "all kinds together" if kind == "all" else ""),
        }
        for kind, line in numbers.misfit_tests.iterrows()
    ]


def noise(numbers: Numbers) -> list[Row]:
    """Return symbol, value, meaning and phrase of everything the likelihood was told of the noise.

    The phrase is how a methods section says it.
    """
    if "noise" not in numbers.tree.children:
        return []
    told = group(numbers.tree, "noise")
    rows = []
    for values in told.data_vars.values():
        if "symbol" in values.attrs:
            row = {key: str(values.attrs.get(key, "")) for key in ("symbol", "meaning", "phrase")}
            value = _value(values)
            rows.append(row | {"value": value, "phrase": row["phrase"].replace("{}", value)})
    bins = int(told.attrs.get("bin_frames", 1))
    meaning = "frames averaged together in residuals; shorter lags are not compared"
    binned = {"symbol": "bin_frames", "value": f"{bins}", "meaning": meaning, "phrase": ""}
    return [*rows, binned] if bins > 1 else rows


def detector(numbers: Numbers) -> list[Row]:
    """Return what the detector tells of every wavevector beside what the maps say."""
    names = {"photons": "photons of a pixel in a frame", "pixels": "pixels of a bin"}
    return [
        {
            "q": f"{comparison.q:.4g}",
            "name": names[comparison.name],
            "told": short(comparison.told),
            "seen": short(comparison.seen),
            "error": percent(comparison.error),
            "p": f"{comparison.p:.2g}",
            "departs": "yes" if comparison in numbers.unlike else "",
        }
        for comparison in numbers.comparisons
    ]


def _value(values: xr.DataArray) -> str:
    """Return a value, of every angle (phi,) where they differ, or the range of many."""
    if values.dims != ("phi",):
        return short(float(values.mean()))
    if "q" in values.coords:
        of_q = {float(q): values.values[values["q"].values == q] for q in values["q"].values}
        if all(np.ptp(same) == 0 for same in of_q.values()):
            return ", ".join(f"{short(of_q[q][0])} ({q:.4g} 1/Å)" for q in sorted(of_q))
    if np.ptp(values.values) == 0:
        return short(float(values[0]))
    texts = [short(value) for value in values.values]
    if len(texts) > MAX_LISTED:
        return f"{short(float(values.min()))} to {short(float(values.max()))}, {len(texts)} angles"
    return ", ".join(
        f"{text} ({azimuth(phi)})" for text, phi in zip(texts, values.phi, strict=True)
    )


def shards(numbers: Numbers) -> list[Row]:
    """Return a row for each shard, those that deviate most first; of more than 16, 16."""
    if "shard_checks" not in numbers.tree.children:
        return []
    checks = group(numbers.tree, "shard_checks")
    size = np.nan_to_num(np.abs(checks["score"].values), nan=np.inf)
    worst, kept = size.argmax(axis=1), np.argsort(-size.max(axis=1), kind="stable")[:MAX_SHARDS]
    return [
        {
            "shard": f"{k}",
            "r_hat": number(checks["r_hat"].values[k], 3),
            "ess": f"{checks['ess'].values[k]:.0f}",
            "diverging": f"{checks['diverging'].values[k]}",
            "score": number(checks["score"].values[k, worst[k]], 1),
            "coordinate": str(checks["coordinate"].values[worst[k]]),
        }
        for k in kept
    ]


def corrections(numbers: Numbers) -> list[Row]:
    """Return label, shift and sd_ratio of every scalar: how far the approximation was off.

    None where there is nothing to compare: not certified, or draws that needed no weights.
    """
    if not (numbers.certified and numbers.words("method").get("approximation")):
        return []
    held = group(numbers.tree, "approximation")
    names = [name for name in numbers.reported + numbers.coordinates if name in held]
    lines = numbers.corrections.iterrows()
    return [
        {"label": label, "shift": number(line["shift"]), "sd_ratio": number(line["sd_ratio"])}
        for label, (_, line) in zip(labels(numbers, names), lines, strict=True)
    ]


def sensitivity(numbers: Numbers) -> list[Row]:
    """Return label, name, prior, likelihood and diagnosis of power scaling of what was sampled."""
    return [
        {
            "label": numbers.parameters[str(name)].symbol,
            "name": str(name),
            "prior": number(line["prior"], 3),
            "likelihood": number(line["likelihood"], 3),
            "diagnosis": line["diagnosis"],
        }
        for name, line in numbers.sensitivity.loc[influence.judged(numbers.tree)].iterrows()
    ]


def priors(numbers: Numbers) -> list[Row]:
    """Return label, name, meaning, prior, unit and reason of what has a prior here."""
    stated: Mapping[str, str] = json.loads(numbers.tree.attrs["priors"])
    used = group(numbers.tree, "unconstrained_posterior")
    return [
        {
            "label": parameter.symbol,
            "name": name,
            "meaning": parameter.meaning,
            "prior": stated[name],
            "unit": parameter.unit,
            "reason": numbers.words("priors").get(name, ""),
        }
        for name, parameter in numbers.parameters.items()
        if name in stated and (name in used or name in numbers.held or parameter.role == "scaling")
    ]
