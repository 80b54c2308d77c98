"""The groups of a result, each a Dataset with labelled dimensions and units."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.files import as_attributes
from homodyne_bayes.fitting.describe import rate_attributes
from homodyne_bayes.fitting.predictive import LEVELS, Bands, Cuts
from homodyne_bayes.inference.convergence import Convergence
from homodyne_bayes.inference.infer import Inference
from homodyne_bayes.inference.methods import ShardRun
from homodyne_bayes.inference.nuts import NutsInfo
from homodyne_bayes.likelihood.estimate import Estimate
from homodyne_bayes.likelihood.noise import NoiseWords
from homodyne_bayes.parameters import PER_ANGLE
from homodyne_bayes.physics.model import Model
from homodyne_bayes.text import azimuth
from homodyne_bayes.thresholds import faults_to_json

Values = Mapping[str, np.ndarray]

DRAWS = ("chain", "draw")

BETA = "speckle contrast, contrast / offset² of the fit, mean of the angles; not the shear exponent"
NUGGET = (
    "shot noise of a pixel in a frame, as a variance relative to the mean intensity squared: the "
    "nugget on the diagonal of S"
)
PHOTONS, PHOTONS_SHORT = (
    "photons of a pixel in a frame, on average",
    "photons per pixel and frame",
)
ETA_SHORT = "η = {} of the working information taken as real"
NUM_PIXELS = (
    "independent pixels of an angle: so many simulated pixels would scatter as its residuals do"
)

NO_CHAINS = (
    "draws were weighed, merged or made at the mode, and are no transitions; those of shards are "
    "in sub_sample_stats, where there are shards"
)


def map_coordinates(data: TwoTimeData) -> dict[str, Any]:
    """Return the coordinates of maps: azimuths, and wavevectors where they differ."""
    q = {"q": ("phi", data.q, {"units": "1/Å"})} if np.ndim(data.q) else {}
    return {"phi": ("phi", data.phi, {"units": "degree"}), **q}


def map_labels(data: TwoTimeData) -> dict[str, Any]:
    """Return the coordinate phi of draws: azimuths, or their places where wavevectors differ.

    ArviZ tells entries by the coordinate of their dimension alone.
    """
    coordinates = map_coordinates(data)
    if "q" not in coordinates:
        return coordinates
    return {"phi": ("phi", [azimuth(phi) for phi in xr.Dataset(coords=coordinates)["phi"]])}


def draws_dataset(
    values: Values, data: TwoTimeData, leading: tuple[str, ...], units: Mapping[str, str]
) -> xr.Dataset:
    """Return draws of parameters as a Dataset with labelled dimensions and units.

    Parameters
    ----------
    values : mapping of str to array
        Draws with leading axes ``leading``; contrast and offset have one more, the angle.
    data : TwoTimeData
        The maps of the angles.
    leading : tuple of str
        Names of the leading axes, e.g. ("chain", "draw").
    """
    arrays = {}
    coords: dict[str, Any] = {}
    for name, value in values.items():
        extra = value.shape[len(leading) :]
        per_angle = name in PER_ANGLE
        dims = ("phi",) if per_angle else tuple(f"{name}_dim_{i}" for i in range(len(extra)))
        unit = units.get(name, "")
        arrays[name] = ((*leading, *dims), np.asarray(value), {"units": unit})
        if per_angle:
            coords |= map_labels(data)
        coords |= {axis: np.arange(n) for axis, n in zip(leading, value.shape, strict=False)}
    return xr.Dataset(arrays, coords)


def rates_dataset(
    values: Values, time: np.ndarray, model: Model, leading: tuple[str, ...] = DRAWS
) -> xr.Dataset:
    """Return draws of the rates of a model on the frame grid, dimensions (*leading, time)."""
    dims = (*leading, "time")
    return xr.Dataset(
        {name: (dims, np.asarray(v), rate_attributes(model, name)) for name, v in values.items()},
        {"time": ("time", time, {"units": "s"})},
    )


def still_dataset(comparison: Mapping[str, Any], log_flat: np.ndarray) -> xr.Dataset:
    """Return how a model stands against the same fluid at rest, see `fitting.still`.

    ``log_flat`` are the log weights of the draws, (chain, draw).
    """
    meaning = "log weights of the draws under a prior flat in the rate"
    weights = {"log_flat": (("chain", "draw"), log_flat, {"long_name": meaning})}
    return xr.Dataset(weights, attrs=as_attributes(comparison))


def inference_groups(inference: Inference, labels: list[str]) -> dict[str, xr.Dataset]:
    """Return the groups that tell how draws were made and what they are worth.

    Parameters
    ----------
    inference : Inference
        Draws, verdict and their making.
    labels : list of str
        (d,) names of the sampler's coordinates.
    """
    groups = {
        "log_prior": xr.Dataset({"prior": (("chain", "draw"), inference.log_prior)}),
        "sample_stats": _sample_stats(inference),
        "certificate": _certificate(inference),
    }
    if inference.approximation.shards is not None:
        groups |= _shard_groups(inference.approximation.shards, labels)
    return groups


def _sample_stats(inference: Inference) -> xr.Dataset:
    """Return log densities of draws and, where they are those of chains, their diagnostics."""
    dims, likelihood = DRAWS, inference.log_likelihood
    stats: dict[str, tuple[Any, np.ndarray]] = {
        "lp": (dims, inference.log_prior + likelihood),
        "log_likelihood": (dims, likelihood),
    }
    if inference.nuts is None:
        return xr.Dataset(stats, attrs={"diagnostics": NO_CHAINS})
    stats |= {name: (dims, value[0]) for name, value in _diagnostics(inference.nuts.info).items()}
    stats["device"] = ("chain", inference.nuts.device[0])
    return xr.Dataset(stats, attrs={"diagnostics": "of every transition of NUTS"})


def _diagnostics(info: NutsInfo) -> dict[str, np.ndarray]:
    """Return diagnostics of transitions by ArviZ's names."""
    found = {name: np.asarray(value) for name, value in info._asdict().items()}
    return found | {"tree_depth": 1 + np.log2(np.maximum(found["n_steps"], 1)).astype(int)}


