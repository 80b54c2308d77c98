"""Simulation-based calibration: whether truths rank uniformly among draws of their posteriors.

A truth drawn from the prior and draws of the posterior given data that the truth made are
exchangeable, so the rank of the one among the others is uniform if, and for every quantity only
if, the sampler is right (Talts et al., arXiv:1804.06788).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.stats
import xarray as xr
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

from homodyne_bayes import environment, files
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path
from homodyne_bayes.fitting.describe import parameter_rows
from homodyne_bayes.fitting.plan import models_of
from homodyne_bayes.fitting.sample import sample_posterior
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.inference import density
from homodyne_bayes.inference.infer import Progress, silent
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.model_files import model_name
from homodyne_bayes.physics.points import ShardGrid, map_grid
from homodyne_bayes.physics.rates import window_of
from homodyne_bayes.results.figures import BLUE, GREY
from homodyne_bayes.studies.study import seeds

NUM_DRAWS = 99  # a truth is ranked among, so that ranks take 100 values
NUM_BINS = (20, 10, 5, 2)
LEAST_EXPECTED = 5  # simulations in a bin, for χ² to be χ²
BAND = 0.99


@dataclass(frozen=True)
class Design:
    """What every simulation measures.

    Attributes
    ----------
    phi : tuple of float
        Azimuths, degree.
    num_frames : int
        Number of frames G.
    q, dt, gap : float
        Wavevector (1/Å), frame spacing (s), gap (Å).
    """

    phi: tuple[float, ...]
    num_frames: int
    q: float = 0.0054
    dt: float = 0.1
    gap: float = 2e6


def ranks(
    design: Design, config: FitConfig, num_simulations: int, progress: Progress = silent
) -> xr.Dataset:
    """Return ranks of truths among 99 evenly thinned draws of their posteriors.

    Every truth is drawn from the priors of ``config``, its maps are the model's with independent
    noise, and both have their own seed. They are fitted with ``noise="independent"`` whatever
    ``config`` says, because ranks are uniform only where the likelihood is that of the data;
    `homodyne_bayes.studies.coverage` tests the others on simulated speckle. Beside the sampler's
    coordinates the log likelihood is ranked, which is low for all draws where the sampler missed
    the mode of the truth (Modrák et al., Bayesian Analysis 20:461, 2025). Truths never tie with
    draws, which are continuous; copies among reweighted draws are spread by the thinning.

    Parameters
    ----------
    design : Design
        What is measured.
    config : FitConfig
        Priors, sampler and seed; ``noise`` and ``bin_frames`` are not looked at.
    num_simulations : int
        Number of truths.
    progress : callable
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    xarray.Dataset
        ``rank`` (simulation, parameter), 0 to 99, and ``certified`` (simulation,).

    Raises
    ------
    InputError
        If contrast and offset are not those of every angle, or there is no simulation.
    """
    if not config.scale.per_angle:
        raise InputError(
            "calibration ranks contrast and offset of every angle, and needs scaling shared or "
            f"individual, found {config.scaling!r}: leave out --scaling"
        )
    config = replace(config, noise="independent", bin_frames=1)
    grid = _grid(design, config)
    model = models_of(config, window_of(grid)).least_squares
    draw = _prior_predictive(design, model, grid)
    ranked: list[np.ndarray] = []
    certified: list[bool] = []
    for key, seed in seeds(config.seed, num_simulations):
        progress("simulating", len(ranked), num_simulations)
        truth, data = draw(key)
        made = sample_posterior(data, replace(config, seed=seed))
        inference, truth = made.inference, _as_fitted(truth, model, made.plan.model, grid)
        draws = np.concatenate([inference.draws, inference.log_likelihood[..., None]], axis=-1)
        ranked.append(rank(truth, draws.reshape(-1, draws.shape[-1])))
        certified.append(inference.certificate.certified)
    progress("simulating", num_simulations, num_simulations)
    names = [
        *density.labels(model, grid),
        "log_likelihood",
    ]
    return xr.Dataset(
        {"rank": (("simulation", "parameter"), ranked), "certified": ("simulation", certified)},
        {"parameter": names},
        files.as_attributes(
            {
                "title": "homodyne_bayes simulation-based calibration",
                "model": model_name(config.model),
                "parameters": parameter_rows(
                    config.parameters, {row.name for row in config.parameters}
                ),
                "method": config.method,
                "num_draws": NUM_DRAWS,
                "num_left_out": certified.count(False),
                "seed": config.seed,
                "design": asdict(design),
                "settings": config.recorded(),
                "priors": {name: str(prior) for name, prior in model.priors},
                "versions": environment.versions(),
            }
        ),
    )


def rank(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return how many of 99 evenly thinned draws (N, d) lie below the truth (d,)."""
    thinned = draws[np.linspace(0, len(draws) - 1, NUM_DRAWS).round().astype(int)]
    return (thinned < truth).sum(axis=0)


def uniformity(ranks: xr.Dataset) -> pd.DataFrame:
    """Test whether ranks are uniform, by χ² in 20 bins, or fewer where simulations are few.

    What was not certified is left out. That looks at data and draws, never at the truth: as far
    as it follows the data, ranks stay uniform, and as far as it follows chance in the draws, what
    is tested is the promise made to users, that certified draws are those of the posterior.

    Parameters
    ----------
    ranks : xarray.Dataset
        As `ranks` returns.

    Returns
    -------
    pandas.DataFrame
        Index parameter; columns chi2, p and p_adjusted, p times the number of parameters.

    Raises
    ------
    InputError
        If no simulation was certified.
    """
    counts = histograms(ranks)
    chi2, p = scipy.stats.chisquare(counts, axis=1)
    names = pd.Index(ranks["parameter"].values, name="parameter")
    adjusted = np.minimum(1.0, p * len(names))
    return pd.DataFrame({"chi2": chi2, "p": p, "p_adjusted": adjusted}, index=names)


