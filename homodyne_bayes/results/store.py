"""The result: one DataTree in ArviZ's groups, written to and read from netCDF.

======================= ============================================ =====================
group                   what                                         dimensions
======================= ============================================ =====================
posterior               draws of all parameters                      chain, draw (, phi)
unconstrained_posterior the same in the sampler's coordinates        chain, draw (, phi)
log_prior               log prior density of the same, Jacobians in  chain, draw
log_likelihood          log likelihood of all the data               chain, draw
sample_stats            lp; of NUTS on all the data: diagnostics     chain, draw
                        and the device of every chain
certificate             the verdict; k-hat, ESS of every attempt     attempt
approximation           draws before they were weighed               chain, draw (, phi)
sub_posteriors          draws of every shard                         shard, chain, draw
sub_sample_stats        NUTS diagnostics and device of every shard   shard, chain, draw
shard_checks            R-hat, ESS, divergences, disagreement        shard, coordinate
prior                   draws of the prior                           chain, draw (, phi)
rates                   draws of D(t) and gamma_dot(t)               chain, draw, time
warm_start              draws of the Gaussian at the mode            chain, draw (, phi)
observed_data           c2 as fitted, NaN where there is none        phi, t1, t2
fitted                  posterior mean of c2                         phi, t1, t2
cuts                    c2 against the lag, averaged over starts:    (level,) phi, age,
                        measured, sd of that; quantiles of prior     lag
                        and posterior, and of a replication
noise                   what the likelihood was given; misfit        phi, bin1, bin2, kind
constant_data           q, dt, gap, t_ref, usable                    phi, frame
======================= ============================================ =====================

The dimension phi counts maps. Where they are of several wavevectors, q is a coordinate beside phi,
and draws are labelled by both.
Groups of shards are there where the data were sharded, ``noise`` where it is not taken as
independent. The attributes of the root hold versions,
settings, priors, seed, convention, data hash, provenance and cost; mappings are JSON.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import xarray as xr

from homodyne_bayes.config import NoiseModel
from homodyne_bayes.data.reading import atomic_path, naming
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import check_stored
from homodyne_bayes.fitting.predictive import LEVELS, Bands, Cuts
from homodyne_bayes.inference.convergence import Convergence
from homodyne_bayes.inference.infer import Inference, ShardRun
from homodyne_bayes.likelihood.noise import Estimate
from homodyne_bayes.parameters import PARAMETERS, PER_ANGLE, RATES

LIBRARIES = ("homodyne-bayes", "jax", "numpyro", "optax", "arviz", "numpy", "xarray")
GROUPS = ("posterior", "certificate", "warm_start", "observed_data")
Values = Mapping[str, np.ndarray]


def map_coordinates(data: TwoTimeData) -> dict[str, Any]:
    """Return the coordinates of maps: azimuths, and wavevectors where they differ."""
    q = {"q": ("phi", data.q, {"units": "1/Å"})} if np.ndim(data.q) else {}
    return {"phi": ("phi", data.phi, {"units": "degree"}), **q}


def degrees(phi: float, digits: int = 4) -> str:
    """Return an azimuth as text."""
    return f"{phi:.{digits}g}°".replace("-", "−")


def place(phi: xr.DataArray, digits: int = 4) -> str:
    """Return the azimuth of one map as text, with its wavevector where these differ."""
    if phi.dtype.kind in "OU":
        return str(phi.item())
    q = f", {float(phi.coords['q']):.{digits}g} 1/Å" if "q" in phi.coords else ""
    return degrees(float(phi), digits) + q


def map_labels(data: TwoTimeData) -> dict[str, Any]:
    """Return the coordinate phi of draws: azimuths, or their places where wavevectors differ.

    ArviZ tells entries by the coordinate of their dimension alone.
    """
    coordinates = map_coordinates(data)
    if "q" not in coordinates:
        return coordinates
    return {"phi": ("phi", [place(phi) for phi in xr.Dataset(coords=coordinates)["phi"]])}


def draws_dataset(values: Values, data: TwoTimeData, leading: tuple[str, ...]) -> xr.Dataset:
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
        unit = PARAMETERS[name].unit if name in PARAMETERS else ""
        arrays[name] = ((*leading, *dims), np.asarray(value), {"units": unit})
        if per_angle:
            coords |= map_labels(data)
        coords |= {axis: np.arange(n) for axis, n in zip(leading, value.shape, strict=False)}
    return xr.Dataset(arrays, coords)


def rates_dataset(values: Values, time: np.ndarray) -> xr.Dataset:
    """Return draws of the rates on the frame grid, dimensions (chain, draw, time)."""
    dims = ("chain", "draw", "time")
    return xr.Dataset(
        {name: (dims, np.asarray(v), {"units": RATES[name]}) for name, v in values.items()},
        {"time": ("time", time, {"units": "s"})},
    )


def inference_groups(inference: Inference, labels: list[str]) -> dict[str, xr.Dataset]:
    """Return the groups that tell how draws were made and what they are worth.

    Parameters
    ----------
    inference : Inference
        Draws, verdict and their making.
    labels : list of str
        (d,) names of the sampler's coordinates.
    """
    dims = ("chain", "draw")
    log_density = inference.log_prior + inference.log_likelihood
    stats: dict[str, tuple[Any, np.ndarray]] = {"lp": (dims, log_density)}
    if inference.nuts is not None:
        info = inference.nuts.info._asdict()
        stats |= {name: (dims, value[0]) for name, value in info.items()}
        stats["device"] = ("chain", inference.nuts.device[0])
    groups = {
        "log_prior": xr.Dataset({"prior": (dims, inference.log_prior)}),
        "log_likelihood": xr.Dataset({"c2": (dims, inference.log_likelihood)}),
        "sample_stats": xr.Dataset(stats),
        "certificate": _certificate(inference),
    }
    if inference.approximation.shards is not None:
        groups |= _shard_groups(inference.approximation.shards, labels)
    return groups


def _certificate(inference: Inference) -> xr.Dataset:
    found = inference.certificate
    attempts = {
        name: ("attempt", [getattr(attempt, name) for attempt in found.attempts])
        for name in ("k_hat", "ess", "num_evaluations")
    }
    names = ("attempt", [attempt.proposal for attempt in found.attempts])
    attributes = {
        "certified": int(found.certified),
        "draws_from": found.draws_from,
        "refused": found.refused,
        "log_evidence": found.log_evidence,
        "log_evidence_error": found.log_evidence_error,
        "evidence_k_hat": found.evidence_k_hat,
        "gradients": inference.gradients,
        "evaluations": sum(attempt.num_evaluations for attempt in found.attempts),
    }
    return xr.Dataset(attempts, {"proposal": names}, as_attributes(attributes))


def _shard_groups(run: ShardRun, labels: list[str]) -> dict[str, xr.Dataset]:
    dims = ("shard", "chain", "draw")
    info, agreement = run.chains.info._asdict(), run.agreement
    per_shard = {
        name: ("shard", [getattr(found, name) for found in run.convergence])
        for name in Convergence._fields
    }
    return {
        "sub_sample_stats": xr.Dataset(
            {name: (dims, value) for name, value in info.items()}
            | {"device": (("shard", "chain"), run.chains.device)}
        ),
        "shard_checks": xr.Dataset(
            {**per_shard, "score": (("shard", "coordinate"), agreement.scores)},
            {"coordinate": labels},
            {"chi2": agreement.chi2, "dof": agreement.dof, "p_value": agreement.p_value,
             "worst_p": agreement.worst_p},
        ),
    }  # fmt: skip


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
        "replicated": (("level", *point), bands.replicated,
                       "quantiles of what would be measured again"),
    }  # fmt: skip
    return xr.Dataset(
        {name: (dims, value, {"long_name": why}) for name, (dims, value, why) in meanings.items()}
        | {"begin": (point[:2], begin, seconds), "end": (point[:2], end, seconds)},
        {**map_coordinates(data), "lag": ("lag", data.time[1:], seconds), "level": list(LEVELS)},
    )


def noise_dataset(estimate: Estimate, data: TwoTimeData) -> xr.Dataset:
    """Return what was plugged into the likelihood, what is left of the residuals, and misfit."""
    bins = estimate.noise.bin_frames
    centres = data.dt * (bins * np.arange(estimate.whitened.shape[-1]) + (bins - 1) / 2)
    meanings: dict[str, tuple[Any, Any, str]] = {
        "contrast": ("phi", estimate.contrast, "contrast β of the working covariance"),
        "nugget": ("phi", estimate.nugget, "shot noise e of the working covariance"),
        "mean_photons": ("phi", 1 / estimate.nugget, "photons of a pixel in a frame, 1/e"),
        "eta": ((), estimate.eta, "part η of the working information that is real"),
        "num_pixels": ("phi", estimate.num_pixels, "independent pixels M of an angle"),
        "weight": ("phi", np.asarray(estimate.noise.weight), "factor of rᵀK⁻¹r in -2 log L"),
        "whitened": (("phi", "bin1", "bin2"), estimate.whitened,
                     "residuals without their correlations, of unit variance"),
    }  # fmt: skip
    misfit = {name: ("kind", column.values) for name, column in estimate.lack_of_fit.items()}
    seconds = {"units": "s"}
    return xr.Dataset(
        {name: (dims, value, {"long_name": why}) for name, (dims, value, why) in meanings.items()}
        | misfit,
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
            "t_ref": ((), t_ref, {"units": "s"}),
            "usable": (("phi", "frame"), data.usable),
        },
        map_coordinates(data),
    )


def versions() -> dict[str, str]:
    """Return the versions of what computed the result."""
    return {name: version(name) for name in LIBRARIES}


def as_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes that netCDF can hold: mappings and lists become JSON."""
    return {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        for name, value in values.items()
    }


