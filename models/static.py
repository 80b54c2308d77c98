"""A fluid at rest: diffusion only."""

from collections.abc import Mapping

import jax

from homodyne_bayes.parameters import Prior
from homodyne_bayes.physics import kernels, rates
from homodyne_bayes.physics.model import Model, at_rest
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import RateLaw


def static(points: ShardGrid, priors: Mapping[str, Prior], D_law: RateLaw = POWER_LAW) -> jax.Array:
    """Return g1 of diffusion, of every point."""
    D = rates.sample(rates.D, D_law, points, priors)  # (G,) Å²/s
    return kernels.field_correlation(points, D)


MODEL = Model(
    static,
    title="a fluid at rest that diffuses",
    rates=((rates.D, POWER_LAW),),
    formula=at_rest,
    example=(("D0", 1e4), ("alpha", -0.3), ("D_offset", 500.0)),
    references=("He et al., PNAS 121:e2401162121 (2024)",),
)
