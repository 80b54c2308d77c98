"""What a fit could know at best: dense generalised least squares, with the priors of a fit.

The covariance of all entries of a map is that of `tests.speckle_oracle.single_pixel` over the
number of pixels. Nothing is approximated but that maps are linear in the parameters,
about the truth; and not even that in `weighed`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import scipy.linalg

from tests.foreign.formula import (
    diffusion,
    field_correlation,
    intensity_correlation,
    shear_rate,
    slope,
)
from tests.foreign.simulator import times
from tests.speckle_oracle import entries, single_pixel

STEP = 1e-4  # of a coordinate, for derivatives
SOFTNESS = 0.2  # of the bend: bend and ratio agree to 1 % where the ratio is 1
WIDER, HEAVY = 1.3, 6.0  # than the linear posterior, degrees of freedom: proposals of `weighed`
FACTORS = np.exp(np.linspace(-7, 3, 24))  # of the precision of a heavy tail: a quadrature
REST = ("level", "slope", "bend")
FLOW = (*REST, "shear_level", "shear_slope", "shear_bend", "phi0")


@dataclass(frozen=True)
class Priors:
    """Priors: Normal of the fluid, Student's t of contrast and baseline.

    Attributes
    ----------
    fluid : dict
        Location and scale by name: of ``level``, log D at t_ref; of ``slope``, d log D / d log t
        there; of ``bend``, alpha / slope softened to stay positive; the same of the shear rate; and
        of ``phi0``, degree.
    contrast : tuple of float
        Of the logarithm of the contrast: location and scale of what all angles share, and the
        scale of what every angle has beside it.
    offset : tuple of float
        The same of the baseline.
    freedom : float
        Degrees of freedom of both, of all angles jointly.
    """

    fluid: dict
    contrast: tuple[float, float, float]
    offset: tuple[float, float, float]
    freedom: float = 4.0


@dataclass(frozen=True)
class Oracle:
    """The likelihood of an experiment about its truth, and priors.

    Attributes
    ----------
    names : tuple of str
        Coordinates of the fluid, the first d of theta; the logarithm of the contrast, and the
        baseline, of every angle follow.
    truth : numpy.ndarray
        (d + 2P,) theta.
    expected : numpy.ndarray
        (P, N) entries of the maps, N pairs of frames.
    information : numpy.ndarray
        (d + 2P, d + 2P) of the likelihood.
    solved : numpy.ndarray
        (P, N, d + 2P) derivatives of the maps over their covariance.
    factors : list of numpy.ndarray
        (N, N) Cholesky factor, lower, of the covariance of the map of every angle.
    priors : Priors
    pairs : tuple of numpy.ndarray
        Earlier and later frame of the entries, (N,) each.
    curves : callable
        ``curves(values)`` is what a single mode has at coordinates of the fluid, (P, N).
    """

    names: tuple[str, ...]
    truth: np.ndarray
    expected: np.ndarray
    information: np.ndarray
    solved: np.ndarray
    factors: list[np.ndarray]
    priors: Priors
    pairs: tuple[np.ndarray, np.ndarray]
    curves: Callable[[np.ndarray], np.ndarray]

    def posterior(self, maps):
        """Return mean, (d + 2P,), and covariance of theta given maps, (P, G, G).

        Student's t is a Normal whose precision is a factor drawn from a Gamma distribution; the
        posterior is Normal given the factors of contrast and baseline, and a mixture of these.
        """
        residual = maps[:, *self.pairs] - self.expected
        log_mass, away, prior, covariance = self.mixture
        pull = prior @ away
        push = np.einsum("pnj,pn->j", self.solved, residual) + pull  # (W, d + 2P)
        means = np.einsum("wij,wj->wi", covariance, push)
        logs = log_mass + 0.5 * ((means * push).sum(axis=1) - pull @ away)
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        mean = weights @ means
        between = (weights * (means - mean).T) @ (means - mean)
        return self.truth + mean, np.einsum("w,wij->ij", weights, covariance) + between

    def weighed(self, maps, rng, number=2000):
        """Return mean and covariance of theta, as `posterior`, and the ESS of weighed draws.

        Maps are as the formula has them at every draw; the covariance of their entries is held.
        """
        d, P = len(self.names), len(self.expected)
        mean, covariance = self.posterior(maps)
        tail = np.sqrt(HEAVY / rng.chisquare(HEAVY, (number, 1)))
        z = rng.standard_normal((number, len(mean)))
        draws = mean + tail * z @ np.linalg.cholesky(WIDER**2 * covariance).T
        logs = self._log_prior(draws) + _log_student(draws, mean, WIDER**2 * covariance, HEAVY, -1)
        measured = maps[:, *self.pairs]
        with np.errstate(all="ignore"):  # no weight where an integral from t = 0 is infinite
            curves = np.array([self.curves(draw[:d]) for draw in draws])  # (S, P, N)
        contrast, offset = np.exp(draws[:, d : d + P]), draws[:, d + P :]
        residual = measured - offset[..., None] - contrast[..., None] * curves
        bad = ~np.isfinite(residual).all(axis=(1, 2))
        residual[bad] = 0.0
        for i, factor in enumerate(self.factors):
            white = scipy.linalg.solve_triangular(factor, residual[:, i].T, lower=True)
            logs -= 0.5 * (white**2).sum(axis=0)
        weights = np.where(bad, 0.0, np.exp(logs - logs[~bad].max()))
        weights /= weights.sum()
        mean = weights @ draws
        covariance = (weights * (draws - mean).T) @ (draws - mean)
        return mean, covariance, 1 / (weights**2).sum()

    def _log_prior(self, draws):
        """Return the log density of the priors at draws, (S, d + 2P), up to a constant."""
        d, P = len(self.names), len(self.expected)
        loc, scale = np.array([self.priors.fluid[name] for name in self.names]).T
        logs = -0.5 * (((draws[:, :d] - loc) / scale) ** 2).sum(axis=1)
        places = ((d, self.priors.contrast), (d + P, self.priors.offset))
        for start, (centre, common, spread) in places:
            shape = common**2 * np.ones((P, P)) + spread**2 * np.eye(P)
            part = draws[:, start : start + P]
            logs += _log_student(part, centre, shape, self.priors.freedom)
        return logs

    @cached_property
    def mixture(self):
        """Return W Normals: log masses, centre less truth, precisions, covariances given data.

        The masses hold what of the evidence does not depend on the data.
        """
        P, half = len(self.expected), self.priors.freedom / 2
        fluid = np.array([self.priors.fluid[name] for name in self.names])
        places = (self.priors.contrast, self.priors.offset)
        centre = np.concatenate([fluid[:, 0], *(np.full(P, loc) for loc, _, _ in places)])
        fixed = [np.diag(fluid[:, 1] ** -2.0)] + [
            np.linalg.inv(scale**2 * np.ones((P, P)) + spread**2 * np.eye(P))
            for _, scale, spread in places
        ]
        log_masses, precisions = [], []
        for factors in product(FACTORS, FACTORS):
            log_masses.append(sum(half * np.log(x) - x for x in factors))
            scaled = (1.0, *(x / half for x in factors))
            parts = [x * part for x, part in zip(scaled, fixed, strict=True)]
            precisions.append(scipy.linalg.block_diag(*parts))
        precision = np.array(precisions)
        total = self.information + precision
        log_det = np.linalg.slogdet(precision)[1] - np.linalg.slogdet(total)[1]
        return (
            np.array(log_masses) + 0.5 * log_det,
            centre - self.truth,
            precision,
            np.linalg.inv(total),
        )


def _log_student(draws, loc, shape, freedom, sign=1):
    """Return ``sign`` times the log density of Student's t at draws, (S, k), up to a constant."""
    white = np.linalg.solve(np.linalg.cholesky(shape), (draws - loc).T)
    distance = (white**2).sum(axis=0)
    return -sign * 0.5 * (freedom + draws.shape[1]) * np.log1p(distance / freedom)


