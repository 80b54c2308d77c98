"""A fluid that slips at the walls: it shears by less than they move.

gamma_dot is the velocity of one wall against the other over the gap, as a rheometer tells it. The
linear profile of the fluid spans 1 − w of it, so that its phase is 1 − w times that of laminar
flow, in either convention. c2 knows their product only: state gamma_dot by its prior.
"""

from homodyne_bayes.model_files import static
from homodyne_bayes.physics import kit

SLIP = kit.Parameter(
    *("slip", "w", "w", "", "share of the velocity between the walls that is slip"),
    prior=kit.Prior("logitnormal", -1.5, 1.2, "from a fiftieth, hardly seen, to three quarters"),
)


def wall_slip(
    points: kit.Points, D: kit.History, gamma_dot: kit.History, slip: kit.Array, phi0: kit.Array
) -> kit.Array:
    """Return the signed field of diffusion and shear along phi0 with slip, of every point."""
    return kit.field_correlation(points, D, gamma_dot.times(1 - slip), phi0)


MODEL = kit.Model(
    wall_slip,
    title="a fluid that diffuses, shears and slips at the walls, whose velocity is known",
    needs=("gap", "phi"),
    rates=((kit.D, kit.POWER_LAW), (kit.GAMMA_DOT, kit.POWER_LAW)),
    parameters=(SLIP, kit.PHI0),
    formula=kit.under_flow_times("(1 − w)"),
    example=(*kit.DIFFUSION, *kit.SHEAR, ("slip", 0.3)),
    references=(kit.HE_2024,),
    still=static.MODEL,
)
