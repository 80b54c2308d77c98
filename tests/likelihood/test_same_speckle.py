"""Maps that see the same speckle: how much of it, and what it makes of the scatter of scores."""

import jax.numpy as jnp
import numpy as np
import pytest

import homodyne_bayes as hb
from homodyne_bayes.likelihood.entries import entries_of
from homodyne_bayes.likelihood.estimate import scaled, working
from homodyne_bayes.likelihood.pixels import Moments, Plugged, assemble
from homodyne_bayes.likelihood.same_speckle import opposite, same_speckle
from tests.foreign.formula import Sample, field_correlation
from tests.foreign.simulator import Beam, simulate, times

SAMPLE = Sample(D0=1e4, alpha=-0.3, D_offset=0.0)


def shares(beam, seed=0):
    """Shares of the speckle of maps whose model is known."""
    made = simulate(SAMPLE, beam, seed)
    g1 = field_correlation(SAMPLE, times(SAMPLE, beam), 0.0, beam.q, beam.gap)
    P, shot = len(beam.phi), 0.0 if beam.photons is None else 1 / beam.photons
    plugged = Plugged(jnp.full(P, beam.contrast), jnp.full(P, shot), jnp.asarray([g1] * P))
    residual = jnp.asarray(made.c2) - 1 - beam.contrast * g1**2
    data = hb.TwoTimeData(made.c2, made.phi, made.dt, made.q)
    noise = working(plugged, entries_of(data))
    return same_speckle(scaled(noise, residual, 0), residual, plugged.nugget, data)


def test_opposite_azimuths_of_one_wavevector_are_opposite():
    phi = np.array([-60.0, 120.4, 0.0, -179.7, 118.0])
    found = opposite(phi, np.full(5, 5e-3))
    assert {(0, 1), (2, 3)} == {tuple(pair) for pair in np.argwhere(np.triu(found))}
    assert not opposite(phi[:2], np.array([5e-3, 6e-3])).any()


@pytest.mark.parametrize("photons", [None, 3.0])
def test_opposite_maps_share_their_speckle(photons):
    beam = Beam(phi=(-60.0, 120.0, 0.0), speckle_of=(0, 0, 2), photons=photons, dt=0.2)
    found = shares(beam)
    assert found[0, 1] > 0.7
    assert found[0, 2] == found[1, 2] == 0
    np.testing.assert_array_equal(found, found.T)


def test_bright_data_tell_that_opposite_maps_do_not():
    assert shares(Beam(phi=(-60.0, 120.0, 0.0), photons=None, dt=0.2))[0, 1] < 0.3


def test_shared_pixels_are_found_where_nobody_looks_for_them():
    found = shares(Beam(shared=0.5, dt=0.2))
    assert found[0, 1] == pytest.approx(0.5, abs=0.15)
    assert found[0, 2] == 0
    assert not shares(Beam(dt=0.2)).any()


def test_two_maps_of_one_speckle_say_as_much_as_one():
    """Scatter of the sum of two equal scores: twice that of independent ones, without photons."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3))
    J = np.array([root @ root.T] * 2)
    found = Moments(
        places=np.array([[0, 1], [0, 1]]),
        information=J,
        scatter=J,
        jackknife=0 * J,
        speckle=J,
        score=np.zeros((2, 3)),
        trace=np.ones(2),
        squares=np.ones(2),
    )
    alone, both = (
        assemble(found, np.ones(2), np.full(2, 50.0), share * (1 - np.eye(2)), 2)
        for share in (0.0, 1.0)
    )
    np.testing.assert_allclose(both.scatter, 2 * alone.scatter)
    np.testing.assert_allclose(both.information, alone.information)
