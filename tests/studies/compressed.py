"""Compressed posteriors against those of all the data, where that is easy and where it is hard.

    python -m tests.studies.compressed [CASE ...] [--experiments N]

Simulated maps are fitted by consensus. In the easy cases all draws are weighed by the density of
all the data: what is printed is the largest of all experiments of the sd of the difference of log
densities, of k-hat of its weights, of the shift of a mean in sds, and of the change of an sd. In
the hard ones the maps themselves are sampled by NUTS too; a result is wrong where it is certified
although a mean lies more than `FAR` sds from there, or an sd is other by more than `OTHER`.
"""

import argparse
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

import homodyne_bayes as hb
from homodyne_bayes.fitting.sample import sample_posterior
from homodyne_bayes.inference.certify import evaluator, pareto_smoothed
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import kernels, simulate
from homodyne_bayes.physics.points import split
from tests.truth import LAMINAR, STATIC

PHI = (-60.0, 0.0, 60.0)
KNOTS = 10
FAR, OTHER = 0.3, 0.25


def knots(points, priors):
    """Log D at ten times, in between linear."""
    level = numpyro.sample("level", dist.Normal(9.0, 1.0).expand([KNOTS]).to_event(1))
    at = jnp.linspace(points.time[0], points.time[-1], KNOTS)
    return kernels.field_correlation(points, jnp.exp(jnp.interp(points.time, at, level)))


class Case(NamedTuple):
    """What is simulated, and how it is fitted."""

    model: str
    truth: dict[str, float]
    phi: tuple[float, ...] = PHI
    num_frames: int = 48
    contrast: float = 0.3
    photons: float | None = 2.0
    sigma: float | None = None  # independent noise instead of speckle
    num_pixels: int = 4000
    settings: Mapping[str, Any] = MappingProxyType({})

    def data(self, seed):
        """Return simulated maps."""
        made = simulate.Experiment(
            MODELS[self.model], self.phi, self.num_frames, self.truth, contrast=self.contrast
        )
        key = jax.random.key(seed)
        if self.sigma:
            return simulate.independent(key, made, self.sigma)
        return simulate.speckle(key, made, self.num_pixels, self.photons)


FIVE = (-60.0, -30.0, 0.0, 30.0, 60.0)
ALIKE = {"noise": "independent"}
EASY = {
    "S, speckle": Case("laminar_flow", LAMINAR, num_frames=60),
    "S, independent": Case("laminar_flow", LAMINAR, num_frames=60, sigma=0.01, settings=ALIKE),
    "5x100, speckle": Case("laminar_flow", LAMINAR, FIVE, 100),
    "5x100, independent": Case("laminar_flow", LAMINAR, FIVE, 100, sigma=0.01, settings=ALIKE),
}
HARD = {
    "starved": Case("static", STATIC, contrast=0.15, photons=0.02, num_pixels=1000),
    "no shear": Case("static", STATIC, settings={"model": "laminar_flow"}),
    "bends": Case("laminar_flow", LAMINAR, num_frames=16, num_pixels=1000),
    "rivals": Case("laminar_flow", LAMINAR, (0.0, 90.0)),
    "ten parameters": Case("static", STATIC, settings={"model": knots}),
}


def fit(case, seed, **more):
    """Return data and posterior."""
    settings = {"model": case.model, "seed": seed, **case.settings, **more}
    return sample_posterior(case.data(seed), hb.FitConfig(**settings))


def weighed(made):
    """Return sd of the difference, k-hat, largest shift and change by the density of all data."""
    draws = made.inference.draws.reshape(-1, made.inference.draws.shape[-1])
    of_form = (made.inference.log_prior + made.inference.log_likelihood).reshape(-1)
    exact = np.sum(evaluator(made.model, split(made.whole))(draws), axis=0)
    log_weight, k_hat = pareto_smoothed(exact - of_form)
    weight = np.exp(log_weight)
    mean, sd = draws.mean(axis=0), draws.std(axis=0)
    moved = np.average(draws, axis=0, weights=weight)
    wider = np.sqrt(np.average((draws - moved) ** 2, axis=0, weights=weight))
    shift, change = (abs(moved - mean) / sd).max(), abs(wider / sd - 1).max()
    return (exact - of_form).std(), k_hat, shift, change


def easy(name, number):
    """Print a line of an easy case."""
    found = [weighed(fit(EASY[name], seed)) for seed in range(number)]
    off, k_hat, shift, change = np.max(found, axis=0)
    print(
        f"{name}: sd {off:.1g}, k-hat {k_hat:.2f}, shift {shift:.1g}, change {change:.1g}",
        flush=True,
    )


def hard(name, number):
    """Print a line of a hard case."""
    certified = wrong = 0
    for seed in range(number):
        try:
            made = fit(HARD[name], seed)
        except hb.errors.InputError as error:
            print(f"{name} {seed}: refused: {error}")
            continue
        verdict = made.inference.certificate
        certified += verdict.certified
        exact = fit(HARD[name], seed, compress=False, method="full", num_samples=1000)
        (mean, sd), (true_mean, true_sd) = (
            (one.inference.draws.mean(axis=(0, 1)), one.inference.draws.std(axis=(0, 1)))
            for one in (made, exact)
        )
        shift, change = (abs(mean - true_mean) / true_sd).max(), abs(sd / true_sd - 1).max()
        bad = verdict.certified and (shift > FAR or change > OTHER)
        wrong += bad
        print(
            f"{name} {seed}: certified {verdict.certified}, the maps "
            f"{exact.inference.certificate.certified}, shift {shift:.2f}, change {change:.2f}, "
            f"{[fault.kind for fault in verdict.faults]}",
            flush=True,
        )
    print(f"{name}: {certified} of {number} certified, {wrong} wrong", flush=True)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("cases", nargs="*", default=[*EASY, *HARD])
    parser.add_argument("--experiments", type=int, default=20)
    asked = parser.parse_args()
    hb.setup()
    for name in asked.cases:
        (easy if name in EASY else hard)(name, asked.experiments)


if __name__ == "__main__":
    main()
