"""A fluid that shears between two walls and whose relaxation is stretched, or compressed."""

from homodyne_bayes.model_files import stretched
from homodyne_bayes.physics import kit


def stretched_flow(
    points: kit.Points,
    D: kit.History,
    gamma_dot: kit.History,
    stretch: kit.Array,
    phi0: kit.Array,
) -> kit.Array:
    """Return the signed field of a stretched relaxation and shear along phi0, of every point."""
    return kit.g1_diffusion(points, D, stretch) * kit.flow_factor(points, gamma_dot, phi0)


MODEL = kit.Model(
    stretched_flow,
    title="a fluid that shears, and whose relaxation is stretched or compressed",
    needs=("gap", "phi"),
    rates=((kit.D, kit.POWER_LAW), (kit.GAMMA_DOT, kit.POWER_LAW)),
    parameters=(stretched.STRETCH, kit.PHI0),
    formula=kit.under_flow_of(stretched.MODEL),
    example=(*kit.DIFFUSION, *kit.SHEAR, ("stretch", 0.75)),
    references=(kit.HE_2024, *stretched.MODEL.references),
    still=stretched.MODEL,
)
