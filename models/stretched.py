"""A fluid at rest whose relaxation is stretched, or compressed."""

from homodyne_bayes.physics import kit

STRETCH = kit.Parameter(
    *("stretch", "s", "s", "", "exponent of the relaxation: 1 is diffusion"),
    prior=kit.Prior(
        "lognormal", 0.0, 0.3, "from a stretched relaxation, 0.6, to a compressed one, 1.8"
    ),
)


def stretched(points: kit.Points, D: kit.History, stretch: kit.Array) -> kit.Array:
    """Return g1 = exp(−(½ q² ∫D dt)^s), of every point."""
    return kit.g1_diffusion(points, D, stretch)


MODEL = kit.Model(
    stretched,
    title="a fluid at rest whose relaxation is stretched or compressed",
    rates=((kit.D, kit.POWER_LAW),),
    parameters=(STRETCH,),
    formula=kit.same_in_every_convention(
        "g₁ = exp(−(½ q² ∫D dt)^s)",
        r"g_1 = \exp[-(\tfrac{1}{2} q^2 \textstyle\int D\,\mathrm{d}t)^s]",
        "where $s$ is below 1 if the relaxation is stretched and above 1 if it is compressed",
    ),
    example=(*kit.DIFFUSION, ("stretch", 0.75)),
    references=("Cipelletti et al., Faraday Discuss. 123:237 (2003)",),
)
