"""Corrected least squares: intervals widened to their true scatter under speckle."""

from dataclasses import replace
from functools import partial

from homodyne_bayes.likelihood.estimate import estimate, unweighted
from homodyne_bayes.likelihood.noise import NoiseWords
from homodyne_bayes.likelihood.speckle import PIXELS, SPECKLE

CORRECTED = replace(
    SPECKLE,
    title="nothing, but intervals are widened to their true scatter: valid, four times wider",
    estimate=partial(estimate, reweighted=unweighted),
    words=NoiseWords(
        interval="corrected least squares",
        warning="The intervals are those of least squares, widened for correlated noise: they are "
        "valid, but wider than need be. Fit with --noise speckle for narrower ones.",
        compared="independent likelihood, uncorrected",
        explanation="All entries of a map average the same pixels, so that entries which share or "
        "neighbour a frame move together. The fit is that of least squares, as if entries were "
        "independent, but η widens its intervals to the scatter that it truly has under speckle "
        "with contrast β and shot noise e (a sandwich covariance)."
        + PIXELS
        + " The intervals are valid, but wider than those of the speckle likelihood, which weighs "
        "entries by their correlations.",
        eta="part of the information of independent entries that is real: intervals are 1/√η "
        "times as wide as they alone would make them",
        weight="weight of the squared residuals of an angle in −2 log L: one over their variance, "
        "times η",
        caveat="The likelihood is that of least squares, tempered: evidence is understated. It "
        "also depends on the priors.",
    ),
)
