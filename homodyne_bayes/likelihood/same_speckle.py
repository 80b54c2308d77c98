"""Maps that see the same speckle: opposite azimuths, I(q) = I(−q), or bins that share pixels.

What they say together is less than what two maps say. Opposite azimuths of a wavevector are taken
to see the same speckle, each with photons of its own, unless their residuals say otherwise. Other
maps are where their residuals are correlated beyond doubt.
"""

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.likelihood import covariance
from homodyne_bayes.likelihood.covariance import WorkingCovariance
from homodyne_bayes.likelihood.entries import average, there

NEARLY = 1.0  # degree, that opposite azimuths may be off
EXPECTED_SD = 0.5  # of the share of opposite azimuths, before anything is measured
BEYOND_DOUBT = 4.5  # sd of a share, from which on other maps are not independent


def opposite(phi: np.ndarray, wavevectors: np.ndarray) -> np.ndarray:
    """Return which two of P maps, azimuths in degree, lie opposite at one wavevector, (P, P)."""
    apart = np.abs((phi[:, None] - phi) % 360 - 180)
    return (apart <= NEARLY) & (wavevectors[:, None] == wavevectors)


def same_speckle(
    noise: WorkingCovariance, residual: jax.Array, nugget: jax.Array, data: TwoTimeData
) -> np.ndarray:
    """Return how much of the speckle of every two maps is the same, (P, P), 0 on the diagonal.

    Parameters
    ----------
    noise : WorkingCovariance
        Of all maps.
    residual : jax.Array
        (P, G, G).
    nugget : jax.Array
        (P,) shot noise.
    data : TwoTimeData
        The measured maps.
    """
    known = opposite(data.phi, data.wavevectors)
    if noise.entries.measured:  # too few pairs to see it
        return known.astype(float)
    (share, sd), (pixels, pixels_sd) = np.asarray(_correlated(noise, residual, nugget))
    told, expected = 1 / np.maximum(sd, 1e-9) ** 2, 1 / EXPECTED_SD**2
    weighed = (told * share + expected) / (told + expected)
    found = np.where(pixels > BEYOND_DOUBT * pixels_sd, pixels, 0.0)
    return np.clip(np.where(known, weighed, found), 0.0, 1.0) * (1 - np.eye(len(known)))


@jax.jit
def _correlated(noise: WorkingCovariance, residual: jax.Array, nugget: jax.Array) -> jax.Array:
    """Return estimates and their sd, (2, P, P), of the shares of speckle, and of all noise.

    Residuals are compared in the eigenvectors of their working covariance. Speckle alone is in
    those whose variance is more than that of counting.
    """
    entries = noise.entries
    values, vectors = jnp.linalg.eigh(noise.precision.mean(axis=0))
    root = vectors * jnp.sqrt(jnp.maximum(values, 0.0))

    def one(angle: tuple[WorkingCovariance, jax.Array]) -> jax.Array:
        own, R = angle
        binned = average(R, own.entries) * there(own.entries)
        return jnp.sqrt(own.weight) * root.T @ covariance.completed(own, binned) @ root

    white = jax.lax.map(one, (noise, residual))
    shot = nugget.mean() * (entries.frame_weight**2).sum() / entries.frame_weight.sum()
    part = jnp.clip(1 - shot * values, 0.0, 1.0)
    twice = jnp.triu(jnp.ones((len(values),) * 2), 1)

    def share(weight: jax.Array) -> jax.Array:
        def add(total: jax.Array, a: jax.Array) -> tuple[jax.Array, None]:
            rows = jnp.stack([white[:, a], white[:, a] ** 2])  # one of every map
            weighed = jnp.stack([twice[a] * weight[a], twice[a] * weight[a] ** 2])
            return total + jnp.einsum("ib,ipb,iqb->ipq", weighed, rows, rows), None

        (product, squares), _ = jax.lax.scan(
            add, jnp.zeros((2, len(white), len(white))), jnp.arange(len(twice))
        )
        return jnp.stack([product, jnp.sqrt(squares)]) / (twice * weight**2).sum()

    return jnp.stack([share(jnp.outer(part, part)), share(jnp.ones_like(twice))])
