"""A fluid at rest in which some of the scatterers are slower than the others."""

from homodyne_bayes.physics import kit

SHARE = kit.Parameter(
    *("fast_share", "p", "p", "", "share of the intensity that relaxes fast"),
    prior=kit.Prior("logitnormal", 0.0, 1.2, "any share from a tenth to nine tenths"),
)
SLOWER = kit.Parameter(
    *("slower", "r", "r", "", "how many times slower the slow relaxation is"),
    prior=kit.Prior(
        "lognormal", 2.3, 0.8, "less than 2 times is one relaxation, 50 times a frozen part"
    ),
)


def two_relaxations(
    points: kit.Points, D: kit.History, fast_share: kit.Array, slower: kit.Array
) -> kit.Array:
    """Return g1 = p exp(−½ q² ∫D dt) + (1 − p) exp(−½ q² ∫D/r dt), of every point."""
    fast, slow = (kit.g1_diffusion(points, rate) for rate in (D, D.times(1 / slower)))
    return fast_share * fast + (1 - fast_share) * slow


MODEL = kit.Model(
    two_relaxations,
    title="a fluid at rest with a fast and a slow relaxation",
    rates=((kit.D, kit.POWER_LAW),),
    parameters=(SHARE, SLOWER),
    formula=kit.same_in_every_convention(
        "g₁ = p exp(−½ q² ∫D dt) + (1 − p) exp(−½ q² ∫D dt / r)",
        r"g_1 = p\,e^{-u} + (1 - p)\,e^{-u/r}, \quad "
        r"u = \tfrac{1}{2} q^2 \textstyle\int D\,\mathrm{d}t",
    ),
    example=(
        *(("D0", 4e4), ("alpha", -0.3), ("D_offset", 2000.0)),
        *(("fast_share", 0.6), ("slower", 20.0)),
    ),
)
