"""The public functions that compose rooms; `homodyne_bayes` imports them when they are used."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr

from homodyne_bayes.config import DataConfig, descriptions
from homodyne_bayes.data.formats.record import Format
from homodyne_bayes.data.formats.table import formats as all_formats
from homodyne_bayes.data.reading import contents as inspect
from homodyne_bayes.data.reading import read
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.environment import setup
from homodyne_bayes.errors import refuse_unknown
from homodyne_bayes.fitting import pipeline
from homodyne_bayes.fitting.plan import plan
from homodyne_bayes.fitting.sample import noise_of
from homodyne_bayes.fitting.settings import FitConfig, make
from homodyne_bayes.inference.infer import Progress, silent
from homodyne_bayes.inference.places import HERE, Workplace
from homodyne_bayes.likelihood.noise import Noise
from homodyne_bayes.likelihood.noises import NOISES
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.model_files import load_model
from homodyne_bayes.model_files import models as all_models
from homodyne_bayes.physics.experiment import Experiment, every_bin
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.points import ShardGrid, whole_maps
from homodyne_bayes.physics.rate_laws import RATE_LAWS
from homodyne_bayes.physics.rates import RateLaw
from homodyne_bayes.physics.simulate import independent, speckle
from homodyne_bayes.results.view import Result, load
from homodyne_bayes.studies import calibration, comparison
from homodyne_bayes.studies import coverage as covering
from homodyne_bayes.studies import rerun as repeating
from homodyne_bayes.studies import series as many

__all__ = ["inspect", "load", "read", "setup"]

rates: Mapping[str, RateLaw] = RATE_LAWS
noises: Mapping[str, Noise] = NOISES
models: Mapping[str, Model] = all_models()
formats: Mapping[str, Format] = all_formats()

GEOMETRY = ("q", "dt", "gap", "contrast", "convention", "age")
DETECTOR = ("num_pixels", "mean_photons", "flicker", "speckle_size", "num_groups")


def fit(
    data: TwoTimeData,
    config: FitConfig | None = None,
    *,
    progress: Progress = silent,
    folder: str | Path | None = None,
    place: Workplace = HERE,
    **settings: Any,
) -> Result:
    """Sample the posterior of a model given measured maps, and certify it.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps, as `read` returns them.
    config : FitConfig, optional
        How to fit; the defaults of `FitConfig` without it.
    progress : callable
        Called as ``progress(stage, done, total)``.
    folder : path, optional
        Where finished chains are kept, and taken from, so that a fit that was stopped goes on.
    place : Workplace
        Where the work is done; on the local devices by default.
    **settings
        Fields of `FitConfig`, which win over those of ``config``: ``model`` (a name, file.py:name
        or a Python function), ``noise``, ``seed`` and others, and its keywords ``fix``, ``bounds``
        and ``start``.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        If a setting is unknown or invalid, or data and settings do not fit together.
    MissingPrecisionError
        If JAX is set to float32: call `setup`.
    """
    return Result(pipeline.fit(data, _settings(config, settings), progress, folder, place))


def numpyro_model(
    data: TwoTimeData, config: FitConfig | None = None, **settings: Any
) -> tuple[Observed, ShardGrid]:
    """Return the complete NumPyro model function of all maps, and the points to call it with.

    ``MCMC(NUTS(model), ...).run(key, points)`` samples the same posterior as `fit`. The noise of
    speckle is found in the data first; all maps are one shard.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps.
    config, **settings
        As for `fit`.

    Returns
    -------
    model : Observed
        Callable on points: samples the parameters, contrast and offset of every angle, and
        observes c2.
    points : ShardGrid
        All maps, with 0 where a pair has no value.
    """
    planned = plan(data, _settings(config, settings))
    noise = None
    if planned.model.noise.estimate is not None:
        noise = noise_of(data, planned).noise
    return planned.model, whole_maps(data, planned.config.physics, noise)


def simulate(
    model: str | Callable[..., Any] | Model = "laminar_flow",
    *,
    phi: tuple[float, ...] = (-60.0, -30.0, 0.0, 30.0, 60.0),
    num_frames: int = 80,
    parameters: Mapping[str, float] | None = None,
    seed: int = 0,
    sigma: float | None = None,
    **more: Any,
) -> TwoTimeData:
    """Simulate an experiment: speckle, pixel by pixel, and the maps that a beamline makes of it.

    Parameters
    ----------
    model : str, callable or Model
        What the fluid does.
    phi : tuple of float
        Azimuths in degree, measured at every wavevector.
    num_frames : int
        Number of frames.
    parameters : mapping of str to float, optional
        True values, which win over those of the model's example.
    seed : int
        Seed of all randomness.
    sigma : float, optional
        Instead of speckle, independent noise of this scatter.
    **more
        Fields of the experiment: ``q`` (1/Å, one or several), ``dt`` (s), ``gap`` (Å),
        ``contrast``, ``convention``, ``age`` (s); and of the detector, without ``sigma``:
        ``num_pixels``, ``mean_photons``, ``flicker``, ``speckle_size``, ``num_groups``.

    Returns
    -------
    TwoTimeData
        With the truth in its provenance.

    Raises
    ------
    InputError
        If a name is unknown, or a number impossible.
    """
    allowed = GEOMETRY if sigma is not None else (*GEOMETRY, *DETECTOR)
    refuse_unknown("simulate", more, allowed)
    record = load_model(model)
    q, azimuths = every_bin(np.ravel(more.pop("q", Experiment.q)).tolist(), phi)
    geometry = {name: more.pop(name) for name in GEOMETRY if name in more}
    truth = {**dict(record.example), **(parameters or {})}
    experiment = Experiment(record, azimuths, num_frames, truth, q=q, **geometry)
    key = jax.random.key(seed)
    if sigma is not None:
        return independent(key, experiment, sigma)
    return speckle(key, experiment, **more)


def compare(
    data: TwoTimeData,
    models: Sequence[Any] = comparison.CANDIDATES,
    *,
    odds: Sequence[float] | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> comparison.Comparison:
    """Say which model the data prefer, by evidence and by leaving out angles.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps.
    models : sequence
        Two models or more: names, functions or records.
    odds : sequence of float, optional
        How probable each model is before the data, beside the others; all alike by default.
    progress : callable
        Called as ``progress(stage, done, total)``.
    **settings
        Other fields of `FitConfig`; the method is laplace unless it is given.

    Returns
    -------
    Comparison
        Models against the one of highest evidence.

    Raises
    ------
    InputError
        If fewer than two models are named, two have the same name, or a setting is invalid.
    """
    return comparison.compare(data, comparison.candidates(models, settings), progress, odds)


def calibrate(
    phi: tuple[float, ...] = (-60.0, 0.0, 60.0),
    num_frames: int = 20,
    *,
    q: float = calibration.Design.q,
    dt: float = 0.5,
    gap: float = calibration.Design.gap,
    num_simulations: int = 200,
    progress: Progress = silent,
    **settings: Any,
) -> xr.Dataset:
    """Rank truths among draws of their posteriors: simulation-based calibration.

    Parameters
    ----------
    phi : tuple of float
        Azimuths, degree.
    num_frames : int
        Number of frames.
    q, dt, gap : float
        Wavevector (1/Å), frame spacing (s), gap (Å).
    num_simulations : int
        Number of truths.
    progress : callable
        Called as ``progress(stage, done, total)``.
    **settings
        Fields of `FitConfig`.

    Returns
    -------
    xarray.Dataset
        As `homodyne_bayes.studies.calibration.ranks` returns; ``uniformity`` there tests it.
    """
    design = calibration.Design(phi, num_frames, q, dt, gap)
    return calibration.ranks(design, FitConfig(**settings), num_simulations, progress)


def coverage(
    result: Result, num_simulations: int = 200, *, progress: Progress = silent, **settings: Any
) -> xr.Dataset:
    """Count how often intervals hold the truth in experiments like the one of a result.

    Parameters
    ----------
    result : Result
        Whose experiment, posterior and settings are taken.
    num_simulations : int
        Number of experiments.
    progress : callable
        Called as ``progress(stage, done, total)``.
    **settings
        Fields of `FitConfig`, which win over those of the result; the method is laplace, which is
        fast, unless it is given. A model that was a Python function must be given again.

    Returns
    -------
    xarray.Dataset
        As `homodyne_bayes.studies.coverage.cover` returns; ``table`` there sums it up.

    Raises
    ------
    InputError
        If the result does not hold the noise of its maps, or a setting is invalid.
    """
    config = repeating.settings_of(result.tree, **{"method": covering.METHOD, **settings})
    study = covering.like(result.tree, config.record)
    return covering.cover(study, config, num_simulations, progress)


def rerun(
    result: Result, *, progress: Progress = silent, model: Model | Callable[..., Any] | None = None
) -> repeating.Rerun:
    """Repeat a result from what it recorded, and say whether the draws are the same.

    Parameters
    ----------
    result : Result
        Whose data, settings and seed are taken.
    progress : callable
        Called as ``progress(stage, done, total)``.
    model : Model or callable, optional
        That of the result, where it was a Python function, which results do not keep.

    Returns
    -------
    Rerun
        The new result, whether its draws are the same bit for bit, and what has changed.

    Raises
    ------
    InputError
        If the data in the result are not those that were fitted.
    """
    others = {} if model is None else {"model": model}
    return repeating.rerun(result.tree, progress, **others)


def series(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    against: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
    place: Workplace = HERE,
    **settings: Any,
) -> pd.DataFrame:
    """Fit many files by one setting, and write results, a table and figures into a folder.

    Parameters
    ----------
    paths : sequence of path
        Data files; the result of ``a.h5`` is ``a_posterior.nc``.
    out : path
        The folder of the results, ``series.csv``, ``trends.png`` and ``maps.png``.
    against : path, optional
        A CSV file for the trends: first column names of the files, others numbers, as a
        temperature; without it trends are drawn in the order of the files.
    resume : bool
        Take up results and finished chains that are there.
    overwrite : bool
        Replace what is there.
    progress : callable
        Called as ``progress(stage, done, total)``; the stage begins with the file's number.
    place : Workplace
        Where the work is done; on the local devices by default.
    **settings
        What to read of each file, as `read` takes it (``q``, ``gap``, ``angles`` and others), and
        fields of `FitConfig`.

    Returns
    -------
    pandas.DataFrame
        One row a file and quantity, as `homodyne_bayes.studies.series.series` says; a file that
        failed has one row, with its error.

    Raises
    ------
    InputError
        If a setting is unknown or invalid, or something is in the way; nothing is fitted then.
    """

    def watch(work: str) -> AbstractContextManager[Progress]:
        return nullcontext(lambda stage, *now: progress(f"{work}: {stage}", *now))

    read_of = {name: settings.pop(name) for name in descriptions(DataConfig) if name in settings}
    chosen = FitConfig(**settings), make(DataConfig, read_of)
    how = many.Series(*chosen, against, resume=resume, overwrite=overwrite)
    return many.series(paths, out, how, watch, place)


def _settings(config: FitConfig | None, settings: Mapping[str, Any]) -> FitConfig:
    """Return the settings with some of them replaced."""
    return FitConfig(**settings) if config is None else replace(config, **settings)
