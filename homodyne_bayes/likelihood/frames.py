"""Frames that stand out: badly normalised, or of another sample.

A frame whose intensity is off by a factor 1 + δ has all its entries off by δ; one in which the beam
saw something else has none of the contrast. Both are directions of a single row and column of the
map, X = e vᵀ + v eᵀ, whose score and information under the working covariance are products of
matrices of the size of the map for all frames together.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.stats

from homodyne_bayes.likelihood import covariance
from homodyne_bayes.likelihood.covariance import WorkingCovariance
from homodyne_bayes.likelihood.entries import average, rows_and_columns

MEANINGS = {
    "frame": "a frame stands out: the beam, its monitor or the detector failed in it",
    "flicker": "the intensity changes from frame to frame, and maps are not normalised by it: "
    "normalise every frame by its own mean",
}
RANK = 1e-6  # of the largest eigenvalue: directions that the maps do not see


class Frames(NamedTuple):
    """What maps say of their m bins of frames, all maps together.

    Attributes
    ----------
    shift, decay : numpy.ndarray
        (m,) scores of an intensity that is too high, and of a contrast that is, of unit variance
        where nothing is wrong; 0 where they are not finite.
    flicker : (float, int)
        χ² of all shifts together, and its degrees of freedom.
    """

    shift: np.ndarray
    decay: np.ndarray
    flicker: tuple[float, int]

    def tests(self) -> pd.DataFrame:
        """Return chi2, dof and p of the worst frame, among all of them, and of flicker."""
        z = np.abs(np.concatenate([self.shift, self.decay]))
        tail = 2 * scipy.stats.norm.sf(z.max())
        chi2, dof = self.flicker
        p = min(1.0, z.size * tail)
        worst = {"chi2": z.max() ** 2, "dof": min(dof, 1), "p": p}
        flicker = {"chi2": chi2, "dof": dof, "p": scipy.stats.chi2.sf(chi2, dof)}
        rows = dict(zip(MEANINGS, (worst, flicker), strict=True))
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("kind")


def frames(noise: WorkingCovariance, residual: jax.Array, speckle: jax.Array) -> Frames:
    """Return what the residuals of maps (P, G, G) say of their frames.

    Parameters
    ----------
    noise : WorkingCovariance
        Of all maps, with weights.
    residual, speckle : jax.Array
        (P, G, G) residuals, and contrast times g1².
    """
    score, information, decay = (np.asarray(x) for x in _scores(noise, residual, speckle))
    seen = np.diag(information) > 0
    if not seen.any() or not np.isfinite([score, decay]).all():  # as few bright pixels make it
        nothing = np.zeros(len(seen))
        return Frames(nothing, nothing, (0.0, 0))
    z = np.where(seen, score, 0.0) / np.sqrt(np.where(seen, np.diag(information), 1.0))
    values, vectors = np.linalg.eigh(information[np.ix_(seen, seen)])
    kept = values > RANK * values.max()
    projected = (vectors.T @ score[seen])[kept]
    chi2 = float((projected**2 / values[kept]).sum())
    return Frames(z, decay, (chi2, int(kept.sum())))


@jax.jit
def _scores(
    noise: WorkingCovariance, residual: jax.Array, speckle: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return score (m,) and information (m, m) of shifts, and the scaled score of decays, (m,)."""

    def one(angle: tuple[WorkingCovariance, jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
        noise, *maps = angle
        binned, G = (average(x, noise.entries) for x in maps)
        Y = covariance.solve(noise, binned)
        P, V, (a, b) = noise.precision, noise.inverse, rows_and_columns(noise.entries)
        G = G * (1 - jnp.eye(len(G)))
        v = (jnp.abs(G).sum(axis=1) > 0).astype(float)  # bins in use
        s, H = P @ v, P @ G
        B, Q = P[a] * s[b, None] + P[b] * s[a, None], P[a] * H[b] + P[b] * H[a]
        information, spread = -0.5 * B.T @ V @ B, -0.5 * (Q * (V @ Q)).sum(axis=0)
        if not noise.entries.measured:
            information += jnp.outer(s, s) + (s @ v) * P
            spread += jnp.diag(H) ** 2 + jnp.diag(P) * (G * H).sum(axis=0)
        used = jnp.outer(v, v)
        parts = (Y * used).sum(axis=1), used * information, (Y * G).sum(axis=1), v * spread
        return tuple(noise.weight * part for part in parts)

    found = jax.lax.map(one, (noise, residual, speckle))
    shift, information, decay, spread = (part.sum(axis=0) for part in found)
    return shift, information, decay / jnp.sqrt(jnp.where(spread > 0, spread, 1.0))
