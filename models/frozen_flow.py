"""A fluid that shears between two walls, beside scatterers that are frozen: heterodyne.

What moves has a phase against what does not, of its mean velocity: v times that of one wall
against the other, a half where one wall is at rest and the frozen part with it.
"""

from homodyne_bayes.model_files import frozen
from homodyne_bayes.physics import kit

MEAN = kit.Parameter(
    *("mean_velocity", "v", "v", "", "mean velocity of the fluid, of that between the walls"),
    prior=kit.Prior("normal", 0.5, 0.01, "one wall is at rest, and what is frozen is with it"),
)


def frozen_flow(
    points: kit.Points,
    D: kit.History,
    gamma_dot: kit.History,
    phi0: kit.Array,
    frozen_share: kit.Array,
    mean_velocity: kit.Array,
) -> kit.Array:
    """Return the complex field of a fluid along phi0 and of what is frozen, of every point."""
    turned = kit.phasor(mean_velocity * kit.wall_phase(points, gamma_dot, phi0))
    moving = kit.field_correlation(points, D, gamma_dot, phi0) * turned
    return (1 - frozen_share) * moving + frozen_share


MODEL = kit.Model(
    frozen_flow,
    title="a fluid that diffuses and shears, and scatterers that are frozen",
    needs=("gap", "phi"),
    rates=((kit.D, kit.POWER_LAW), (kit.GAMMA_DOT, kit.POWER_LAW)),
    parameters=(kit.PHI0, frozen.FROZEN, MEAN),
    formula=kit.under_flow_beside_frozen,
    example=(*kit.DIFFUSION, *kit.SHEAR, ("frozen_share", 0.2), ("mean_velocity", 0.5)),
    references=(kit.HE_2025,),
    still=frozen.MODEL,
)
