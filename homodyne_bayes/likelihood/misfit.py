"""Misfit: where maps depart from a model more than their noise lets them.

A direction is a change of the map that the model may lack. Its score, what is left after the
model's own coordinates were fitted, has mean 0 and known covariance where the model is right, so
that the scores of several directions are a χ² (Rao's test with a robust covariance; White,
Econometrica 50:1, 1982). It needs no other fit.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.stats
from numpy.polynomial.legendre import leg2poly

from homodyne_bayes.inference.density import constrained, space
from homodyne_bayes.likelihood import covariance
from homodyne_bayes.likelihood.covariance import WorkingCovariance
from homodyne_bayes.likelihood.entries import average, filled, listed, there
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.physics.convention import CONVENTIONS, alike
from homodyne_bayes.physics.points import ShardGrid

NUM_AGES = 5  # Legendre polynomials of the age, beyond the constant
SMALL = 1e-12
SAME = 1e-6  # of the variance of a direction: what the model's own coordinates cannot do


class Kind(NamedTuple):
    """Directions of one kind: how many, and what it means where maps move along them."""

    size: int
    meaning: str


KINDS: dict[str, Kind] = {
    "rate": Kind(
        NUM_AGES,
        "the decay rate changes with time otherwise than the model's rates do: "
        "D(t) follows another law (--law D=exponential), or the sample changed at some time",
    ),
    "shape": Kind(
        1,
        "the decay is stretched or compressed: there is more than one relaxation, or "
        "ballistic motion; try --model two_relaxations, stretched or stretched_flow",
    ),
    "angle": Kind(
        2,
        "the decay depends on the azimuth otherwise than the model says: there is "
        "flow where none is fitted, or anisotropy",
    ),
    "wavevector": Kind(
        1,
        "the decay rate does not grow as the square of the wavevector: the "
        "motion is not diffusion, or wavevectors are wrong",
    ),
    "contrast": Kind(
        1,
        "the contrast drifts: part of the scatterers are faster than a frame, or the beam changed",
    ),
    "baseline": Kind(
        3,
        "the baseline drifts with time or lag: the intensity was not normalised "
        "well, or something very slow moves",
    ),
    "first lag": Kind(
        1,
        "neighbouring frames are too much or too little alike: afterpulses of the detector, or "
        "counts shared by frames; leave out the first lag, --first-lag 2",
    ),
    "static": Kind(
        1,
        "part of the scattering moves more slowly than the rest, or not at all: static scattering, "
        "a reference beam, or several populations; try --model frozen, frozen_flow or "
        "two_relaxations",
    ),
    "band": Kind(
        1,
        "part of the gap is not sheared: the fluid slips at a wall, or shears in a band",
    ),
    "convention": Kind(
        len(CONVENTIONS) - 1,
        "the flow decorrelates otherwise than this convention of the phase says: try the other, "
        "--convention, or the shear rate is not the same throughout the gap",
    ),
}


class Fields(NamedTuple):
    """The field correlation of one map, (G, G), signed or complex, as a model has it.

    Attributes
    ----------
    g1 : jax.Array
        Of the model.
    still : jax.Array
        Without the phase of the flow.
    others : tuple of jax.Array
        In other conventions, small phases alike.
    """

    g1: jax.Array
    still: jax.Array
    others: tuple[jax.Array, ...]


def fields(model: Observed, grid: ShardGrid, theta: jax.Array) -> Fields:
    """Return the field correlation of a map at theta (d,), and what else it might be."""
    values = constrained(model, grid, space(model, grid).unravel(theta))[0]

    def of(gap: Any, convention: str) -> jax.Array:
        changed = replace(grid, gap=gap * grid.gap, convention=convention)
        return jnp.broadcast_to(model.signed_g1(changed, values), grid.c2.shape)[0]

    g1 = of(1.0, grid.convention)
    if "gap" not in model.model.needs:
        return Fields(g1, g1, (g1,) * (len(CONVENTIONS) - 1))
    others = alike(grid.convention).items()
    return Fields(g1, of(0.0, grid.convention), tuple(of(gap, name) for name, gap in others))


class Joint(NamedTuple):
    """Moments of all angles in theta (d,) and w directions of misfit, at the mode.

    Attributes
    ----------
    information, scatter : numpy.ndarray
        (d + w, d + w) working information, and true covariance of the score.
    score : numpy.ndarray
        (d + w,) score of the log likelihood.
    """

    information: np.ndarray
    scatter: np.ndarray
    score: np.ndarray


def directions(grid: ShardGrid, known: Fields) -> jax.Array:
    """Return changes of one map that the model may lack, (w, G, G), in the order of `KINDS`."""
    modulus = jnp.abs(known.g1)
    g1_squared = modulus**2
    age = (grid.time - grid.time[0]) / (grid.time[-1] - grid.time[0])
    middle, lag = age[:, None] + age - 1, 2 * jnp.abs(age[:, None] - age) - 1
    log = jnp.log(jnp.maximum(g1_squared, SMALL))
    decay = g1_squared * log
    at = grid.phi_index.reshape(-1)[0]
    phi, log_q = jnp.deg2rad(grid.phi[at]), jnp.log(jnp.broadcast_to(grid.q, grid.phi.shape))
    legendre = [jnp.asarray(leg2poly(row)[::-1]) for row in np.eye(NUM_AGES + 1)]
    ages = [jnp.polyval(coefficients, middle) for coefficients in legendre]
    made = {
        "rate": [decay * ages[j] for j in range(1, NUM_AGES + 1)],
        "shape": [decay * jnp.log(jnp.maximum(-log, SMALL))],
        "angle": [decay * jnp.cos(2 * phi), decay * jnp.sin(2 * phi)],
        "wavevector": [decay * (log_q[at] - log_q[0])],
        "contrast": [g1_squared * ages[1]],
        "baseline": [ages[1], ages[2], lag],
        "first lag": [jnp.where(jnp.abs(grid.lo - grid.hi) == 1, 1.0, 0.0)],
        "static": [modulus - g1_squared],
        "band": [(known.g1 * jnp.conj(known.still)).real - g1_squared],
        "convention": [jnp.abs(other) ** 2 - g1_squared for other in known.others],
    }
    return jnp.stack([one for kind in KINDS for one in made[kind]])


def lack_of_fit(joint: Joint, prior: np.ndarray) -> pd.DataFrame:
    """Test each kind of direction, and all together.

    Parameters
    ----------
    joint : Joint
        Of theta and the directions of `KINDS`.
    prior : numpy.ndarray
        (d, d) precision of the prior.

    Returns
    -------
    pandas.DataFrame
        Index kind, "all" first; columns chi2, dof (directions that the model cannot follow) and p.
    """
    d = len(prior)
    own = np.linalg.inv(joint.information[:d, :d] + prior)
    follow = -joint.information[d:, :d] @ own
    C = np.hstack([follow, np.eye(len(follow))])
    variance = C @ joint.scatter @ C.T + follow @ prior @ follow.T
    whole = np.diag(joint.information)[d:]
    free = np.diag(C @ joint.information @ C.T) > SAME * whole
    ends = np.cumsum([kind.size for kind in KINDS.values()])
    places = {"all": np.arange(len(follow))}
    places |= {
        name: np.arange(end - kind.size, end)
        for (name, kind), end in zip(KINDS.items(), ends, strict=True)
    }
    found = {}
    for name, at in places.items():
        kept = at[free[at]]
        chi2, dof = _quadratic(joint.score[d:][kept], variance[np.ix_(kept, kept)])
        found[name] = {"chi2": chi2, "dof": dof, "p": float(scipy.stats.chi2.sf(chi2, dof))}
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("kind")


def whitened(noise: WorkingCovariance, residual: jax.Array) -> np.ndarray:
    """Return residuals of maps (P, G, G) with the working covariance taken out, (P, m, m).

    Where the model and the working covariance are right, entries have mean 0, variance 1 and no
    correlation; what they had on the diagonal is not there. Pairs that were not measured are NaN.
    """
    return np.asarray(_whitened(noise, residual))


@jax.jit
def _whitened(noise: WorkingCovariance, residual: jax.Array) -> jax.Array:
    def one(angle: tuple[WorkingCovariance, jax.Array]) -> jax.Array:
        noise, R = angle
        R = average(R, noise.entries) * there(noise.entries)
        P, U, entries, scale = noise.precision, noise.inverse, noise.entries, jnp.sqrt(noise.weight)
        if entries.measured:
            white = filled(entries, 2 * scale * _root(-0.5 * U) @ listed(entries, R))
        else:
            root = _root(P)
            white = scale * root @ covariance.completed(noise, R) @ root
        return white if entries.places is None else jnp.where(there(entries) > 0, white, jnp.nan)

    return jax.lax.map(one, (noise, residual))


def _root(matrix: jax.Array) -> jax.Array:
    """Return the symmetric root of a symmetric matrix."""
    values, vectors = jnp.linalg.eigh(matrix)
    return (vectors * jnp.sqrt(jnp.maximum(values, 0.0))) @ vectors.T


def _quadratic(score: np.ndarray, variance: np.ndarray) -> tuple[float, int]:
    """Return scoreᵀ variance⁻¹ score and the rank of the variance.

    Directions that are flat are left out, and those that are not finite, as few bright pixels make
    them.
    """
    told = np.isfinite(score) & np.isfinite(np.diag(variance)) & (np.diag(variance) > 0)
    score, variance = score[told], variance[np.ix_(told, told)]
    if not len(score) or not np.isfinite(variance).all():
        return 0.0, 0
    sd = np.sqrt(np.diag(variance))
    values, vectors = np.linalg.eigh(variance / np.outer(sd, sd))
    kept = values > SAME * values.max()
    projected = (vectors.T @ (score / sd))[kept]
    return float((projected**2 / values[kept]).sum()), int(kept.sum())
