"""What a fit could know at best: dense generalised least squares with Gaussian priors.

The covariance of all entries of a map is that of `tests.speckle_oracle.single_pixel` over the
number of pixels; nothing is approximated but that the posterior is a Gaussian about the truth.
"""

from dataclasses import dataclass, replace

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
REST = ("level", "slope", "ratio")
FLOW = (*REST, "shear_level", "shear_slope", "shear_ratio", "phi0")


@dataclass(frozen=True)
class Priors:
    """Standard deviations of Gaussian priors.

    Attributes
    ----------
    level, slope, ratio : float
        Of log D at t_ref, of d log D / d log t there, and of alpha / slope, 1 for a power law.
    shear_level, shear_slope, shear_ratio : float
        The same of the shear rate.
    phi0 : float
        Of the direction of the flow, degree.
    contrast, contrast_spread : float
        Of the contrast of all angles, and of what every angle has beside it.
    offset, offset_spread : float
        The same of the baseline.
    """

    level: float = 2.0
    slope: float = 0.5
    ratio: float = 0.3
    shear_level: float = 2.0
    shear_slope: float = 0.5
    shear_ratio: float = 0.3
    phi0: float = 5.0
    contrast: float = 0.0
    contrast_spread: float = 0.2
    offset: float = 0.0
    offset_spread: float = 0.3


@dataclass(frozen=True)
class Oracle:
    """The posterior of an experiment, about its truth.

    Attributes
    ----------
    names : tuple of str
        Coordinates of the fluid, the first d of theta; contrast and offset of every angle follow.
    truth : numpy.ndarray
        (d + 2P,) theta.
    t_ref : float
        Where level and slope are stated, s since the start of the clock.
    covariance : numpy.ndarray
        (d + 2P, d + 2P) of the posterior.
    gain : numpy.ndarray
        (d + 2P, P, N) what an entry of a map moves theta by.
    """

    names: tuple[str, ...]
    truth: np.ndarray
    t_ref: float
    covariance: np.ndarray
    gain: np.ndarray

    def sd(self, name):
        """Return the sd of a coordinate."""
        return float(np.sqrt(np.diag(self.covariance)[self.names.index(name)]))


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


def oracle(sample, beam, priors, flow):
    """Return the posterior of an experiment by dense generalised least squares.

    Parameters
    ----------
    sample : tests.foreign.formula.Sample
    beam : tests.foreign.simulator.Beam
        Without anything that the model does not know.
    priors : Priors
    flow : bool
        Whether the flow is fitted.

    Returns
    -------
    Oracle
    """
    names, t_ref, P = FLOW if flow else REST, reference_time(sample, beam), len(beam.phi)
    truth = coordinates(sample, t_ref, names)
    d = len(names)
    precision = np.zeros((d + 2 * P, d + 2 * P))
    precision[range(d), range(d)] = [getattr(priors, name) ** -2.0 for name in names]
    for place, name in ((d, "contrast"), (d + P, "offset")):
        common, spread = getattr(priors, name), getattr(priors, f"{name}_spread")
        precision[place : place + P, place : place + P] = np.linalg.inv(
            common**2 * np.ones((P, P)) + spread**2 * np.eye(P)
        )
    weighted, factors = [], {}
    for i in range(P):
        alike = i if sample.flows else 0  # at rest all angles have one covariance
        if alike not in factors:
            factors[alike] = _covariance(sample, beam, i)
        X = _jacobian(truth, sample, beam, t_ref, i)
        weighted.append(scipy.linalg.cho_solve(factors[alike], X))
        precision += X.T @ weighted[-1]
    covariance = np.linalg.inv(precision)
    gain = np.einsum("jk,ink->jin", covariance, np.array(weighted))
    everything = np.concatenate([truth, np.full(P, beam.contrast), np.ones(P)])
    return Oracle(names, everything, t_ref, covariance, gain)


def _curve(values, sample, beam, t_ref, i):
    """Return what a single mode has in all pairs of frames of angle ``i``, (N,)."""
    t, there = times(sample, beam), sample_at(values, sample, t_ref)
    return intensity_correlation(there, t, beam.phi[i], beam.q, beam.gap)[entries(len(t))]


def _jacobian(truth, sample, beam, t_ref, i):
    """Return derivatives of the map of angle ``i`` in theta, (N, d + 2P)."""
    curves = [
        [_curve(truth + sign * step, sample, beam, t_ref, i) for sign in (1, -1)]
        for step in STEP * np.eye(len(truth))
    ]
    columns = [beam.contrast * (up - down) / (2 * STEP) for up, down in curves]
    here, P = _curve(truth, sample, beam, t_ref, i), len(beam.phi)
    columns += [here * (j == i) for j in range(P)]
    columns += [np.ones_like(here) * (j == i) for j in range(P)]
    return np.stack(columns, axis=1)


def _covariance(sample, beam, i):
    """Return the Cholesky factor of the covariance of the pairs of angle ``i``."""
    g1 = np.real(field_correlation(sample, times(sample, beam), beam.phi[i], beam.q, beam.gap))
    nugget = 1 / beam.photons if beam.photons else 0.0
    dense = single_pixel(g1, beam.contrast, nugget) / beam.num_pixels
    return scipy.linalg.cho_factor(dense, lower=True, overwrite_a=True)