def write(tree: xr.DataTree, path: str | Path) -> None:
    """Write a result to netCDF, whole or not at all."""
    encoding: Any = {node.path: text_as_characters(node.to_dataset()) for node in tree.subtree}
    with atomic_path(path) as temporary:
        tree.to_netcdf(temporary, engine="netcdf4", encoding=encoding)


def text_as_characters(dataset: xr.Dataset) -> dict[Any, Any]:
    """Return the encoding in netCDF of the variables of a dataset that are text.

    HDF5 can crash when it opens variables that are strings of any length for a second time.
    """
    text = [name for name, one in dataset.variables.items() if one.dtype.kind in "OU"]
    return {name: {"dtype": "S1"} for name in text}


def read(path: str | Path) -> xr.DataTree:
    """Read a result.

    Raises
    ------
    InputError
        If the file is not a result of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: expected a result file (.nc), found no such file")
    with naming(path):
        check_stored(path)
        with xr.open_datatree(path, engine="netcdf4") as tree:
            missing = [group for group in GROUPS if group not in tree.children]
            if missing:
                raise InputError(
                    f"expected a result of `homodyne-bayes fit`, found no group {missing[0]!r}; "
                    "name another file"
                )
            if tree.attrs.get("noise") not in get_args(NoiseModel) or "scaling" not in tree.attrs:
                raise InputError(
                    "expected a result that names its noise and scaling, found one of an older "
                    "version: fit the data again"
                )
            return tree.load()
