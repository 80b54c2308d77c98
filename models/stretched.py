"""A fluid at rest whose relaxation is stretched, or compressed."""

from collections.abc import Mapping

import jax

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics import kernels, rates
from homodyne_bayes.physics.convention import Convention
from homodyne_bayes.physics.model import AT_REST, Formula, Model
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import RateLaw

TERM = "where $s$ is below 1 if the relaxation is stretched and above 1 if it is compressed"
STRETCH = Parameter(
    *("stretch", "s", "s", "", "exponent of the relaxation: 1 is diffusion"),
    prior=Prior(
        "lognormal", 0.0, 0.3, "from a stretched relaxation, 0.6, to a compressed one, 1.8"
    ),
)


def stretched(
    points: ShardGrid, priors: Mapping[str, Prior], D_law: RateLaw = POWER_LAW
) -> jax.Array:
    """Return g1 = exp(−(½ q² ∫D dt)^s), of every point."""
    D = rates.sample(rates.D, D_law, points, priors)  # (G,) Å²/s
    return kernels.g1_diffusion(points, D, rates.draw("stretch", priors))


def formula(_convention: Convention) -> Formula:
    """Return g1, whatever the convention."""
    latex = r"g_1 = \exp[-(\tfrac{1}{2} q^2 \textstyle\int D\,\mathrm{d}t)^s]"
    return Formula("g₁ = exp(−(½ q² ∫D dt)^s)", latex, (*AT_REST.terms, TERM))


MODEL = Model(
    stretched,
    title="a fluid at rest whose relaxation is stretched or compressed",
    rates=((rates.D, POWER_LAW),),
    parameters=(STRETCH,),
    formula=formula,
    example=(("D0", 1e4), ("alpha", -0.3), ("D_offset", 500.0), ("stretch", 0.75)),
    references=("Cipelletti et al., Faraday Discuss. 123:237 (2003)",),
)
