"""A fluid that is sheared to and fro between two walls, at the frequency of a drive.

Its field is that of laminar flow, its shear rate γ̇_a cos(2πνt + δ). State the frequency.
"""

from homodyne_bayes.model_files import static
from homodyne_bayes.physics import kit


def oscillatory_flow(
    points: kit.Points, D: kit.History, gamma_dot: kit.History, phi0: kit.Array
) -> kit.Array:
    """Return the signed field of diffusion and shear along phi0, of every point."""
    return kit.field_correlation(points, D, gamma_dot, phi0)


MODEL = kit.Model(
    oscillatory_flow,
    title="a fluid that diffuses and is sheared to and fro at a known frequency",
    needs=("gap", "phi"),
    rates=((kit.D, kit.POWER_LAW), (kit.GAMMA_DOT, kit.COSINE)),
    parameters=(kit.PHI0,),
    formula=kit.under_flow,
    example=(
        *(*kit.DIFFUSION, ("phi0", 3.0), ("gamma_dot_amplitude", 2e-3)),
        *(("gamma_dot_frequency", 1.0), ("gamma_dot_phase", 30.0)),
    ),
    references=(kit.HE_2024,),
    still=static.MODEL,
)
