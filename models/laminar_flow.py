"""A fluid that diffuses and shears between two walls."""

from homodyne_bayes.model_files import static
from homodyne_bayes.physics import kit


def laminar_flow(
    points: kit.Points, D: kit.History, gamma_dot: kit.History, phi0: kit.Array
) -> kit.Array:
    """Return the signed field of diffusion and shear along phi0, of every point."""
    return kit.field_correlation(points, D, gamma_dot, phi0)


MODEL = kit.Model(
    laminar_flow,
    title="a fluid that diffuses and shears between two walls",
    needs=("gap", "phi"),
    rates=((kit.D, kit.POWER_LAW), (kit.GAMMA_DOT, kit.POWER_LAW)),
    parameters=(kit.PHI0,),
    formula=kit.under_flow,
    example=(*kit.DIFFUSION, *kit.SHEAR),
    references=(kit.HE_2024,),
    still=static.MODEL,
)
