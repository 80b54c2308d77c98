"""A fluid at rest in which some of the scatterers are slower than the others."""

from collections.abc import Mapping

import jax

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics import kernels, rates
from homodyne_bayes.physics.convention import Convention
from homodyne_bayes.physics.model import AT_REST, Formula, Model
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import RateLaw

SHARE = Parameter(
    *("fast_share", "p", "p", "", "share of the intensity that relaxes fast"),
    prior=Prior("logitnormal", 0.0, 1.2, "any share from a tenth to nine tenths"),
)
SLOWER = Parameter(
    *("slower", "r", "r", "", "how many times slower the slow relaxation is"),
    prior=Prior(
        "lognormal", 2.3, 0.8, "less than 2 times is one relaxation, 50 times a frozen part"
    ),
)


def two_relaxations(
    points: ShardGrid, priors: Mapping[str, Prior], D_law: RateLaw = POWER_LAW
) -> jax.Array:
    """Return g1 = p exp(−½ q² ∫D dt) + (1 − p) exp(−½ q² ∫D/r dt), of every point."""
    D = rates.sample(rates.D, D_law, points, priors)  # (G,) Å²/s, of the fast ones
    share, slower = rates.draw("fast_share", priors), rates.draw("slower", priors)
    fast, slow = (kernels.g1_diffusion(points, history) for history in (D, D.times(1 / slower)))
    return share * fast + (1 - share) * slow


def formula(_convention: Convention) -> Formula:
    """Return g1, whatever the convention."""
    return Formula(
        "g₁ = p exp(−½ q² ∫D dt) + (1 − p) exp(−½ q² ∫D dt / r)",
        r"g_1 = p\,e^{-u} + (1 - p)\,e^{-u/r}, \quad "
        r"u = \tfrac{1}{2} q^2 \textstyle\int D\,\mathrm{d}t",
        AT_REST.terms,
    )


MODEL = Model(
    two_relaxations,
    title="a fluid at rest with a fast and a slow relaxation",
    rates=((rates.D, POWER_LAW),),
    parameters=(SHARE, SLOWER),
    formula=formula,
    example=(
        *(("D0", 4e4), ("alpha", -0.3), ("D_offset", 2000.0)),
        *(("fast_share", 0.6), ("slower", 20.0)),
    ),
)
