"""A fluid at rest: diffusion only."""

from collections.abc import Mapping

from homodyne_bayes import kernels
from homodyne_bayes.models.observation import observe_c2
from homodyne_bayes.models.sampling import sample_diffusion
from homodyne_bayes.parameters import Prior
from homodyne_bayes.shards import ShardGrid


def static(grid: ShardGrid, priors: Mapping[str, Prior]) -> None:
    """Anomalous diffusion D(t) = D0 t^alpha + D_offset; the same g1 at every angle."""
    D = sample_diffusion(grid, priors)
    observe_c2(grid, priors, kernels.g1(grid, D))
