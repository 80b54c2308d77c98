"""A fluid that shears between two walls, beside scatterers that are frozen: heterodyne.

As in `frozen`, but what moves has a phase of its own against what does not: that of its mean
velocity, which is v times that of one wall against the other. Where one wall is at rest, and the
frozen part with it, v is a half; where the walls move against each other it is 0.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from homodyne_bayes.model_files import frozen, laminar_flow
from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics import kernels, rates
from homodyne_bayes.physics.convention import Convention
from homodyne_bayes.physics.model import AT_REST, Formula, Model
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import RateLaw

MEAN = Parameter(
    *("mean_velocity", "v", "v", "", "mean velocity of the fluid, of that between the walls"),
    prior=Prior("normal", 0.5, 0.01, "one wall is at rest, and what is frozen is with it"),
)


def frozen_flow(
    points: ShardGrid,
    priors: Mapping[str, Prior],
    D_law: RateLaw = POWER_LAW,
    gamma_dot_law: RateLaw = POWER_LAW,
) -> jax.Array:
    """Return the complex field of a fluid along phi0 and of what is frozen, of every point."""
    D = rates.sample(rates.D, D_law, points, priors)  # (G,) Å²/s
    gamma_dot = rates.sample(rates.GAMMA_DOT, gamma_dot_law, points, priors)  # (G,) 1/s
    phi0, share = rates.draw("phi0", priors), rates.draw("frozen_share", priors)
    phase = rates.draw("mean_velocity", priors) * kernels.wall_phase(points, gamma_dot, phi0)
    moving = kernels.field_correlation(points, D, gamma_dot, phi0) * jnp.exp(1j * phase)
    return (1 - share) * moving + share


def formula(convention: Convention) -> Formula:
    """Return g1; sinc has its sign."""
    factor, latex = (text.replace("|", "") for text in (convention.text, convention.latex))
    walls = rf"where $\psi = {convention.walls:.3g}\,x$ is the phase between the walls"
    return Formula(
        f"g₁ = |(1 − f) exp(i v ψ) g + f|, ψ = {convention.walls:.3g} x the phase between the "
        f"walls, g = exp(−½ q² ∫D dt){factor}",
        r"g_1 = |(1 - f)\,e^{i v \psi} g + f|, \quad "
        rf"g = \exp(-\tfrac{{1}}{{2}} q^2 \textstyle\int D\,\mathrm{{d}}t){latex}",
        (*AT_REST.terms, walls),
    )


MODEL = Model(
    frozen_flow,
    title="a fluid that diffuses and shears, and scatterers that are frozen",
    needs=("gap", "phi"),
    rates=((rates.D, POWER_LAW), (rates.GAMMA_DOT, POWER_LAW)),
    parameters=(laminar_flow.PHI0, frozen.FROZEN, MEAN),
    formula=formula,
    example=(*laminar_flow.MODEL.example, ("frozen_share", 0.2), ("mean_velocity", 0.5)),
    references=("He et al., PNAS (2025), doi 10.1073/pnas.2514216122",),
    still=frozen.MODEL,
)
