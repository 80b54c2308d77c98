"""A fluid at rest beside scatterers that are frozen: a window, a gel, dirt.

The field of both is E = E_moving + E_frozen. The bin holds many speckles, over which both are
Gaussian and independent of each other, so that Siegert's relation holds for their sum:
<E E'*> = I_moving g1 + I_frozen. Over the total intensity that is (1 − f) g1 + f.
"""

from collections.abc import Mapping

import jax

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics import kernels, rates
from homodyne_bayes.physics.convention import Convention
from homodyne_bayes.physics.model import AT_REST, Formula, Model
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import RateLaw

FROZEN = Parameter(
    *("frozen_share", "f", "f", "", "share of the intensity that is from what does not move"),
    prior=Prior("logitnormal", -2.0, 1.2, "from a hundredth, a window, to a half, a gel"),
)


def frozen(points: ShardGrid, priors: Mapping[str, Prior], D_law: RateLaw = POWER_LAW) -> jax.Array:
    """Return (1 − f) exp(−½ q² ∫D dt) + f, of every point."""
    D = rates.sample(rates.D, D_law, points, priors)  # (G,) Å²/s
    share = rates.draw("frozen_share", priors)
    return (1 - share) * kernels.g1_diffusion(points, D) + share


def formula(_convention: Convention) -> Formula:
    """Return g1, whatever the convention."""
    latex = r"g_1 = (1 - f) \exp(-\tfrac{1}{2} q^2 \textstyle\int D\,\mathrm{d}t) + f"
    return Formula("g₁ = (1 − f) exp(−½ q² ∫D dt) + f", latex, AT_REST.terms)


MODEL = Model(
    frozen,
    title="a fluid at rest, and scatterers that are frozen",
    rates=((rates.D, POWER_LAW),),
    parameters=(FROZEN,),
    formula=formula,
    example=(("D0", 1e4), ("alpha", -0.3), ("D_offset", 500.0), ("frozen_share", 0.2)),
    references=("Pusey and van Megen, Physica A 157:705 (1989)",),
)