def histograms(ranks: xr.Dataset) -> np.ndarray:
    """Return how many certified simulations have their rank in each bin, (parameter, bin)."""
    kept = ranks["rank"].values[ranks["certified"].values]
    if len(kept) == 0:
        raise InputError(
            f"none of {ranks.sizes['simulation']} simulations was certified: give the sampler "
            "more, e.g. --num-samples"
        )
    enough = [bins for bins in NUM_BINS if len(kept) >= LEAST_EXPECTED * bins]
    num_bins = enough[0] if enough else NUM_BINS[-1]
    values = NUM_DRAWS + 1
    return np.stack([np.histogram(column, num_bins, (0, values))[0] for column in kept.T])


def figure(ranks: xr.Dataset) -> Figure:
    """Draw rank histograms and the band that holds 99 % of the bars of a right sampler."""
    counts = histograms(ranks)
    latex = {row["name"]: row["latex"] for row in json.loads(ranks.attrs["parameters"])}
    num_parameters, num_bins = counts.shape
    kept = int(ranks["certified"].sum())
    low, high = scipy.stats.binom.interval(BAND, kept, 1 / num_bins)
    edges = np.linspace(0, NUM_DRAWS + 1, num_bins + 1)
    ncols = min(4, num_parameters)
    nrows = -(-num_parameters // ncols)
    fig = Figure((2.4 * ncols, 0.6 + 1.7 * nrows), layout="constrained")
    axes = fig.subplots(nrows, ncols, sharex=True, sharey=True, squeeze=False).flat
    for ax, name, bars in zip(axes, ranks["parameter"].values, counts, strict=False):
        ax.axhspan(low, high, color=GREY, lw=0)
        ax.axhline(kept / num_bins, color="0.4", linestyle=":", linewidth=1)
        ax.stairs(bars, edges, color=BLUE)
        ax.set_title(_symbol(name, latex), fontsize="medium")
        ax.set(xlim=(0, NUM_DRAWS + 1), ylim=(0, None))
    for ax in list(axes)[num_parameters:]:
        ax.remove()
    fig.supxlabel(f"rank of the truth among {NUM_DRAWS} draws", fontsize="medium")
    fig.supylabel("simulations", fontsize="medium")
    return fig


def write(ranks: xr.Dataset, path: Path) -> Path:
    """Write ranks to netCDF and their figure as PNG beside it; return the path of the figure."""
    drawn = path.with_suffix(".png")
    with atomic_path(drawn) as temporary_figure, atomic_path(path) as temporary:
        figure(ranks).savefig(temporary_figure, dpi=150, metadata=environment.MADE_BY)
        ranks.to_netcdf(temporary, engine="netcdf4", encoding=files.text_as_characters(ranks))
    return drawn


def _grid(design: Design, config: FitConfig) -> ShardGrid:
    return map_grid(
        np.asarray(design.phi),
        design.num_frames,
        design.dt,
        design.q,
        design.gap,
        physics=config.physics,
    )


def _prior_predictive(
    design: Design, model: Observed, grid: ShardGrid
) -> Callable[[jax.Array], tuple[np.ndarray, TwoTimeData]]:
    """Return a draw of a truth, (d + 1,) with its log likelihood last, and its maps."""
    pairs = jnp.triu(jnp.ones((design.num_frames,) * 2, bool), k=1)

    @jax.jit
    def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        theta_key, noise_key = jax.random.split(key)
        theta = density.prior_draws(theta_key, model, grid, 1)[0]
        normal = density.observation(model, grid, theta)
        mean, scale = normal.loc, normal.scale
        z = jnp.where(pairs, jax.random.normal(noise_key, mean.shape), 0.0)
        log_density = jnp.where(pairs, jax.scipy.stats.norm.logpdf(z) - jnp.log(scale), 0.0)
        c2 = mean + scale * (z + jnp.swapaxes(z, -1, -2))
        return jnp.append(theta, log_density.sum()), c2

    def draw_one(key: jax.Array) -> tuple[np.ndarray, TwoTimeData]:
        truth, c2 = jax.tree.map(np.asarray, draw(key))
        phi = np.asarray(design.phi)
        return truth, TwoTimeData(c2, phi, design.dt, design.q, design.gap)

    return draw_one


def _as_fitted(truth: np.ndarray, drawn: Observed, fitted: Observed, grid: ShardGrid) -> np.ndarray:
    """Return a truth, (d + 1,), in the coordinates of the fit, whose periods begin elsewhere."""
    sites = density.space(drawn, grid).unravel(jnp.asarray(truth[:-1]))
    values, priors = density.constrained(drawn, grid, sites)[0], dict(fitted.priors)
    values = {name: priors[name].wrapped(value) for name, value in values.items()}
    theta = ravel_pytree(density.unconstrained(fitted, grid, values))[0]
    return np.append(theta, truth[-1])


def _symbol(label: str, latex: Mapping[str, str]) -> str:
    """Return a coordinate's name as a paper would write it, e.g. for ``contrast[0]``."""
    name, bracket, index = label.partition("[")
    return f"${latex[name]}${bracket}{index}" if latex.get(name) else label
