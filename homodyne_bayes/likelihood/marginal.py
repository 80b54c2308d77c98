r"""Contrast and offset of every angle integrated out, in closed form.

c2 of an angle is linear in them, c2 = o + c g₁² + noise, and their priors are Normal. With
X = [s_c g₁², s_o] and the residual r at the centres of the priors, the integral over both is

.. math:: \log p = -\tfrac12 r^T W r + \tfrac12 b^T M^{-1} b - \tfrac12 \log|M| + \mathrm{const},
          \qquad b = X^T W r, \quad M = 1 + X^T W X

where W is the precision of the noise; given the rest, [(c - m_c)/s_c, (o - m_o)/s_o] is Normal
with mean M⁻¹b and covariance M⁻¹ (Golub and Pereyra's variable projection, made Bayesian).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from homodyne_bayes.likelihood.noise import Noise
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.points import ShardGrid


class NormalPrior(NamedTuple):
    """Centre and sd, the same for all angles."""

    loc: jax.Array
    scale: jax.Array


class MarginalNormal(dist.Distribution):
    """Whole maps (p, G, G) whose contrast and offset are integrated out.

    Parameters
    ----------
    points : ShardGrid
        Whole maps, with what the noise has to know of them.
    g1 : jax.Array
        (p, G, G) modulus of the field correlation.
    priors : tuple of NormalPrior
        Of contrast and of offset.
    noise : Noise
        How values scatter; Normal.
    scatter : object
        What the noise sampled.
    """

    support = dist.constraints.real_matrix

    def __init__(
        self,
        points: ShardGrid,
        g1: jax.Array,
        priors: tuple[NormalPrior, NormalPrior],
        noise: Noise,
        scatter: Any = None,
    ) -> None:
        contrast, offset = priors
        ones = jnp.ones_like(points.phi)
        self.loc = kernels.g2(points, g1, contrast.loc * ones, offset.loc * ones)
        self.columns = jnp.stack([contrast.scale * g1**2, jnp.broadcast_to(offset.scale, g1.shape)])
        self.priors = priors
        self.points, self.noise, self.scatter = points, noise, scatter
        super().__init__(batch_shape=(), event_shape=g1.shape)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Return the log density of maps (p, G, G)."""
        squares, y, root = self._projected(value)
        log_det = 2 * jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
        return (
            self.noise.log_norm(self.points, self.scatter)
            + 0.5 * ((y**2).sum(axis=-1) - squares - log_det).sum()
        )

    def draw_scaling(self, key: jax.Array, value: jax.Array) -> jax.Array:
        """Draw contrast and offset given maps (p, G, G), (2, p) in the order of the maps."""
        _, y, root = self._projected(value)
        y += jax.random.normal(key, y.shape)
        scaled = jax.scipy.linalg.solve_triangular(root, y[..., None], lower=True, trans=1)[..., 0]
        return jnp.stack([p.loc + p.scale * scaled[:, i] for i, p in enumerate(self.priors)])

    def _projected(self, value: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return rᵀWr (p,), L⁻¹b (p, 2) and L (p, 2, 2), with M = L Lᵀ."""
        maps = jnp.concatenate([(value - self.loc)[None], self.columns])
        gram = self.noise.gram(self.points, maps, self.scatter)
        root = jnp.linalg.cholesky(jnp.eye(2) + gram[:, 1:, 1:])
        b = gram[:, 1:, :1]
        y = jax.scipy.linalg.solve_triangular(root, b, lower=True)[..., 0]
        return gram[:, 0, 0], y, root
