"""What a fit could know at best: dense generalised least squares, with the priors of a fit.

The covariance of all entries of a map is that of `tests.speckle_oracle.single_pixel` over the
number of pixels. Nothing is approximated but that maps are linear in the parameters,
about the truth.
"""

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
FACTORS = np.exp(np.linspace(-7, 3, 24))  # of the precision of a heavy tail: a quadrature
REST = ("level", "slope", "ratio")
FLOW = (*REST, "shear_level", "shear_slope", "shear_ratio", "phi0")


@dataclass(frozen=True)
class Priors:
    """Priors: Normal of the fluid, Student's t of contrast and baseline.

    Attributes
    ----------
    fluid : dict
        Location and scale by name: of ``level``, log D at t_ref; of ``slope``, d log D / d log t
        there; of ``ratio``, alpha / slope, 1 for a power law; the same of the shear rate; and of
        ``phi0``, degree.
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
    priors : Priors
    """

    names: tuple[str, ...]
    truth: np.ndarray
    expected: np.ndarray
    information: np.ndarray
    solved: np.ndarray
    priors: Priors

    def posterior(self, maps):
        """Return mean, (d + 2P,), and covariance of theta given maps, (P, G, G).

        Student's t is a Normal whose precision is a factor drawn from a Gamma distribution; the
        posterior is Normal given the factors of contrast and baseline, and a mixture of these.
        """
        residual = maps[:, *entries(maps.shape[-1])] - self.expected
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


def reference_time(sample, beam):
    """Return where levels and slopes are stated, in s: t_max / e."""
    return times(sample, beam)[-1] / np.e


def coordinates(sample, t_ref, names):
    """Return the coordinates of a sample, (d,)."""
    curved = sample.D0 * t_ref**sample.alpha
    level = diffusion(replace(sample, ageing=1.0), t_ref)
    found = [np.log(level), slope(sample, t_ref), level / curved]
    if names == FLOW:
        curved = sample.gamma_dot_t0 * t_ref**sample.beta
        ratio = shear_rate(replace(sample, start_up=0.0), t_ref) / curved
        found += [np.log(ratio * curved), sample.beta / ratio, ratio, sample.phi0]
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


def _law(values, t_ref):
    """Return amplitude, exponent and offset of a rate from log level, slope and ratio."""
    log_level, slope, ratio = values
    exponent, level = slope * ratio, np.exp(log_level)
    return level / ratio * t_ref**-exponent, exponent, level * (1 - 1 / ratio)


def oracle(sample, beam, contrasts, priors, flow):
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

    Returns
    -------
    Oracle
    """
    names, t_ref, P = FLOW if flow else REST, reference_time(sample, beam), len(beam.phi)
    truth = coordinates(sample, t_ref, names)
    expected, information, solved, factors = [], 0.0, [], {}
    for i, contrast in enumerate(contrasts):
        alike = i if sample.flows or beam.contrast_spread else 0  # else covariances are the same
        if alike not in factors:
            factors[alike] = _covariance(sample, beam, contrast, i)
        X = contrast * _jacobian(truth, sample, beam, t_ref, i)
        own = np.zeros((len(X), 2 * P))
        own[:, i] = contrast * _curve(truth, sample, beam, t_ref, i)
        expected.append(1 + own[:, i])
        own[:, P + i] = 1.0
        X = np.hstack([X, own])
        solved.append(scipy.linalg.cho_solve(factors[alike], X))
        information = information + X.T @ solved[-1]
    everything = np.concatenate([truth, np.log(contrasts), np.ones(P)])
    return Oracle(names, everything, np.array(expected), information, np.array(solved), priors)


def _curve(values, sample, beam, t_ref, i):
    """Return what a single mode has in all pairs of frames of angle ``i``, (N,)."""
    t, there = times(sample, beam), sample_at(values, sample, t_ref)
    return intensity_correlation(there, t, beam.phi[i], beam.q, beam.gap)[entries(len(t))]


def _jacobian(truth, sample, beam, t_ref, i):
    """Return derivatives of the curve of angle ``i`` in the coordinates of the fluid, (N, d)."""
    curves = [
        [_curve(truth + sign * step, sample, beam, t_ref, i) for sign in (1, -1)]
        for step in STEP * np.eye(len(truth))
    ]
    return np.stack([(up - down) / (2 * STEP) for up, down in curves], axis=1)


def _covariance(sample, beam, contrast, i):
    """Return the Cholesky factor of the covariance of the pairs of angle ``i``."""
    g1 = np.real(field_correlation(sample, times(sample, beam), beam.phi[i], beam.q, beam.gap))
    nugget = 1 / beam.photons if beam.photons else 0.0
    dense = single_pixel(g1, contrast, nugget) / beam.num_pixels
    return scipy.linalg.cho_factor(dense, lower=True, overwrite_a=True)
