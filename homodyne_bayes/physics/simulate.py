"""Simulated experiments: true speckle, and independent noise as the plain likelihood assumes."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.physics.experiment import Experiment, field_correlation

JITTER = 1e-9  # of a unit variance, so that the Cholesky factor of a smooth covariance exists
INTEGER_TOLERANCE = 1e-9  # of the number of modes


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
    truth = 1 + experiment.contrast * jnp.abs(field_correlation(experiment)) ** 2
    noise = jnp.triu(sigma * jax.random.normal(key, truth.shape), k=1)
    return _data(experiment, truth + noise + jnp.swapaxes(noise, 1, 2), {"sigma": sigma}, {})


def speckle(
    key: jax.Array,
    experiment: Experiment,
    num_pixels: int = 4000,
    mean_photons: float | None = None,
    *,
    flicker: float = 0.0,
    speckle_size: int = 1,
    num_groups: int = 1,
) -> TwoTimeData:
    """Return maps computed from simulated speckle, as a beamline computes them.

    Pixels see the speckle that `intensity` draws, times a factor common to all pixels of an angle
    in a frame. Then c2 = <I I'> / (<I> <I'>), averages over pixels. A frame without a photon in
    the bin, or in one of its groups, is unusable.

    Parameters
    ----------
    key : jax.Array
        Random key.
    experiment : Experiment
        What is measured.
    num_pixels : int
        Pixels in the bin of each angle, a multiple of ``num_groups``.
    mean_photons : float, optional
        Mean photon count of a pixel in a frame; without it there is no photon noise.
    flicker : float
        Relative standard deviation of the log-normal factor of a frame, which has mean 1.
    speckle_size : int
        Neighbouring pixels over which the speckle field is correlated; 1 is independent pixels.
    num_groups : int
        With 2 or more, the data also hold c2 of so many contiguous groups of pixels, by the
        means of the group alone.

    Returns
    -------
    TwoTimeData

    Raises
    ------
    InputError
        If a number is impossible, or too few frames have photons.
    """
    weights = mode_weights(experiment.contrast)
    _check_detector(num_pixels, mean_photons, flicker, speckle_size, num_groups)
    c2, group_c2 = _measure(
        jax.random.split(key, len(experiment.phi) + 1),
        field_correlation(experiment),
        jnp.asarray(weights),
        mean_photons,
        flicker,
        num_pixels=num_pixels,
        speckle_size=speckle_size,
        num_groups=num_groups,
    )
    notes = {
        "num_pixels": num_pixels,
        "mean_photons": mean_photons,
        "flicker": flicker,
        "speckle_size": speckle_size,
        "num_groups": num_groups,
    }
    more = {"group_c2": np.asarray(group_c2)} if num_groups > 1 else {}
    return _data(experiment, c2, {}, notes, num_pixels=num_pixels, photons=mean_photons, **more)


def mode_weights(contrast: float) -> np.ndarray:
    """Return the weights of the fewest modes whose speckle has this contrast, (K,).

    They sum to 1 and their squares to the contrast: all but the last are equal and it is the
    smallest; for contrast 1/K all are 1/K.

    Raises
    ------
    InputError
        Unless the contrast is above 0 and at most 1.
    """
    if not 0 < contrast <= 1:
        raise InputError(
            f"the contrast of speckle must be above 0 and at most 1, but is {contrast:g}; choose "
            "the inverse of the number of modes that a pixel sees"
        )
    K = round(1 / contrast)
    if abs(1 / contrast - K) <= INTEGER_TOLERANCE:
        return np.full(K, 1 / K)
    K = math.ceil(1 / contrast)
    equal = (1 + math.sqrt((K * contrast - 1) / (K - 1))) / K
    return np.array([*[equal] * (K - 1), 1 - (K - 1) * equal])


@partial(jax.jit, static_argnames=("num_pixels", "speckle_size"))
def intensity(
    key: jax.Array,
    root: jax.Array,
    weights: jax.Array,
    num_pixels: int,
    mean_photons: jax.Array | float | None = None,
    speckle_size: int = 1,
    factor: jax.Array | None = None,
) -> jax.Array:
    """Return the intensity of every pixel in every frame, (num_pixels, G), with mean 1.

    A pixel sees the weighted sum of independent modes, each the squared modulus of a complex
    circular Gaussian process. The field of pixels l apart has correlation max(0, 1 - l/s) for
    ``speckle_size`` s.

    Parameters
    ----------
    key : jax.Array
        Random key.
    root : jax.Array
        (G, R) matrix, real or complex, with ``root @ root.T.conj()`` the covariance of the field
        over frames.
    weights : jax.Array
        (K,) weights of the modes, as from `mode_weights`; zeros that follow are no modes.
    num_pixels : int
        Number of pixels; static.
    mean_photons : float, optional
        With it the result is Poisson counts divided by this mean count of a pixel in a frame;
        may be traced.
    speckle_size : int
        Neighbouring pixels over which the field is correlated; static.
    factor : jax.Array, optional
        (G,) factors of the frames, applied before counting.
    """
    field_key, count_key = jax.random.split(key)
    shape = (2, num_pixels + speckle_size - 1, root.shape[1])

    def add(mode: jax.Array, total: jax.Array) -> jax.Array:
        cells = jax.random.normal(mode_keys[mode], shape)
        shifted = [cells[:, shift : shift + num_pixels] for shift in range(speckle_size)]
        cells = sum(shifted[1:], shifted[0]) / math.sqrt(speckle_size)
        return total + weights[mode] * 0.5 * _squared(cells, root)

    mode_keys = jax.random.split(field_key, len(weights))
    none = jnp.zeros((num_pixels, root.shape[0]))
    value = jax.lax.fori_loop(0, jnp.count_nonzero(weights), add, none)
    if factor is not None:
        value = factor * value
    if mean_photons is None:
        return value
    return jax.random.poisson(count_key, mean_photons * value) / mean_photons


def _squared(cells: jax.Array, root: jax.Array) -> jax.Array:
    """Return the squared modulus of the field that a root makes of real and imaginary parts."""
    if jnp.iscomplexobj(root):
        return jnp.abs((cells[0] + 1j * cells[1]) @ root.T) ** 2
    parts = cells @ root.T
    return (parts**2).sum(axis=0)


@partial(jax.jit, static_argnames=("num_pixels", "speckle_size", "num_groups"))
def _measure(
    keys: jax.Array,
    covariance: jax.Array,
    weights: jax.Array,
    mean_photons: jax.Array | float | None,
    flicker: jax.Array | float,
    num_pixels: int,
    speckle_size: int,
    num_groups: int,
) -> tuple[jax.Array, jax.Array]:
    """Return c2, (P, G, G), and c2 of the pixel groups, (P, H, G, G); keys are (P + 1,)."""
    num_frames = covariance.shape[-1]
    root = jnp.linalg.cholesky(covariance + JITTER * jnp.eye(num_frames))
    spread = jnp.sqrt(jnp.log1p(flicker**2))  # of the logarithm
    normal = jax.random.normal(keys[-1], covariance.shape[:2])
    factor = jnp.exp(spread * normal - 0.5 * spread**2)

    def angle(drawn: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        key, root, factor = drawn
        pixels = intensity(key, root, weights, num_pixels, mean_photons, speckle_size, factor)
        groups = pixels.reshape(num_groups, -1, num_frames)
        mean = groups.mean(axis=1)
        product = jnp.swapaxes(groups, 1, 2) @ groups / groups.shape[1]
        return _normalised(product.mean(axis=0), mean.mean(axis=0)), _normalised(product, mean)

    return jax.lax.map(angle, (keys[:-1], root, factor))


def _normalised(product: jax.Array, mean: jax.Array) -> jax.Array:
    """Return <I I'> / (<I> <I'>), NaN for frames without a photon."""
    return product / (mean[..., :, None] * mean[..., None, :])


def _check_detector(
    num_pixels: int,
    mean_photons: float | None,
    flicker: float,
    speckle_size: int,
    num_groups: int,
) -> None:
    """Refuse numbers that no detector or beam has."""
    if num_groups < 1 or num_pixels < 1 or num_pixels % num_groups:
        raise InputError(
            "num_pixels must be a positive multiple of num_groups, so that groups are equal, but "
            f"{num_pixels} pixels in {num_groups} groups were asked for; change one of them"
        )
    if mean_photons is not None and not 0 < mean_photons < math.inf:
        raise InputError(
            f"mean_photons must be positive and finite, but is {mean_photons:g}; leave it out "
            "for speckle without photon noise"
        )
    if not 0 <= flicker < math.inf:
        raise InputError(
            f"flicker must be a finite number that is not negative, but is {flicker:g}; give the "
            "relative standard deviation of the intensity"
        )
    if speckle_size < 1:
        raise InputError(
            f"speckle_size must be at least 1, but is {speckle_size}; give the number of "
            "neighbouring pixels that a speckle covers"
        )


def _data(
    experiment: Experiment,
    c2: jax.Array,
    noise: Mapping[str, float],
    notes: Mapping[str, Any],
    **more: Any,
) -> TwoTimeData:
    """Return what is measured of an experiment, with further fields of `TwoTimeData`."""
    truth = {**experiment.parameters, "contrast": experiment.contrast, "offset": 1.0, **noise}
    return TwoTimeData(
        c2=np.asarray(c2),
        phi=np.asarray(experiment.phi),
        dt=experiment.dt,
        q=np.asarray(experiment.q),
        gap=experiment.gap,
        age=experiment.age,
        provenance={
            "source": "simulated",
            "convention": experiment.convention,
            "truth": truth,
            **notes,
        },
        **more,
    )
