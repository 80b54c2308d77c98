"""How a model meets the measurement: contrast and offset, and the noise."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro
from numpyro import handlers

from homodyne_bayes.errors import InputError
from homodyne_bayes.inference.density import TRACING
from homodyne_bayes.likelihood.marginal import MarginalNormal
from homodyne_bayes.likelihood.noise import Noise
from homodyne_bayes.likelihood.scaling import Scaling
from homodyne_bayes.parameters import PER_ANGLE, Prior
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.points import ShardGrid


@dataclass(frozen=True)
class Observed:
    """The complete NumPyro model function of one shard, or of one part of it.

    Calling it with points samples the model, contrast and offset of every angle, and what the
    noise has of its own, and observes the measured values as the site ``c2``. Two with the same
    content are equal, so that what is compiled for one serves the other.

    Attributes
    ----------
    model : Model
        Makes the field correlation.
    scaling : Scaling
        How contrast and offset vary.
    noise : Noise
        How values scatter.
    priors : tuple of (str, Prior)
        Of all that is sampled.
    """

    model: Model
    scaling: Scaling
    noise: Noise
    priors: tuple[tuple[str, Prior], ...]

    def __call__(self, points: ShardGrid) -> None:
        """Sample, and observe the values of the points."""
        priors = dict(self.priors)
        g1 = kernels.modulus(self._field(points))
        contrast, offset = (
            self.scaling.sample(points, priors, name, self.scaling.order) for name in PER_ANGLE
        )
        scatter = self.noise.sample(priors)
        if self.scaling.integrated:
            g1 = jnp.broadcast_to(g1, points.c2.shape)
            c2 = MarginalNormal(points, g1, (contrast, offset), self.noise, scatter)
        else:
            mean = kernels.g2(points, g1, contrast, offset)
            c2 = self.noise.distribution(points, mean, scatter)
        numpyro.sample("c2", c2, obs=points.c2)

    def c2(
        self,
        points: ShardGrid,
        values: Mapping[str, jax.Array],
        contrast: jax.Array,
        offset: jax.Array,
    ) -> jax.Array:
        """Return c2 of every point, (N,), without noise.

        Parameters
        ----------
        points : ShardGrid
            Points.
        values : mapping of str to jax.Array
            Of all sites that the model samples.
        contrast, offset : jax.Array
            (P,) of every angle.
        """
        return kernels.g2(points, kernels.modulus(self._at(points, values)), contrast, offset)

    def signed_g1(self, points: ShardGrid, values: Mapping[str, jax.Array]) -> jax.Array:
        """Return the field correlation of every point, (N,), its modulus floored as g1 is.

        Arguments are those of `c2`. It is the covariance of the field, which g1 is not where the
        field changes its sign.
        """
        field = self._at(points, values)
        return jnp.where(field == 0, 1.0, jnp.sign(field)) * kernels.modulus(field)

    def _at(self, points: ShardGrid, values: Mapping[str, jax.Array]) -> jax.Array:
        """Return the field at values of all sites that the model samples."""
        with TRACING, handlers.substitute(data=dict(values)):
            return self._field(points)

    def _field(self, points: ShardGrid) -> jax.Array:
        field = self.model.field(points, dict(self.priors))
        if field is None:
            raise InputError(
                "a model must return the field correlation of every point, found that "
                f"{getattr(self.model.function, '__name__', 'it')} returns nothing: return what "
                "kernels.field_correlation(points, ...) makes"
            )
        return field


def observe(model: Model, scaling: Scaling, noise: Noise, priors: Mapping[str, Prior]) -> Observed:
    """Return the complete NumPyro model function of one shard.

    Parameters
    ----------
    model : Model
        Makes the field correlation.
    scaling : Scaling
        How contrast and offset vary.
    noise : Noise
        How values scatter.
    priors : mapping of str to Prior
        Of all that is sampled.
    """
    return Observed(model, scaling, noise, tuple(priors.items()))