def reference_time(sample, beam):
    """Return where levels and slopes are stated, in s: after 1/e of all frames."""
    t = times(sample, beam)
    return t[0] + (t[-1] - t[0]) / np.e


def coordinates(sample, t_ref, names):
    """Return the coordinates of a sample, (d,)."""
    curved = sample.D0 * t_ref**sample.alpha
    level = diffusion(replace(sample, ageing=1.0), t_ref)
    found = [np.log(level), slope(sample, t_ref), _bend(level / curved)]
    if names == FLOW:
        curved = sample.gamma_dot_t0 * t_ref**sample.beta
        ratio = shear_rate(replace(sample, start_up=0.0), t_ref) / curved
        found += [np.log(ratio * curved), sample.beta / ratio, _bend(ratio), sample.phi0]
    return np.array(found)


def sample_at(values, sample, t_ref):
    """Return the sample with these coordinates, (d,); it keeps what has none."""
    amplitude, exponent, offset = _law(values[:3], t_ref)
    sample = replace(sample, D0=amplitude, alpha=exponent, D_offset=offset)
    if len(values) == len(FLOW):
        amplitude, exponent, offset = _law(values[3:6], t_ref)
        sample = replace(
            sample, gamma_dot_t0=amplitude, beta=exponent, gamma_dot_t_offset=offset, phi0=values[6]
        )
    return sample


