r"""Contrast and offset of every angle integrated out, in closed form.

c2 of an angle is linear in them, c2 = o + c g₁² + noise, and their priors are Normal. With
X = [s_c g₁², s_o] and the residual r at the centres of the priors, the integral over both is

.. math:: \log p = -\tfrac12 r^T W r + \tfrac12 b^T M^{-1} b - \tfrac12 \log|M| + \mathrm{const},
          \qquad b = X^T W r, \quad M = 1 + X^T W X

where W is the precision of the noise; given the rest, [(c - m_c)/s_c, (o - m_o)/s_o] is Normal
with mean M⁻¹b and covariance M⁻¹ (Golub and Pereyra's variable projection, made Bayesian).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from homodyne_bayes.likelihood import covariance
from homodyne_bayes.likelihood.covariance import LOG_2PI
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
    grid : ShardGrid
        Whole maps, and the noise of speckle if they have it.
    g1 : jax.Array
        (p, G, G) modulus of the field correlation.
    contrast, offset : NormalPrior
        Priors.
    sigma : jax.Array
        Scale of independent noise; not looked at where there is the noise of speckle.
    """

    support = dist.constraints.real_matrix

    def __init__(
        self,
        grid: ShardGrid,
        g1: jax.Array,
        contrast: NormalPrior,
        offset: NormalPrior,
        sigma: jax.Array | float = 1.0,
    ) -> None:
        ones = jnp.ones_like(grid.phi)
        self.loc = kernels.g2(grid, g1, contrast.loc * ones, offset.loc * ones)
        self.columns = jnp.stack([contrast.scale * g1**2, jnp.broadcast_to(offset.scale, g1.shape)])
        self.priors = (contrast, offset)
        self.grid, self.sigma = grid, sigma
        super().__init__(batch_shape=(), event_shape=g1.shape)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Return the log density of maps (p, G, G)."""
        squares, y, root = self._projected(value)
        log_det = 2 * jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
        return self._log_norm() + 0.5 * ((y**2).sum(axis=-1) - squares - log_det).sum()

    def draw_scaling(self, key: jax.Array, value: jax.Array) -> jax.Array:
        """Draw contrast and offset given maps (p, G, G), (2, p) in the order of the maps."""
        _, y, root = self._projected(value)
        y += jax.random.normal(key, y.shape)
        scaled = jax.scipy.linalg.solve_triangular(root, y[..., None], lower=True, trans=1)[..., 0]
        return jnp.stack([p.loc + p.scale * scaled[:, i] for i, p in enumerate(self.priors)])

    def _projected(self, value: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return rᵀWr (p,), L⁻¹b (p, 2) and L (p, 2, 2), with M = L Lᵀ."""
        gram = self._gram(jnp.concatenate([(value - self.loc)[None], self.columns]))
        root = jnp.linalg.cholesky(jnp.eye(2) + gram[:, 1:, 1:])
        b = gram[:, 1:, :1]
        y = jax.scipy.linalg.solve_triangular(root, b, lower=True)[..., 0]
        return gram[:, 0, 0], y, root

    def _gram(self, maps: jax.Array) -> jax.Array:
        """Return xᵀWy of every two of k maps (k, p, G, G), (p, k, k)."""
        noise = self.grid.noise
        if noise is None:
            weighted = [self.grid.used * x for x in maps]
            rows = [[(x * y).sum(axis=(1, 2)) for y in maps] for x in weighted]
            return jnp.moveaxis(jnp.array(rows), -1, 0) / self.sigma**2
        binned = covariance.average(maps, noise.frame_weight, noise.bin_frames)
        return noise.weight[:, None, None] * covariance.gram(noise, binned)

    def _log_norm(self) -> jax.Array:
        if self.grid.noise is not None:
            return self.grid.noise.log_norm.sum()
        return -self.grid.used.sum() * (jnp.log(self.sigma) + 0.5 * LOG_2PI)
