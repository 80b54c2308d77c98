"""The foreign simulator against formulas, and formulas against quadrature."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
import scipy.integrate

from tests import speckle_oracle
from tests.foreign import formula, simulator
from tests.foreign import oracle as oracles
from tests.foreign.formula import (
    Sample,
    diffusion,
    field_correlation,
    intensity_correlation,
    shear_rate,
    strain,
    transport,
)
from tests.foreign.oracle import FLOW as FLOWING
from tests.foreign.oracle import (
    REST,
    Priors,
    coordinates,
    oracle,
    reference_time,
    sample_at,
)
from tests.foreign.simulator import Beam, mode_weights, simulate, times
from tests.speckle_oracle import entries, single_pixel

FLOW = Sample(gamma_dot_t0=4e-4, beta=0.5, gamma_dot_t_offset=1e-4)
SMALL = Beam(phi=(20.0,) * 400, dt=0.5, num_frames=6, num_pixels=200, contrast=0.25)


def found(sample, **more):
    """Mean of many maps of one azimuth, in the pairs of two frames, and its standard error."""
    beam = Beam(**{**vars(SMALL), **more})
    pairs = simulate(sample, beam, 1).c2[:, *entries(beam.num_frames)]
    return pairs.mean(axis=0), pairs.std(axis=0) / np.sqrt(len(pairs)), pairs


def expected(sample, beam=SMALL):
    """Return the correlation of a mode in the pairs of two frames."""
    everything = intensity_correlation(sample, times(sample, beam), 20.0, beam.q, beam.gap)
    return everything[entries(beam.num_frames)]


@pytest.mark.parametrize(
    "sample",
    [
        Sample(alpha=-0.8),
        Sample(alpha=-0.5, age=2.0),
        Sample(alpha=1.0),
        Sample(alpha=0.0, D_offset=0.0, ageing=5.0, age=1.0),
        FLOW,
        Sample(gamma_dot_t0=1e-3, beta=-0.6, age=0.3),
        Sample(gamma_dot_t0=1e-3, beta=0.0, start_up=1.5),
    ],
)
def test_integrals_are_those_of_quadrature(sample):
    start, end = sample.age, sample.age + 2.0
    for rate, integral in ((diffusion, transport), (shear_rate, strain)):
        exact = scipy.integrate.quad(lambda t, rate=rate: rate(sample, t), start, end)[0]
        made = integral(sample, np.array([start, end]))
        assert made[1] - made[0] == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(("convention", "power"), [("upstream", 2), ("gap-average", 1)])
@pytest.mark.parametrize("sheared", [1.0, 0.7])
def test_flow_averages_the_phase_over_the_gap(convention, power, sheared):
    sample = Sample(D0=0.0, D_offset=0.0, gamma_dot_t0=1e-3, convention=convention)
    sample = Sample(**{**vars(sample), "sheared": sheared})
    t = np.array([0.0, 1.0, 3.0])
    wide = 5e3 if convention == "gap-average" else 5e3 / np.pi  # q L / 2, or q L / (2π)
    x = wide * np.cos(np.deg2rad(sample.phi0 - 20)) * (strain(sample, t[2]) - strain(sample, t[1]))

    def phase(y, part):
        return part(np.exp(1j * x * (2 * min(y / sheared, 1) - 1)))

    average = sum(  # of the middle of the gap at rest
        unit * scipy.integrate.quad(phase, 0, 1, (part,), points=[sheared], limit=200)[0]
        for unit, part in ((1, np.real), (1j, np.imag))
    )
    g1 = field_correlation(sample, t, 20.0, 5e-3, 2e6)
    assert g1[2, 1] == pytest.approx(average**power, abs=1e-8)
    past = field_correlation(replace(sample, reference=0.1), t, 20.0, 5e-3, 2e6)
    assert past[2, 1] == pytest.approx((average * np.exp(1j * x)) ** power, abs=1e-8)


@pytest.mark.parametrize(
    "sample",
    [
        FLOW,
        Sample(**{**vars(FLOW), "convention": "gap-average"}),
        Sample(D0=300.0, D_offset=0.0, sheared=0.7, gamma_dot_t0=3e-4),
        Sample(alpha=-0.8, static=0.3),
        Sample(alpha=0.5, reference=0.2, gamma_dot_t0=2e-4),
        Sample(static=0.2, gamma_dot_t0=2e-4),
        Sample(D0=3000.0, stretch=0.8),
    ],
)
@pytest.mark.parametrize("photons", [None, 0.5])
def test_maps_are_on_average_those_of_the_formula(sample, photons):
    mean, error, _ = found(sample, photons=photons)
    assert np.abs(mean - 1 - 0.25 * expected(sample)).max() < 4.5 * error.max() + 0.02 / 200


@pytest.mark.parametrize("photons", [None, 2.0])
def test_maps_scatter_as_the_moments_of_speckle_say(photons):
    pairs = found(FLOW, photons=photons, phi=(20.0,) * 1500)[2]
    g1 = field_correlation(FLOW, times(FLOW, SMALL), 20.0, SMALL.q, SMALL.gap)
    exact = single_pixel(g1, 0.25, 1 / photons if photons else 0.0)
    covariance = 200 * np.cov(pairs.T)
    assert np.diag(covariance) == pytest.approx(np.diag(exact), rel=0.15)
    smooth = np.ones(len(exact))
    assert smooth @ covariance @ smooth == pytest.approx(smooth @ exact @ smooth, rel=0.15)


@pytest.mark.parametrize("contrast", [1.0, 0.5, 0.33, 0.15, 0.03])
def test_weights_of_modes_make_the_contrast(contrast):
    weights = mode_weights(contrast)
    assert weights.sum() == pytest.approx(1)
    assert (weights**2).sum() == pytest.approx(contrast)
    assert weights.min() > 0


def test_the_contrast_may_differ_from_angle_to_angle():
    beam = Beam(contrast_spread=0.2, num_frames=9, num_pixels=40_000, photons=None)
    made = simulate(Sample(), beam, 3)
    assert made.truth["contrast"].std() > 0.01
    diagonal = np.diagonal(made.c2, axis1=1, axis2=2).mean(axis=1) - 1
    assert diagonal == pytest.approx(made.truth["contrast"], rel=0.05)


@pytest.mark.parametrize(
    ("more", "factor"),
    [
        ({"envelope": 0.3}, np.full(5, np.exp(0.09))),
        ({"hot": 0.01, "hot_factor": 8.0, "num_pixels": 2000}, np.full(5, 1.63 / 1.07**2)),
        ({"monitor": ((0, 2.0), (1, 0.5))}, np.array([1, 0.5, 0.5, 0.5, 0.5])),
    ],
)
def test_what_a_beam_multiplies_maps_by(more, factor):
    mean, error, _ = found(FLOW, **more)
    right = (1 + 0.25 * expected(FLOW)[:5]) * factor
    assert np.abs(mean[:5] - right).max() < 4.5 * error.max() + 0.005


def test_bad_frames_see_other_speckle():
    mean, error, _ = found(FLOW, bad_frames=(0,))
    assert np.abs(mean[:5] - 1).max() < 4.5 * error.max()
    assert mean[5] == pytest.approx(1 + 0.25 * expected(FLOW)[5], abs=4.5 * error.max())


def correlation(**more):
    """Correlation between scatter of the maps of two bins."""
    beam = Beam(phi=(20.0, 200.0) * 700, num_frames=4, num_pixels=200, contrast=0.3, **more)
    entry = simulate(FLOW, beam, 2).c2[:, 0, 2].reshape(-1, 2)
    return np.corrcoef(entry.T)[0, 1]


def test_maps_may_see_the_same_speckle():
    bins = np.arange(1400)
    assert abs(correlation(photons=None)) < 0.12
    assert correlation(photons=None, speckle_of=tuple(bins // 2 * 2)) > 0.999
    assert 0.5 < correlation(photons=30.0, speckle_of=tuple(bins // 2 * 2)) < 0.99
    assert correlation(shared=0.4) == pytest.approx(0.4, abs=0.12)


def test_flicker_is_divided_out_but_by_smoothed_normalisation():
    steady, wild = (found(FLOW, flicker=0.05, smooth=smooth)[2].std() for smooth in (1, 3))
    assert steady == pytest.approx(found(FLOW)[2].std(), rel=0.1)
    assert wild > 1.2 * steady


def test_afterpulses_follow_counts():
    beam = Beam(afterpulse=0.1, photons=0.5, num_frames=8, num_pixels=20_000)
    lag = simulate(Sample(D0=1e6), beam, 0).c2[:, range(7), range(1, 8)]
    assert lag.mean() == pytest.approx(1 + 0.1 / 0.55, rel=0.05)


@pytest.mark.parametrize("sample", [Sample(), FLOW])
def test_coordinates_come_back(sample):
    names = FLOWING if sample.flows else REST
    back = sample_at(coordinates(sample, 1.5, names), Sample(), 1.5)
    if not sample.flows:
        back = replace(back, phi0=sample.phi0)
    assert vars(back) == pytest.approx(vars(sample))


def small_oracle(*spreads):
    """Return an experiment of three angles and its oracle, priors about the truth."""
    beam = Beam(phi=(-60.0, 0.0, 60.0), num_frames=10, dt=0.5, num_pixels=800, contrast=0.25)
    sample = replace(FLOW, D0=3000.0, phi0=0.0)
    at = coordinates(sample, reference_time(sample, beam), FLOWING)
    scales = (9.0, 9.0, 0.02, 9.0, 9.0, 0.02, 99.0)
    fluid = dict(zip(FLOWING, zip(at, scales, strict=True), strict=True))
    priors = Priors(fluid, (np.log(0.25), 1.0, spreads[0]), (1.0, 0.05, spreads[1]))
    return sample, beam, oracle(sample, beam, np.full(3, 0.25), priors, flow=True)


def test_posteriors_of_the_oracle_scatter_as_they_say():
    """Of 300 experiments: the estimates of what the data decide, over their sd."""
    sample, beam, known = small_oracle(5.0, 5.0)
    maps = simulate(sample, replace(beam, phi=beam.phi * 300), 5).c2.reshape(300, 3, 10, 10)
    places = [known.names.index(name) for name in ("level", "shear_level", "phi0")]
    z = []
    for three in maps:
        mean, covariance = known.posterior(three)
        z.append((mean - known.truth)[places] / np.sqrt(np.diag(covariance))[places])
    assert np.abs(np.mean(z, axis=0)).max() < 0.3
    assert np.std(z, axis=0) == pytest.approx(np.ones(3), rel=0.2)


def test_the_mixture_of_normals_is_student_s_t():
    """Without data: with 4 degrees of freedom its variance is twice its scale squared."""
    _, _, known = small_oracle(0.1, 0.02)
    known = replace(known, information=np.zeros_like(known.information), solved=0 * known.solved)
    covariance = known.posterior(np.ones((3, 10, 10)))[1]
    scale = 0.05**2 + 0.02**2
    assert np.diag(covariance)[-3:] == pytest.approx(np.full(3, 2 * scale), rel=0.01)
    assert covariance[-1, -2] == pytest.approx(2 * 0.05**2, rel=0.01)


def test_linear_and_weighed_posteriors_agree_where_data_are_good():
    _, _, known = small_oracle(0.1, 0.02)
    better, rng, maps = 400, np.random.default_rng(6), np.ones((3, 10, 10))
    known = replace(
        known,
        information=better * known.information,
        solved=better * known.solved,
        factors=[factor / np.sqrt(better) for factor in known.factors],
    )
    noise = [factor @ rng.standard_normal(len(factor)) for factor in known.factors]
    maps[:, *entries(10)] = known.expected + np.array(noise)
    linear, weighed = known.posterior(maps), known.weighed(maps, rng)
    sd = np.sqrt(np.diag(linear[1]))
    assert np.abs((weighed[0] - linear[0]) / sd).max() < 0.25
    assert np.sqrt(np.diag(weighed[1])) == pytest.approx(sd, rel=0.15)


@pytest.mark.parametrize("module", [formula, simulator, oracles, speckle_oracle])
def test_no_code_is_shared_with_the_package(module):
    assert "homodyne_bayes" not in inspect.getsource(module)
