"""A fluid at rest beside scatterers that are frozen: a window, a gel, dirt.

The field of both is E = E_moving + E_frozen. The bin holds many speckles, over which both are
Gaussian and independent of each other, so that Siegert's relation holds for their sum:
<E E'*> = I_moving g1 + I_frozen. Over the total intensity that is (1 − f) g1 + f.
"""

from homodyne_bayes.physics import kit

FROZEN = kit.Parameter(
    *("frozen_share", "f", "f", "", "share of the intensity that is from what does not move"),
    prior=kit.Prior("logitnormal", -2.0, 1.2, "from a hundredth, a window, to a half, a gel"),
)


def frozen(points: kit.Points, D: kit.History, frozen_share: kit.Array) -> kit.Array:
    """Return (1 − f) exp(−½ q² ∫D dt) + f, of every point."""
    return (1 - frozen_share) * kit.g1_diffusion(points, D) + frozen_share


MODEL = kit.Model(
    frozen,
    title="a fluid at rest, and scatterers that are frozen",
    rates=((kit.D, kit.POWER_LAW),),
    parameters=(FROZEN,),
    formula=kit.same_in_every_convention(
        "g₁ = (1 − f) exp(−½ q² ∫D dt) + f",
        r"g_1 = (1 - f) \exp(-\tfrac{1}{2} q^2 \textstyle\int D\,\mathrm{d}t) + f",
    ),
    example=(*kit.DIFFUSION, ("frozen_share", 0.2)),
    references=("Pusey and van Megen, Physica A 157:705 (1989)",),
)