def _bend(ratio):
    """Return the bend of a ratio alpha / slope."""
    return ratio - SOFTNESS**2 / (4 * ratio)


def _law(values, t_ref):
    """Return amplitude, exponent and offset of a rate from log level, slope and bend."""
    log_level, slope, bend = values
    ratio = (bend + np.hypot(bend, SOFTNESS)) / 2
    exponent, level = slope * ratio, np.exp(log_level)
    return level / ratio * t_ref**-exponent, exponent, level * (1 - 1 / ratio)


def oracle(sample, beam, contrasts, priors, flow, measured=None):
    """Return the likelihood of an experiment by dense generalised least squares.

    Parameters
    ----------
    sample : tests.foreign.formula.Sample
    beam : tests.foreign.simulator.Beam
        Without anything that the model does not know.
    contrasts : numpy.ndarray
        (P,) contrast of every angle.
    priors : Priors
    flow : bool
        Whether the flow is fitted.
    measured : numpy.ndarray, optional
        (G, G) flags of the pairs that maps have; all without.

    Returns
    -------
    Oracle
    """
    names, t_ref, P = FLOW if flow else REST, reference_time(sample, beam), len(beam.phi)
    every = entries(beam.num_frames)
    kept = slice(None) if measured is None else measured[every]
    pairs = every[0][kept], every[1][kept]
    truth = coordinates(sample, t_ref, names)

    def curves(values):
        differ = P if sample.flows else 1  # at rest all angles are alike
        found = [_curve(values, sample, beam, t_ref, i)[pairs] for i in range(differ)]
        return np.repeat(found, P // differ, axis=0)

    slopes = [
        (curves(truth + step) - curves(truth - step)) / (2 * STEP)
        for step in STEP * np.eye(len(truth))
    ]
    here = curves(truth)
    expected, information, solved, factors = [], 0.0, [], []
    for i, contrast in enumerate(contrasts):
        alike = i and not (sample.flows or beam.contrast_spread)
        factors.append(factors[0] if alike else _factor(sample, beam, contrast, i, kept))
        own = np.zeros((here.shape[1], 2 * P))
        own[:, i], own[:, P + i] = contrast * here[i], 1.0
        X = np.column_stack([*(contrast * slope[i] for slope in slopes), own])
        expected.append(1 + contrast * here[i])
        solved.append(scipy.linalg.cho_solve((factors[-1], True), X))
        information = information + X.T @ solved[-1]
    theta = np.concatenate([truth, np.log(contrasts), np.ones(P)])
    whole = np.array(expected), information, np.array(solved)
    return Oracle(names, theta, *whole, factors, priors, pairs, curves)


def _curve(values, sample, beam, t_ref, i):
    """Return what a single mode has in the map of angle ``i``, (G, G)."""
    t, there = times(sample, beam), sample_at(values, sample, t_ref)
    return intensity_correlation(there, t, beam.phi[i], beam.q, beam.gap)


def _factor(sample, beam, contrast, i, kept):
    """Return the Cholesky factor of the covariance of the pairs kept of angle ``i``, (N, N)."""
    g1 = np.real(field_correlation(sample, times(sample, beam), beam.phi[i], beam.q, beam.gap))
    nugget = 1 / beam.photons if beam.photons else 0.0
    dense = single_pixel(g1, contrast, nugget)[kept][:, kept] / beam.num_pixels
    return scipy.linalg.cholesky(dense, lower=True, overwrite_a=True, check_finite=False)
