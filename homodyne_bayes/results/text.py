"""Numbers of a result as rows of text, for the report and the terminal."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from homodyne_bayes.likelihood.misfit import KINDS
from homodyne_bayes.parameters import PARAMETERS, PER_ANGLE
from homodyne_bayes.results import diagnostics
from homodyne_bayes.results.diagnostics import TAIL, group
from homodyne_bayes.text import place

PLAIN_DECIMALS = 6
MAX_LISTED = 6  # angles
ETA = {
    "speckle": "part of the information of the working covariance that is real: intervals are "
    "1/√η times as wide as it alone would make them",
    "corrected": "part of the information of independent entries that is real: intervals are 1/√η "
    "times as wide as they alone would make them",
}
WEIGHT = {
    "speckle": "weight of rᵀK⁻¹r in −2 log L, r the residuals of an angle and K their working "
    "covariance: from the scatter of r, times η",
    "corrected": "weight of the squared residuals of an angle in −2 log L: one over their "
    "variance, times η",
}


def rows(tree: xr.DataTree, names: list[str]) -> list[dict[str, str]]:
    """Return one row of text for every scalar of some variables.

    Keys are label, mean, sd, interval, unit, r_hat, ess, ess_per_1000_evaluations, of_prior, driven
    (not empty where the prior sets the interval), warm_start, of_uncorrected (a dash where noise is
    taken as independent), and truth and inside, empty for measured data.
    """
    if not names:
        return []
    table = diagnostics.summary(tree, names)
    scalars = [(name, index) for name in names for index in _indices(tree, name)]
    return [
        _row(tree, name, index, line)
        for (name, index), (_, line) in zip(scalars, table.iterrows(), strict=True)
    ]


def labels(tree: xr.DataTree, names: list[str]) -> list[str]:
    """Return what to call every scalar of some variables, angles included."""
    return [_label(tree, name, index) for name in names for index in _indices(tree, name)]


def noise(tree: xr.DataTree) -> list[dict[str, str]]:
    """Return symbol, value and meaning of everything that the likelihood was told of the noise."""
    found = group(tree, "noise")
    bins = int(found.attrs["bin_frames"])
    table = [
        (
            "β",
            _by_wavevector(found["contrast"]),
            "speckle contrast, contrast / offset² of the fit, mean of the angles; not the shear "
            "exponent",
        ),
        (
            "e",
            _by_wavevector(found["nugget"]),
            "shot noise of a pixel in a frame, as a variance "
            "relative to the mean intensity squared: the nugget on the diagonal of S",
        ),
        ("1/e", _by_wavevector(found["mean_photons"]), "photons of a pixel in a frame, on average"),
        ("η", f"{float(found['eta']):.3g}", ETA[tree.attrs["noise"]]),
        (
            "M",
            _by_angle(found["num_pixels"]),
            "independent pixels of an angle: so many simulated "
            "pixels would scatter as its residuals do",
        ),
        ("w", _by_angle(found["weight"]), WEIGHT[tree.attrs["noise"]]),
    ]
    if bins > 1:
        table.append(
            (
                "bin_frames",
                f"{bins}",
                "frames averaged together in residuals; shorter lags are not compared",
            )
        )
    return [dict(zip(("symbol", "value", "meaning"), row, strict=True)) for row in table]


def misfit(tree: xr.DataTree) -> list[dict[str, str]]:
    """Return kind, chi2, dof, p and meaning of every test of misfit; departs is empty if it fits.

    The meaning is what a departure of that kind would tell.
    """
    table, apart = diagnostics.misfit_tests(tree), diagnostics.departures(tree)
    return [
        {
            "kind": str(kind),
            "chi2": number(line["chi2"], 1),
            "dof": f"{line['dof']:.0f}",
            "p": diagnostics.p_value(line["p"]).removeprefix("p ").removeprefix("= "),
            "departs": "departs" if kind in apart else "",
            "meaning": KINDS[str(kind)].meaning if kind in KINDS else "all kinds together",
        }
        for kind, line in table.iterrows()
    ]


def priors(tree: xr.DataTree) -> list[dict[str, str]]:
    """Return name, meaning, prior and unit of every quantity that was sampled."""
    stated: Mapping[str, str] = json.loads(tree.attrs["priors"])
    used = group(tree, "unconstrained_posterior")
    return [
        {
            "label": PARAMETERS[name].symbol,
            "name": name,
            "meaning": PARAMETERS[name].meaning,
            "prior": prior,
            "unit": PARAMETERS[name].unit,
        }
        for name, prior in stated.items()
        if name in used or name in PER_ANGLE
    ]


def rounded(value: float, sd: float) -> str:
    """Return a value to the second significant digit of its uncertainty ``sd``.

    >>> rounded(9835.6, 2169.3), rounded(-0.2294, 0.04995), rounded(3.1e-8, 2.4e-9)
    ('9800', '−0.229', '3.10e−08')
    """
    if not (math.isfinite(value) and math.isfinite(sd)):
        return "–"
    if sd <= 0:
        return f"{value:.4g}".replace("-", "−")
    decimals = 1 - int(f"{sd:.1e}".partition("e")[2])
    value = round(value, decimals) + 0.0  # no negative zero
    if decimals <= PLAIN_DECIMALS:
        text = f"{value:.{max(decimals, 0)}f}"
    else:
        digits = decimals + math.floor(math.log10(abs(value))) if value else 0
        text = f"{value:.{max(digits, 0)}e}"
    return text.replace("-", "−")


def number(value: float, decimals: int = 2) -> str:
    """Return a value with so many decimals.

    >>> number(-0.234), number(-0.001), number(float("inf")), number(float("nan"))
    ('−0.23', '0.00', '∞', '–')
    """
    if math.isnan(value):
        return "–"
    text = f"{round(value, decimals) + 0.0:.{decimals}f}"  # no negative zero
    return text.replace("-", "−").replace("inf", "∞")


def plain(value: Any) -> Any:
    """Return mappings, lists, text and numbers as JSON holds them, what is not finite as None."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, Mapping):
        return {str(name): plain(own) for name, own in value.items()}
    if isinstance(value, list | tuple):
        return [plain(own) for own in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str | None) else str(value)


