"""A fluid at rest: diffusion only."""

from homodyne_bayes.physics import kit


def static(points: kit.Points, D: kit.History) -> kit.Array:
    """Return g1 of diffusion, of every point."""
    return kit.field_correlation(points, D)


MODEL = kit.Model(
    static,
    title="a fluid at rest that diffuses",
    rates=((kit.D, kit.POWER_LAW),),
    formula=kit.at_rest,
    example=kit.DIFFUSION,
    references=(kit.HE_2024,),
)
