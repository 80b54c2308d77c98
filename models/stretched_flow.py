"""A fluid that shears between two walls and whose relaxation is stretched, or compressed."""

from collections.abc import Mapping

import jax

from homodyne_bayes.model_files import laminar_flow, stretched
from homodyne_bayes.parameters import Prior
from homodyne_bayes.physics import kernels, rates
from homodyne_bayes.physics.convention import Convention
from homodyne_bayes.physics.model import Formula, Model
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import RateLaw


def stretched_flow(
    points: ShardGrid,
    priors: Mapping[str, Prior],
    D_law: RateLaw = POWER_LAW,
    gamma_dot_law: RateLaw = POWER_LAW,
) -> jax.Array:
    """Return the signed field of a stretched relaxation and shear along phi0, of every point."""
    D = rates.sample(rates.D, D_law, points, priors)  # (G,) Å²/s
    gamma_dot = rates.sample(rates.GAMMA_DOT, gamma_dot_law, points, priors)  # (G,) 1/s
    relaxed = kernels.g1_diffusion(points, D, rates.draw("stretch", priors))
    return relaxed * kernels.flow_factor(points, gamma_dot, rates.draw("phi0", priors))


def formula(convention: Convention) -> Formula:
    """Return g1 of a stretched relaxation and of shear."""
    still = stretched.formula(convention)
    return Formula(still.text + convention.text, still.latex + convention.latex, still.terms)


MODEL = Model(
    stretched_flow,
    title="a fluid that shears, and whose relaxation is stretched or compressed",
    needs=("gap", "phi"),
    rates=((rates.D, POWER_LAW), (rates.GAMMA_DOT, POWER_LAW)),
    parameters=(laminar_flow.PHI0, stretched.STRETCH),
    formula=formula,
    example=(*laminar_flow.MODEL.example, ("stretch", 0.75)),
    references=(*laminar_flow.MODEL.references, *stretched.MODEL.references),
    still=stretched.MODEL,
)
