"""A fluid that slips at the walls: it shears by less than they move.

gamma_dot is the velocity of one wall against the other over the gap, as a rheometer tells it. The
linear profile of the fluid spans 1 − w of it, so that its phase is 1 − w times that of laminar
flow, in either convention. c2 knows their product only: state gamma_dot by its prior.
"""

from collections.abc import Mapping

import jax

from homodyne_bayes.model_files import laminar_flow, static
from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics import kernels, rates
from homodyne_bayes.physics.convention import Convention
from homodyne_bayes.physics.model import Formula, Model, under_flow
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import RateLaw

SLIP = Parameter(
    *("slip", "w", "w", "", "share of the velocity between the walls that is slip"),
    prior=Prior("logitnormal", -1.5, 1.2, "from a fiftieth, hardly seen, to three quarters"),
)


def wall_slip(
    points: ShardGrid,
    priors: Mapping[str, Prior],
    D_law: RateLaw = POWER_LAW,
    gamma_dot_law: RateLaw = POWER_LAW,
) -> jax.Array:
    """Return the signed field of diffusion and shear along phi0 with slip, of every point."""
    D = rates.sample(rates.D, D_law, points, priors)  # (G,) Å²/s
    walls = rates.sample(rates.GAMMA_DOT, gamma_dot_law, points, priors)  # (G,) 1/s
    sheared = walls.times(1 - rates.draw("slip", priors))
    return kernels.field_correlation(points, D, sheared, rates.draw("phi0", priors))


def formula(convention: Convention) -> Formula:
    """Return g1 of laminar flow with the phase of the fluid alone."""
    flow = under_flow(convention)
    text = flow.text.replace("∫γ̇", "(1 − w) ∫γ̇")
    return Formula(text, flow.latex.replace(r"\int \dot", r"(1 - w) \int \dot"), flow.terms)


MODEL = Model(
    wall_slip,
    title="a fluid that diffuses, shears and slips at the walls, whose velocity is known",
    needs=("gap", "phi"),
    rates=((rates.D, POWER_LAW), (rates.GAMMA_DOT, POWER_LAW)),
    parameters=(laminar_flow.PHI0, SLIP),
    formula=formula,
    example=(*laminar_flow.MODEL.example, ("slip", 0.3)),
    references=laminar_flow.MODEL.references,
    still=static.MODEL,
)
