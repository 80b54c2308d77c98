r"""From the mode of a posterior to where its mass is.

Where priors have heavy tails, as Student's t of many values jointly, the mode lies where all values
are as alike as the prior likes them most, and the posterior is wider and elsewhere. The Gaussian
of the smallest divergence from a posterior has (Opper and Archambeau, Neural Comput. 21:786, 2009)

.. math:: E[\nabla \log p] = 0, \qquad C^{-1} = -E[\nabla \nabla \log p]

with expectations over itself. Here the likelihood is the Gaussian that it is at the mode, and the
prior is as it is, so that no data are looked at. Where priors are Normal nothing moves.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from homodyne_bayes.inference.nuts import Gaussian, proper

NUM_DRAWS = 64  # over which expectations are means; half of them mirror the others
MAX_STEPS = 40
NEAR_ENOUGH = 0.01  # sds that the mean moves, and relative change of variances

PriorSlopes = Callable[[Any], tuple[Any, Any]]


def about_the_mass(prior: PriorSlopes, laplace: Gaussian) -> Gaussian:
    """Return the Gaussian nearest to a posterior, that at its mode where none is found.

    Parameters
    ----------
    prior : callable
        Gradient (d,) and Hessian (d, d) of the log prior at theta (d,).
    laplace : Gaussian
        Mode of the posterior, and the inverse of the information there.
    """
    mode = np.asarray(laplace.mean)
    gradient, bend = prior(mode)
    information = np.linalg.inv(laplace.covariance) - falling(bend)
    half = np.random.default_rng(0).standard_normal((NUM_DRAWS // 2, len(mode)))
    z = np.concatenate([half, -half])
    found = Gaussian(mode, np.asarray(laplace.covariance))
    for _ in range(MAX_STEPS):
        root = np.linalg.cholesky(found.covariance)
        drawn = [prior(theta) for theta in found.mean + z @ root.T]
        slope, bend = (np.mean(values, axis=0) for values in zip(*drawn, strict=True))
        covariance = np.linalg.inv(information - 0.5 * (bend + bend.T))
        step = covariance @ (slope - gradient - information @ (found.mean - mode))
        found = Gaussian(found.mean + step, 0.5 * (covariance + covariance.T))
        if not proper(found):
            return laplace
        inverse = np.linalg.inv(root)
        growth = np.linalg.eigvalsh(inverse @ found.covariance @ inverse.T)
        if max(np.linalg.norm(inverse @ step), np.abs(growth - 1).max()) < NEAR_ENOUGH:
            return found
    return laplace


def falling(bend: Any, library: Any = np) -> Any:
    """Return minus a Hessian (d, d), 0 in directions in which it rises.

    A heavy tail bends that way. ``library`` is NumPy, or `jax.numpy` within a program.
    """
    values, vectors = library.linalg.eigh(-0.5 * (bend + bend.T))
    return (vectors * library.maximum(values, 0.0)) @ vectors.T
