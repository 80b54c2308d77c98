"""A fluid that diffuses and shears between two walls."""

from collections.abc import Mapping

import numpyro

from homodyne_bayes.likelihood.observe import observe_c2
from homodyne_bayes.parameters import Prior
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rates import distribution, sample_diffusion, sample_shear_rate


def laminar_flow(grid: ShardGrid, priors: Mapping[str, Prior]) -> None:
    """Anomalous diffusion and a shear rate γ̇(t) = γ̇₀ t^beta + γ̇_offset along phi0."""
    D = sample_diffusion(grid, priors)
    gamma_dot = sample_shear_rate(grid, priors)
    phi0 = numpyro.sample("phi0", distribution(priors["phi0"]))
    observe_c2(grid, priors, kernels.g1(grid, D, gamma_dot, phi0))