def _certificate(inference: Inference) -> xr.Dataset:
    certificate = inference.certificate
    attempts = {
        name: ("attempt", [getattr(attempt, name) for attempt in certificate.attempts])
        for name in ("k_hat", "ess", "num_evaluations")
    }
    names = ("attempt", [attempt.proposal for attempt in certificate.attempts])
    attributes = {
        "certified": int(certificate.certified),
        "draws_from": certificate.draws_from,
        "faults": faults_to_json(certificate.faults),
        "log_evidence": certificate.log_evidence,
        "log_evidence_error": certificate.log_evidence_error,
        "evidence_k_hat": certificate.evidence_k_hat,
        "gradients": inference.gradients,
        "evaluations": sum(attempt.num_evaluations for attempt in certificate.attempts),
    }
    if inference.judgement is not None:
        judged = inference.judgement._asdict()
        attributes |= {f"judged_{name}": value for name, value in judged.items()}
    return xr.Dataset(attempts, {"proposal": names}, as_attributes(attributes))


def _shard_groups(run: ShardRun, labels: list[str]) -> dict[str, xr.Dataset]:
    dims = ("shard", "chain", "draw")
    agreement = run.agreement
    per_shard = {
        name: ("shard", [getattr(convergence, name) for convergence in run.convergence])
        for name in Convergence._fields
    }
    return {
        "sub_sample_stats": xr.Dataset(
            {name: (dims, value) for name, value in _diagnostics(run.chains.info).items()}
            | {"device": (("shard", "chain"), run.chains.device)}
        ),
        "shard_checks": xr.Dataset(
            {**per_shard, "score": (("shard", "coordinate"), agreement.scores)},
            {"coordinate": labels},
            {
                "chi2": agreement.chi2,
                "dof": agreement.dof,
                "p_value": agreement.p_value,
                "worst_p": agreement.worst_p,
            },
        ),
    }


def map_dataset(c2: np.ndarray, data: TwoTimeData) -> xr.Dataset:
    """Return maps (phi, t1, t2) with coordinates in degree and s."""
    seconds = {"units": "s"}
    return xr.Dataset(
        {"c2": (("phi", "t1", "t2"), c2)},
        {
            **map_coordinates(data),
            "t1": ("t1", data.time, seconds),
            "t2": ("t2", data.time, seconds),
        },
    )


