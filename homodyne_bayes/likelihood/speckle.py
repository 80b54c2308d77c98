"""The noise of speckle: how the entries of a map move together."""

from functools import partial
from typing import Any

import jax
import numpyro.distributions as dist

from homodyne_bayes.likelihood import covariance
from homodyne_bayes.likelihood.covariance import SpeckleNormal
from homodyne_bayes.likelihood.entries import average
from homodyne_bayes.likelihood.estimate import estimate
from homodyne_bayes.likelihood.information import information_of_speckle
from homodyne_bayes.likelihood.noise import Noise, NoiseWords
from homodyne_bayes.physics.points import ShardGrid

PIXELS = (
    " η is found from the scatter of the score over simulated pixels with the same β, g₁ and e, "
    "or over measured groups of pixels where the data hold them."
)


def _normal(points: ShardGrid, mean: jax.Array, _scatter: Any) -> dist.Distribution:
    return SpeckleNormal(mean, points.noise)


def _gram(points: ShardGrid, maps: jax.Array, _scatter: Any) -> jax.Array:
    noise = points.noise
    binned = partial(average, entries=noise.entries)
    return noise.weight[:, None, None] * covariance.gram(noise, maps, binned)


def _log_norm(points: ShardGrid, _scatter: Any) -> jax.Array:
    return points.noise.log_norm.sum()


SPECKLE = Noise(
    title="how the entries of a map move together: intervals are calibrated",
    distribution=_normal,
    information=information_of_speckle,
    gram=_gram,
    log_norm=_log_norm,
    estimate=estimate,
    whole_maps=True,
    words=NoiseWords(
        compared="independent likelihood, uncorrected",
        residuals="whitened residuals",
        explanation="All entries of a map average the same pixels, so that entries which share or "
        "neighbour a frame move together. The speckle likelihood knows this: it gives entries "
        "(a, b) and (c, d) the covariance S(a,c) S(b,d) + S(a,d) S(b,c), where S = β g₁² + e is "
        "the covariance of the intensity of a pixel in two frames, and the nugget e, there for "
        "equal frames only, comes from the random numbers of photons. Parameters rest on sums "
        "over many entries, which have third and fourth cumulants too; η corrects for these."
        + PIXELS,
        eta="part of the information of the working covariance that is real: intervals are 1/√η "
        "times as wide as it alone would make them",
        weight="weight of rᵀK⁻¹r in −2 log L, r the residuals of an angle and K their working "
        "covariance: from the scatter of r, times η",
        caveat="All models are given the same noise, that of the model that explains it best. "
        "Evidence also depends on the priors.",
    ),
)
