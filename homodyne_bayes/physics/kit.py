"""All that a model file is written with: ``from homodyne_bayes.physics import kit``."""

import jax

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics.kernels import (
    History,
    drift_phase,
    field_correlation,
    flow_factor,
    g1_diffusion,
    of_both_frames,
    phasor,
    wall_phase,
    wavevector,
)
from homodyne_bayes.physics.model import (
    AT_REST,
    Formula,
    Model,
    at_rest,
    same_in_every_convention,
    under_flow,
    under_flow_beside_frozen,
    under_flow_of,
    under_flow_times,
)
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rate_laws.constant import CONSTANT
from homodyne_bayes.physics.rate_laws.cosine import COSINE
from homodyne_bayes.physics.rate_laws.growth import GROWTH
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import (
    GAMMA_DOT,
    OF_DECAY,
    OF_PHASE,
    D,
    Rate,
    RateLaw,
    draw,
    sample,
)

__all__ = [
    "AT_REST",
    "CONSTANT",
    "COSINE",
    "DIFFUSION",
    "GAMMA_DOT",
    "GROWTH",
    "HE_2024",
    "HE_2025",
    "OF_DECAY",
    "OF_PHASE",
    "PHI0",
    "POWER_LAW",
    "SHEAR",
    "Array",
    "D",
    "Formula",
    "History",
    "Model",
    "Parameter",
    "Points",
    "Prior",
    "Rate",
    "RateLaw",
    "at_rest",
    "draw",
    "drift_phase",
    "field_correlation",
    "flow_factor",
    "g1_diffusion",
    "of_both_frames",
    "phasor",
    "same_in_every_convention",
    "sample",
    "under_flow",
    "under_flow_beside_frozen",
    "under_flow_of",
    "under_flow_times",
    "wall_phase",
    "wavevector",
]

Array = jax.Array
Points = ShardGrid

PHI0 = Parameter(
    "phi0",
    "φ₀",
    r"\phi_0",
    "degree",
    "flow direction",
    bounds=(-180.0, 180.0),
    default=0.0,
    prior=Prior("circular", 0.0, 90.0, "any; flow and its opposite are the same"),
    follows=(("phi", 1.0),),
)

DIFFUSION = (("D0", 1e4), ("alpha", -0.3), ("D_offset", 500.0))
SHEAR = (("gamma_dot_t0", 1e-3), ("beta", 0.1), ("gamma_dot_t_offset", 1e-4), ("phi0", 3.0))
HE_2024 = "He et al., PNAS 121:e2401162121 (2024)"
HE_2025 = "He et al., PNAS (2025), doi 10.1073/pnas.2514216122"
