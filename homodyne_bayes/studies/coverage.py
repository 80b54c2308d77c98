"""Coverage: how often intervals hold the truth, by simulating experiments like the one measured.

The speckle is simulated pixel by pixel and knows nothing of the likelihood. What a likelihood
promises, that 90 % intervals hold the truth in 90 % of experiments, is counted.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from homodyne_bayes import environment, files
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path
from homodyne_bayes.fitting.describe import parameter_rows
from homodyne_bayes.fitting.plan import models_of
from homodyne_bayes.fitting.sample import Sampled, sample_posterior
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.inference import density
from homodyne_bayes.inference.infer import Progress, silent
from homodyne_bayes.likelihood.rescale import parameter_values
from homodyne_bayes.model_files import model_name
from homodyne_bayes.parameters import Prior
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.rates import window_of
from homodyne_bayes.results import page
from homodyne_bayes.results.figures import BLUE, VERMILION
from homodyne_bayes.studies.study import Study, like, recorded, seeds

__all__ = ["Study", "cover", "figure", "like", "render", "table", "verdict", "write"]

METHOD = "laplace"  # fast
LEVELS = (0.9, 0.5)
KINDS = ("reported", "uncorrected")
NUM_DRAWS = 2000  # of the least squares fit
TOLERANCE = 0.05  # of coverage, which the likelihood promises
RECORDS = ("study", "settings", "priors", "versions", "parameters")


def cover(
    study: Study, config: FitConfig, num_simulations: int, progress: Progress = silent
) -> xr.Dataset:
    """Simulate experiments, fit each, and keep the intervals and the truth.

    Beside the reported intervals, central ones of the posterior under ``config``, stand the
    uncorrected: those of the least squares fit, a Gaussian, with entries of c2 independent.

    Parameters
    ----------
    study : Study
        What is measured, and the truth.
    config : FitConfig
        How every experiment is fitted; from its seed every experiment has keys of its own.
    num_simulations : int
        Number of experiments.
    progress : callable
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    xarray.Dataset
        ``lower``, ``upper`` (simulation, intervals, level, parameter), ``sd`` (simulation,
        intervals, parameter), ``truth`` (simulation, parameter), in the parameters' units; and
        ``certified``, ``k_hat``, ``seconds`` (simulation,). Contrast and offset have one entry an
        angle, e.g. ``contrast[0]``.

    Raises
    ------
    InputError
        If the experiments do not follow the model that is fitted, or there is none.
    """
    if config.record != study.experiment.model:
        raise InputError(
            f"experiments must be fitted with the model that they follow, found {config.model!r} "
            f"for {', '.join(study.experiment.parameters)}: leave out --model"
        )
    if config.scale.held:
        raise InputError(
            "coverage counts intervals of contrast and offset, found scaling "
            f"{config.scaling!r}, which has none: pass another --scaling"
        )
    priors = models_of(config, window_of(study.experiment.grid)).priors
    rows: list[dict[str, Any]] = []
    for key, seed in seeds(config.seed, num_simulations):
        progress("simulating", len(rows), num_simulations)
        began = time.perf_counter()
        truth, data = study.measure(key)
        truth = _estimated(truth, priors, config.record)
        row = _experiment(truth, data, replace(config, seed=seed))
        rows.append({**row, "seconds": time.perf_counter() - began})
    progress("simulating", num_simulations, num_simulations)
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    dims = ("simulation", "intervals", "level", "parameter")
    return xr.Dataset(
        {
            "lower": (dims, stacked["ends"][:, :, 0]),
            "upper": (dims, stacked["ends"][:, :, 1]),
            "sd": (("simulation", "intervals", "parameter"), stacked["sd"]),
            "truth": (("simulation", "parameter"), stacked["truth"]),
            **{name: ("simulation", stacked[name]) for name in ("certified", "k_hat", "seconds")},
        },
        {"intervals": list(KINDS), "level": list(LEVELS), "parameter": _labels(truth)},
        files.as_attributes(
            {
                "title": "homodyne_bayes coverage",
                "model": model_name(config.model),
                "noise": config.noise,
                "method": config.method,
                "seed": config.seed,
                "num_uncertified": int((~stacked["certified"]).sum()),
                "study": recorded(study),
                "parameters": parameter_rows(config.parameters, {*truth}),
                "pooled": {
                    "all parameters": [n for n in study.experiment.parameters if n in truth],
                    "all coordinates": [r.name for r in config.record.table if r.name in priors],
                },
                "settings": config.recorded(),
                "priors": {name: str(prior) for name, prior in priors.items()},
                "versions": environment.versions(),
            }
        ),
    )


def table(dataset: xr.Dataset) -> pd.DataFrame:
    """Return coverage and width of the intervals of every parameter, and of all together.

    Experiments that were not certified count like all others. Angles are pooled; so are, in rows
    of their own, the parameters that models report and the coordinates that are sampled.

    Parameters
    ----------
    dataset : xarray.Dataset
        As `cover` returns.

    Returns
    -------
    pandas.DataFrame
        Index parameter; columns (intervals, quantity) with, for "reported" and "uncorrected",
        ``coverage_90``, ``error_90``, ``coverage_50``, ``error_50``, and ``width``, the median
        over experiments of the 90 % interval, NaN where different parameters are pooled. Errors
        are one sd of simulating no more experiments, by Wilson's formula; pooled entries of one
        experiment are not taken as independent.
    """
    names = [str(name).partition("[")[0] for name in dataset["parameter"].values]
    members: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
    pools = json.loads(dataset.attrs["pooled"])
    members |= {row: tuple(pool) for row, pool in pools.items() if {*pool} & {*names}}
    inside = (dataset["lower"] <= dataset["truth"]) & (dataset["truth"] <= dataset["upper"])
    width = (dataset["upper"] - dataset["lower"]).sel(level=LEVELS[0])
    lines: dict[str, dict[tuple[str, str], float]] = {}
    for row, pooled in members.items():
        at, cells = np.flatnonzero(np.isin(names, pooled)), {}
        for kind in KINDS:
            shares = inside.sel(intervals=kind).values[..., at].mean(axis=-1).T
            for level, share in zip(("90", "50"), shares, strict=True):
                cells[kind, f"coverage_{level}"] = float(share.mean())
                cells[kind, f"error_{level}"] = _wilson(share)
            middle = float(np.median(width.sel(intervals=kind).values[:, at]))
            cells[kind, "width"] = np.nan if row in pools else middle
        lines[row] = cells
    return pd.DataFrame(lines).T.rename_axis("parameter")


def verdict(rows: pd.DataFrame) -> str:
    """Return in a sentence what `table` found of the reported 90 % intervals, all together."""
    coverage, error = rows["reported"].loc["all parameters", ["coverage_90", "error_90"]]
    counted = f"the 90 % intervals hold the truth in {100 * coverage:.1f} ± {100 * error:.1f} %"
    if coverage + 2 * error < LEVELS[0] - TOLERANCE:
        return f"The intervals are too narrow: {counted}."
    if coverage - 2 * error > LEVELS[0] + TOLERANCE:
        return f"The intervals are too wide: {counted}."
    if 2 * error > TOLERANCE:
        return f"There are too few experiments to say more: {counted}."
    return f"The intervals are as wide as they should be: {counted}."


def figure(dataset: xr.Dataset) -> Figure:
    """Draw coverage against what is promised, and reported widths against uncorrected ones."""
    rows = table(dataset)
    heights = np.arange(len(rows))[::-1]
    fig = Figure((7.5, 1.3 + 0.26 * len(rows)), layout="constrained")
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=(1.7, 1))
    for nominal in LEVELS:
        left.axvline(100 * nominal, color="0.4", linestyle=":", linewidth=1)
    for kind, color, shift in zip(KINDS, (BLUE, VERMILION), (0.13, -0.13), strict=True):
        for level, face in ((90, color), (50, "white")):
            middle, error = (100 * rows[kind, f"{what}_{level}"] for what in ("coverage", "error"))
            left.errorbar(
                middle,
                heights + shift,
                xerr=2 * error,
                fmt="o",
                color=color,
                mfc=face,
                ms=4,
                lw=1,
                label=f"{kind}, {level} %",
            )
    parameters = json.loads(dataset.attrs["parameters"])
    symbols = {row["name"]: f"${row['latex']}$" for row in parameters if row["latex"]}
    left.set_yticks(heights, [symbols.get(str(name), str(name)) for name in rows.index])
    left.set(xlim=(-2, 102), xlabel="experiments whose interval holds the truth (%)")
    widths = rows.xs("width", axis=1, level=1)
    right.plot(widths["reported"] / widths["uncorrected"], heights, "o", color=BLUE, markersize=4)
    right.axvline(1, color="0.4", linestyle=":", linewidth=1)
    right.set(xscale="log", xlabel="reported width / uncorrected width")
    right.xaxis.set_major_formatter("{x:g}")
    for ax in (left, right):
        ax.grid(axis="y", color="0.9", linewidth=0.6)
        ax.spines[["top", "right", "left"]].set_visible(False)
    entries = left.get_legend_handles_labels()
    fig.legend(*entries, loc="outside upper center", ncols=4, frameon=False)
    return fig


def write(dataset: xr.Dataset, path: Path) -> tuple[Path, Path]:
    """Write coverage to netCDF, its figure and its page beside it; return these two paths."""
    drawn, page = path.with_suffix(".png"), path.with_suffix(".html")
    text = render(dataset)
    with (
        atomic_path(page) as temporary_page,
        atomic_path(drawn) as temporary_figure,
        atomic_path(path) as temporary,
    ):
        temporary_page.write_text(text, encoding="utf-8")
        figure(dataset).savefig(temporary_figure, dpi=200, metadata=environment.MADE_BY)
        dataset.to_netcdf(temporary, engine="netcdf4", encoding=files.text_as_characters(dataset))
    return drawn, page


def render(dataset: xr.Dataset) -> str:
    """Return the study as one HTML page without outside resources."""
    rows = table(dataset)
    flat = rows.set_axis(["_".join(column) for column in rows.columns], axis=1)
    truths = dataset["truth"].quantile((0.0, 0.5, 1.0), "simulation").to_pandas()
    records = {name: json.loads(dataset.attrs[name]) for name in RECORDS}
    parameters = records.pop("parameters")
    physical = json.loads(dataset.attrs["pooled"])["all parameters"]
    return page.page(
        "coverage.html",
        **records,
        attrs=dataset.attrs,
        parameters={row["name"]: row for row in parameters},
        verdict=verdict(rows),
        total=dataset.sizes["simulation"],
        seconds=float(dataset["seconds"].median()),
        rows=flat.assign(name=rows.index).to_dict("records"),
        truths={name: truths[name].to_list() for name in physical if name in truths},
        figure=page.embedded(figure(dataset)),
    )


def _estimated(
    truth: Mapping[str, np.ndarray], priors: Mapping[str, Prior], model: Model
) -> dict[str, np.ndarray]:
    """Return what of a truth has an interval: what was neither held nor is no longer sampled."""
    held = {name for name, prior in priors.items() if prior.fixed}
    coordinates = {row.name for row in model.table if row.role == "coordinate"}
    left_out = held | (coordinates - {*priors})
    return {name: value for name, value in truth.items() if name not in left_out}


def _experiment(
    truth: Mapping[str, np.ndarray], data: TwoTimeData, config: FitConfig
) -> dict[str, Any]:
    """Return truth, intervals, sd and verdict of one experiment."""
    made = sample_posterior(data, config)
    priors = made.plan.priors
    truth = {n: priors[n].wrapped(value) if n in priors else value for n, value in truth.items()}
    draws = [_scalars(values, list(truth)) for values in _draws(made, config.seed)]
    return {
        "truth": np.concatenate([value.ravel() for value in truth.values()]),
        "ends": np.stack([_ends(scalars) for scalars in draws]),
        "sd": np.stack([scalars.std(axis=0) for scalars in draws]),
        "certified": made.inference.certificate.certified,
        "k_hat": made.inference.certificate.attempts[-1].k_hat,
    }


def _draws(made: Sampled, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return parameters at draws of the posterior, and at draws of the least squares fit."""
    theta, covariance = np.asarray(made.warm.theta), np.asarray(made.warm.covariance)
    gaussian = np.random.default_rng(seed).multivariate_normal(theta, covariance, NUM_DRAWS)
    draws = jnp.asarray(made.inference.draws.reshape(-1, made.inference.draws.shape[-1]))
    return (
        parameter_values(jax.random.key(seed), made.model, made.whole, draws),
        density.constrain(made.plan.least_squares, made.unweighted, jnp.asarray(gaussian)),
    )


def _scalars(values: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
    """Return draws of the scalars of some parameters, (N, number of scalars)."""
    return np.hstack([values[name].reshape(len(values[name]), -1) for name in names])


def _ends(draws: np.ndarray) -> np.ndarray:
    """Return lower and upper ends of central intervals of draws (N, s), (2, level, s)."""
    tails = (1 - np.array(LEVELS)) / 2
    return np.quantile(draws, np.stack([tails, 1 - tails]), axis=0)


def _labels(truth: dict[str, np.ndarray]) -> list[str]:
    scalars = [(name, index) for name in truth for index in np.ndindex(truth[name].shape)]
    return [f"{name}[{index[0]}]" if index else name for name, index in scalars]


def _wilson(share: np.ndarray) -> float:
    """Return half the width of Wilson's interval of one sd for the mean of shares (N,).

    The effective number of entries is that which explains the scatter of the shares.
    """
    number, mean = float(len(share)), share.mean()
    variance = share.var() / number
    n = mean * (1 - mean) / variance if variance > 0 else number
    return float(np.sqrt(mean * (1 - mean) / n + 0.25 / n**2) / (1 + 1 / n))
