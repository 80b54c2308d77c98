"""Simulated experiments: true speckle, and independent noise as the plain likelihood assumes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes import kernels
from homodyne_bayes.data import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.parameters import DIFFUSION, SHEAR
from homodyne_bayes.shards import Convention, ShardGrid, map_grid

JITTER = 1e-9  # of a unit variance, so that the Cholesky factor of a smooth covariance exists


@dataclass(frozen=True)
class Experiment:
    """What is measured: geometry, frames and the true parameters.

    Attributes
    ----------
    phi : tuple of float
        Azimuths, degree.
    num_frames : int
        Number of frames G.
    parameters : mapping of str to float
        D0, alpha, D_offset, and for flow gamma_dot_t0, beta, gamma_dot_t_offset, phi0.
    q, dt, gap : float
        Wavevector (1/Å), frame spacing (s), gap (Å).
    contrast : float
        Speckle contrast of every angle.
    convention : {"upstream", "gap-average"}
        Meaning of the shear phase.
    """

    phi: tuple[float, ...]
    num_frames: int
    parameters: Mapping[str, float]
    q: float = 0.0054
    dt: float = 0.1
    gap: float = 2e6
    contrast: float = 0.25
    convention: Convention = "upstream"


LAMINAR = {
    "D0": 1e4, "alpha": -0.3, "D_offset": 500.0,
    "gamma_dot_t0": 1e-3, "beta": 0.1, "gamma_dot_t_offset": 1e-4, "phi0": 3.0,
}  # fmt: skip
STATIC = {name: LAMINAR[name] for name in DIFFUSION}


def field_correlation(experiment: Experiment) -> jax.Array:
    """Return the covariance of the speckle field, (P, G, G)."""
    grid = _grid(experiment)
    values = experiment.parameters
    missing = [name for name in DIFFUSION if name not in values]
    if missing:
        raise InputError(f"parameters must hold {', '.join(DIFFUSION)}; missing: {missing}")
    D = kernels.power_law(grid, *(jnp.asarray(values[name]) for name in DIFFUSION))
    if not any(name in values for name in SHEAR):
        still = kernels.field_correlation(grid, D)
        return jnp.broadcast_to(still, (len(experiment.phi), *still.shape[-2:]))
    missing = [name for name in SHEAR if name not in values]
    if missing:
        raise InputError(f"flow needs {', '.join(SHEAR)}; missing: {missing}")
    *law, phi0 = (jnp.asarray(values[name]) for name in SHEAR)
    return kernels.field_correlation(grid, D, kernels.power_law(grid, *law), phi0)


def independent(key: jax.Array, experiment: Experiment, sigma: float) -> TwoTimeData:
    """Return maps with independent Normal noise of scale ``sigma`` on every distinct pair.

    Parameters
    ----------
    key : jax.Array
        Random key.
    experiment : Experiment
        What is measured; the baseline is 1.
    sigma : float
        Scatter of one entry.
    """
    truth = 1 + experiment.contrast * field_correlation(experiment) ** 2
    noise = jnp.triu(sigma * jax.random.normal(key, truth.shape), k=1)
    return _data(experiment, truth + noise + jnp.swapaxes(noise, 1, 2), {"sigma": sigma}, {})


def speckle(
    key: jax.Array,
    experiment: Experiment,
    num_pixels: int = 4000,
    mean_photons: float | None = None,
) -> TwoTimeData:
    """Return maps computed from simulated speckle, as a beamline computes them.

    Every pixel of an angle sees 1/contrast equally strong independent modes, each a complex
    circular Gaussian process with the model's field correlation; with ``mean_photons`` the
    intensity is counted as photons. Then c2 = <I I'> / (<I> <I'>), averages over pixels.

    Parameters
    ----------
    key : jax.Array
        Random key.
    experiment : Experiment
        What is measured; 1/contrast must be an integer, the number of modes.
    num_pixels : int
        Pixels in the bin of each angle.
    mean_photons : float, optional
        Mean photon count of a pixel in a frame; without it there is no photon noise.
    """
    num_modes = round(1 / experiment.contrast) if experiment.contrast > 0 else 0
    if abs(num_modes * experiment.contrast - 1) > 1e-6:
        raise InputError(
            "speckle has contrast 1/(number of modes): choose 1, 1/2, 1/3, ..., "
            f"found {experiment.contrast:g}"
        )
    covariance = field_correlation(experiment)
    keys = jax.random.split(key, len(experiment.phi))
    measure = partial(
        _measure, num_pixels=num_pixels, num_modes=num_modes, mean_photons=mean_photons
    )
    c2 = jax.lax.map(lambda angle: measure(*angle), (keys, covariance))
    return _data(
        experiment, c2, {}, {"num_pixels": num_pixels, "mean_photons": mean_photons}
    )


@partial(jax.jit, static_argnames=("num_pixels", "num_modes", "mean_photons"))
def _measure(
    key: jax.Array,
    covariance: jax.Array,
    num_pixels: int,
    num_modes: int,
    mean_photons: float | None,
) -> jax.Array:
    num_frames = covariance.shape[0]
    root = jnp.linalg.cholesky(covariance + JITTER * jnp.eye(num_frames))
    field_key, count_key = jax.random.split(key)

    def mode(key: jax.Array) -> jax.Array:
        parts = jax.random.normal(key, (2, num_pixels, num_frames)) @ root.T
        return 0.5 * (parts**2).sum(axis=0)

    intensity = jax.lax.map(mode, jax.random.split(field_key, num_modes)).mean(axis=0)
    if mean_photons is not None:
        intensity = jax.random.poisson(count_key, mean_photons * intensity).astype(float)
    mean = intensity.mean(axis=0)
    return (intensity.T @ intensity) / num_pixels / (mean[:, None] * mean[None, :])


def _grid(experiment: Experiment) -> ShardGrid:
    return map_grid(
        np.asarray(experiment.phi),
        experiment.num_frames,
        experiment.dt,
        experiment.q,
        experiment.gap,
        experiment.convention,
    )


def _data(
    experiment: Experiment,
    c2: jax.Array,
    noise: Mapping[str, float],
    notes: Mapping[str, float | None],
) -> TwoTimeData:
    truth = {**experiment.parameters, "contrast": experiment.contrast, "offset": 1.0, **noise}
    return TwoTimeData(
        c2=np.asarray(c2),
        phi=np.asarray(experiment.phi),
        dt=experiment.dt,
        q=experiment.q,
        gap=experiment.gap,
        provenance={
            "source": "simulated",
            "convention": experiment.convention,
            "truth": truth,
            **notes,
        },
    )
