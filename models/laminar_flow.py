"""A fluid that diffuses and shears between two walls."""

from collections.abc import Mapping

import jax

from homodyne_bayes.model_files import static
from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics import kernels, rates
from homodyne_bayes.physics.model import Model, under_flow
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import RateLaw

PHI0 = Parameter(
    "phi0",
    "φ₀",
    r"\phi_0",
    "degree",
    "flow direction",
    bounds=(-180.0, 180.0),
    default=0.0,
    prior=Prior("circular", 0.0, 90.0, "any; flow and its opposite are the same"),
    follows=(("phi", 1.0),),
)


def laminar_flow(
    points: ShardGrid,
    priors: Mapping[str, Prior],
    D_law: RateLaw = POWER_LAW,
    gamma_dot_law: RateLaw = POWER_LAW,
) -> jax.Array:
    """Return the signed field of diffusion and shear along phi0, of every point."""
    D = rates.sample(rates.D, D_law, points, priors)  # (G,) Å²/s
    gamma_dot = rates.sample(rates.GAMMA_DOT, gamma_dot_law, points, priors)  # (G,) 1/s
    phi0 = rates.draw("phi0", priors)  # degree
    return kernels.field_correlation(points, D, gamma_dot, phi0)


MODEL = Model(
    laminar_flow,
    title="a fluid that diffuses and shears between two walls",
    needs=("gap", "phi"),
    rates=((rates.D, POWER_LAW), (rates.GAMMA_DOT, POWER_LAW)),
    parameters=(PHI0,),
    formula=under_flow,
    example=(
        ("D0", 1e4),
        ("alpha", -0.3),
        ("D_offset", 500.0),
        ("gamma_dot_t0", 1e-3),
        ("beta", 0.1),
        ("gamma_dot_t_offset", 1e-4),
        ("phi0", 3.0),
    ),
    references=("He et al., PNAS 121:e2401162121 (2024)",),
    still=static.MODEL,
)
