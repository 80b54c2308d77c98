"""A fluid at rest: diffusion only."""

from collections.abc import Mapping

from homodyne_bayes.likelihood.observe import observe_c2
from homodyne_bayes.parameters import Prior
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rates import sample_diffusion


def static(grid: ShardGrid, priors: Mapping[str, Prior]) -> None:
    """Anomalous diffusion D(t) = D0 t^alpha + D_offset; the same g1 at every angle."""
    D = sample_diffusion(grid, priors)
    observe_c2(grid, priors, kernels.g1(grid, D))