def percent(share: float) -> str:
    """Return a share in percent.

    >>> percent(0.0123), percent(1.07)
    ('1.2 %', '107 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _row(tree: xr.DataTree, name: str, index: tuple[int, ...], line: pd.Series) -> dict[str, str]:
    sd, shape = line["sd"], group(tree, "posterior")[name].shape[2:]
    start = group(tree, "warm_start")
    warm = start[name].values.reshape(-1, *shape) if name in start else np.full((1, *shape), np.nan)
    warm_low, warm_high, warm_sd = (
        one[index] for one in (*np.quantile(warm, [TAIL, 1 - TAIL], axis=0), warm.std(axis=0))
    )
    row = {
        "label": _label(tree, name, index),
        "name": name,
        "mean": rounded(line["mean"], sd),
        "sd": rounded(sd, sd),
        "interval": _interval(line["lower"], line["upper"], sd),
        "unit": group(tree, "posterior")[name].attrs["units"],
        "r_hat": f"{line['r_hat']:.3f}",
        "ess": f"{line['ess_bulk']:.0f}",
        "ess_per_1000_evaluations": f"{line['ess_per_1000_evaluations']:.0f}",
        "of_prior": percent(line["of_prior"]),
        "of_uncorrected": number(line["of_uncorrected"], 1),
        "driven": "prior-driven" if line["of_prior"] > diagnostics.PRIOR_DRIVEN else "",
        "warm_start": _interval(warm_low, warm_high, warm_sd),
        "truth": "",
        "inside": "",
    }
    if name in diagnostics.truth(tree):
        value = float(np.broadcast_to(diagnostics.truth(tree)[name], shape)[index])
        inside = line["lower"] <= value <= line["upper"]
        row |= {"truth": f"{value:.6g}".replace("-", "−")}
        row |= {"inside": "inside" if inside else "outside"}
    return row


def _interval(lower: float, upper: float, sd: float) -> str:
    return f"{rounded(lower, sd)} to {rounded(upper, sd)}" if math.isfinite(sd) else "–"


def _label(tree: xr.DataTree, name: str, index: tuple[int, ...]) -> str:
    symbol = PARAMETERS[name].symbol if name in PARAMETERS else name
    if not index:
        return symbol
    if name not in PER_ANGLE:
        return f"{symbol} [{', '.join(map(str, index))}]"
    return f"{symbol} [{place(group(tree, 'posterior')['phi'][index[0]], digits=6)}]"


def _indices(tree: xr.DataTree, name: str) -> list[tuple[int, ...]]:
    return list(np.ndindex(*group(tree, "posterior")[name].shape[2:]))


def _by_angle(values: xr.DataArray) -> str:
    """Return a value (phi,) of every angle, or the range of many."""
    texts = [f"{value:.0f}" for value in values.values]
    if len(texts) > MAX_LISTED:
        return f"{float(values.min()):.0f} to {float(values.max()):.0f}, {len(texts)} angles"
    return ", ".join(f"{text} ({place(phi)})" for text, phi in zip(texts, values.phi, strict=True))


def _by_wavevector(values: xr.DataArray) -> str:
    """Return the value (phi,) of every wavevector, which all its angles share."""
    if "q" not in values.coords:
        return f"{float(values[0]):.3g}"
    first = dict(zip(values["q"].values[::-1], values.values[::-1], strict=True))
    return ", ".join(f"{first[q]:.3g} ({q:.4g} 1/Å)" for q in sorted(first))