def cuts_dataset(
    measured: np.ndarray, scatter: np.ndarray, bands: Bands, cuts: Cuts, data: TwoTimeData
) -> xr.Dataset:
    """Return cuts of maps along the lag, measured and their sd (P, A, L), and their bands."""
    point, seconds = ("phi", "age", "lag"), {"units": "s"}
    begin, end = (data.time[cuts.starts[..., at, 0]] for at in (0, -1))
    meanings: dict[str, tuple[Any, Any, str]] = {
        "measured": (point, measured, "average of measured entries"),
        "scatter": (point, scatter, "sd of that about the curve of the right parameters"),
        "posterior": (("level", *point), bands.posterior, "quantiles of the curve"),
        "prior": (("level", *point), bands.prior, "quantiles of the curve in the prior"),
        "replicated": (
            ("level", *point),
            bands.replicated,
            "quantiles of what would be measured again",
        ),
    }
    return xr.Dataset(
        {name: (dims, value, {"long_name": why}) for name, (dims, value, why) in meanings.items()}
        | {"begin": (point[:2], begin, seconds), "end": (point[:2], end, seconds)},
        {**map_coordinates(data), "lag": ("lag", data.time[1:], seconds), "level": list(LEVELS)},
    )


def noise_dataset(estimate: Estimate, data: TwoTimeData, words: NoiseWords) -> xr.Dataset:
    """Return what was plugged into the likelihood, what is left of the residuals, and misfit.

    Variables with an attribute ``symbol`` are those that a reader is told, with their ``meaning``;
    ``phrase`` is how a methods section says it, "{}" its value. ``words`` have the meanings of eta
    and weight, which depend on the noise.
    """
    bins = estimate.noise.entries.bin_frames
    centres = data.dt * (bins * np.arange(estimate.whitened.shape[-1]) + (bins - 1) / 2)
    weight = np.asarray(estimate.noise.weight)
    told: dict[str, tuple[Any, np.ndarray | float, str, str, str]] = {
        "contrast": ("phi", estimate.contrast, "β", BETA, "speckle contrast β = {}"),
        "nugget": ("phi", estimate.nugget, "e", NUGGET, ""),
        "mean_photons": ("phi", 1 / estimate.nugget, "1/e", PHOTONS, "{} " + PHOTONS_SHORT),
        "eta": ((), estimate.eta, "η", words.eta, ETA_SHORT),
        "num_pixels": ("phi", estimate.num_pixels, "M", NUM_PIXELS, ""),
        "weight": ("phi", weight, "w", words.weight, ""),
    }
    variables: dict[str, Any] = {
        name: (dims, value, {"symbol": symbol, "meaning": meaning, "phrase": phrase})
        for name, (dims, value, symbol, meaning, phrase) in told.items()
    }
    variables["whitened"] = (
        ("phi", "bin1", "bin2"),
        estimate.whitened,
        {"meaning": "residuals without their correlations, of unit variance"},
    )
    variables["same_speckle"] = (
        ("phi", "other_phi"),
        estimate.same,
        {"meaning": "part of the speckle that two maps have in common"},
    )
    for name, scores in (("shift", estimate.frames.shift), ("decay", estimate.frames.decay)):
        meaning = {"shift": "an intensity", "decay": "a contrast"}[name]
        text = f"score of {meaning} that is too high in a frame, of unit variance where none is"
        variables[f"frame_{name}"] = ("bin1", scores, {"meaning": text})
    misfit = {name: ("kind", column.values) for name, column in estimate.lack_of_fit.items()}
    seconds = {"units": "s"}
    return xr.Dataset(
        variables | misfit,
        {
            **map_coordinates(data),
            "bin1": ("bin1", centres, seconds),
            "bin2": ("bin2", centres, seconds),
            "kind": list(estimate.lack_of_fit.index),
        },
        {"bin_frames": bins},
    )


def constant_dataset(data: TwoTimeData, t_ref: float) -> xr.Dataset:
    """Return what was held fixed."""
    gap = np.nan if data.gap is None else data.gap
    q = {} if np.ndim(data.q) else {"q": ((), data.q, {"units": "1/Å"})}
    return xr.Dataset(
        {
            **q,
            "dt": ((), data.dt, {"units": "s"}),
            "gap": ((), gap, {"units": "Å"}),
            "age": ((), data.age, {"units": "s"}),
            "t_ref": ((), t_ref, {"units": "s"}),
            "usable": (("phi", "frame"), data.usable),
            **{name: ("phi", value) for name, value in data.detector.items()},
        },
        map_coordinates(data),
    )
