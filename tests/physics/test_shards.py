"""Every distinct pair in exactly one shard."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from homodyne_bayes import FitConfig, InputError, MissingPrecisionError, TwoTimeData
from homodyne_bayes.fitting.plan import models_of
from homodyne_bayes.fitting.shards import (
    BLOCK_SIZE,
    angle_shards,
    block_shards,
    num_shards,
    some_pairs,
)
from homodyne_bayes.inference import density
from homodyne_bayes.likelihood.covariance import WorkingCovariance
from homodyne_bayes.likelihood.entries import entries_of
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import kernels, simulate
from homodyne_bayes.physics.points import (
    Physics,
    distinct_pairs,
    each_map,
    map_grid,
    shard,
    whole_maps,
)
from homodyne_bayes.physics.rate_laws.power_law import Coordinates, to_power_law
from homodyne_bayes.physics.rates import reference_time
from tests.truth import LAMINAR_MODEL, STATIC


@pytest.fixture
def data():
    """Two angles of 12 frames whose values name their place; one frame dead in one angle."""
    frame = np.arange(12)
    lo, hi = np.minimum.outer(frame, frame), np.maximum.outer(frame, frame)
    maps = np.stack([1 + 1e-3 * lo + 1e-6 * hi, 2 + 1e-3 * lo + 1e-6 * hi])
    usable = np.ones((2, 12), bool)
    usable[1, 4] = False
    return TwoTimeData(maps, np.array([0.0, 30.0]), 0.1, 0.0054, 2e6, usable)


def points_of(stacked):
    """Return angle, earlier and later frame, and value of all used points of stacked grids."""
    if stacked.q.ndim:
        return [point for k in range(len(stacked.q)) for point in points_of(shard(stacked, k))]
    used = np.asarray(stacked.used)
    arrays = (stacked.phi_index, stacked.lo, stacked.hi, stacked.c2)
    found = (np.broadcast_to(np.asarray(x), used.shape)[used].tolist() for x in arrays)
    return list(zip(*found, strict=True))


def places_of(stacked):
    """Return angle, earlier and later frame of all used points of stacked grids."""
    return [point[:3] for point in points_of(stacked)]


NEAR_THE_TRUTH = {
    name: jnp.asarray(value)
    for name, value in {
        "log_D_ref": 9.2,
        "D_slope": -0.2,
        "D_bend": 1.1,
        "log_gamma_dot_ref": -6.5,
        "gamma_dot_slope": 0.1,
        "gamma_dot_bend": 0.9,
        "phi0": 2.0,
        "sigma": 0.01,
        "contrast": [0.2, 0.25, 0.3],
        "offset": [1.0, 1.01, 0.99],
    }.items()
}
EXPECTED = {
    (p, i, j)
    for p in range(2)
    for i in range(12)
    for j in range(i + 1, 12)
    if p == 0 or 4 not in (i, j)
}


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("block", [2, 18, 50, 2**16])
def test_every_pair_is_dealt_once(data, k, block, monkeypatch):
    monkeypatch.setitem(BLOCK_SIZE, "cpu", block)
    shards = block_shards(data, k)
    points = places_of(shards)
    assert num_shards(shards) == k
    assert len(points) == len(set(points)) == data.num_pairs == 66 + 55
    assert set(points) == EXPECTED


@pytest.mark.parametrize("k", [2, 3, 5])
def test_shards_have_as_many_pairs_of_every_angle_age_and_lag(data, k):
    shards = block_shards(data, k)
    per_angle = np.asarray(shards.used).sum(axis=(1, 3, 4))
    missing = [0, 7]  # pairs of the dead frame with later ones
    assert (per_angle.max(axis=0) - per_angle.min(axis=0) <= 1 + np.array(missing)).all()
    for number in range(k):
        one = shard(shards, number)
        points = np.array(places_of(one))
        assert {0, 1} == set(points[:, 0])
        assert {1, 2, 3} <= set(points[:, 2] - points[:, 1])
        assert points[:, 1].min() < k
        assert points[:, 1].max() >= 11 - 2 * k


def test_values_stay_with_their_points(data):
    for grid in (block_shards(data, 3), each_map(data), whole_maps(data), some_pairs(data, 0)):
        for p, i, j, value in points_of(grid):
            assert value == pytest.approx(1 + p + 1e-3 * i + 1e-6 * j, rel=1e-14)
        assert bool(jnp.isfinite(grid.c2).all())


def test_pairs_to_search_are_drawn_by_the_seed(data):
    every = some_pairs(data, 0)
    assert set(places_of(every)) == EXPECTED
    one, same, other = (some_pairs(data, seed, most=20) for seed in (1, 1, 2))
    assert len(set(places_of(one))) == 20
    assert bool((one.lo == same.lo).all())
    assert not bool((one.lo == other.lo).all())


def test_one_shard_of_stacked_shards(data):
    shards = block_shards(data, 3)
    assert shard(shards, 2).lo.shape == shards.lo.shape[1:]
    assert bool((shard(shards, 2).c2 == shards.c2[2]).all())


@pytest.mark.parametrize("k", [0, 6, 10**9])
def test_more_shards_than_half_the_frames_are_refused(data, k):
    with pytest.raises(InputError, match="between 1 and 5"):
        block_shards(data, k)


@pytest.mark.parametrize("convention", ["upstream", "gap-average"])
def test_blocks_maps_and_pairs_have_the_same_likelihood(data, convention, monkeypatch):
    """However the pairs are laid out, values and gradients are the same to rounding."""
    monkeypatch.setitem(BLOCK_SIZE, "cpu", 32)
    model, physics = LAMINAR_MODEL, Physics(convention)
    layouts = [density.parts_of(block_shards(data, k, physics)) for k in (1, 3)]
    layouts += [each_map(data, physics)]
    layouts += [jax.tree.map(lambda leaf: leaf[None], some_pairs(data, 0, physics))]
    theta = density.prior_draws(jax.random.key(0), model, shard(layouts[0], 0), 1)[0]
    found = [
        jax.value_and_grad(lambda at, parts=parts: density.log_density(model, parts, at))(theta)
        for parts in layouts
    ]
    for value, gradient in found[1:]:
        assert float(value) == pytest.approx(float(found[0][0]), rel=1e-12)
        np.testing.assert_allclose(gradient, found[0][1], rtol=1e-9)


TRAPEZOID = Physics(integration="trapezoid")


def obvious_log_likelihood(data, values):
    """Return the log likelihood as one would write it, pair by pair, as homodyne 2.x has it."""
    angle, lo, hi = distinct_pairs(data)
    grid = whole_maps(data)
    between = grid.time[hi][:, None] > grid.time[:-1]
    between &= grid.time[lo][:, None] <= grid.time[:-1]
    t_ref = reference_time(grid)

    def integral(*names):
        law = to_power_law(Coordinates(*(values[name] for name in names)), t_ref)
        rate = kernels.power_law(kernels.clock(grid), *law)
        return (between * 0.5 * data.dt * (rate[1:] + rate[:-1])).sum(axis=1)

    J = integral("log_D_ref", "D_slope", "D_bend")
    Gamma = integral("log_gamma_dot_ref", "gamma_dot_slope", "gamma_dot_bend")
    direction = jnp.cos(jnp.deg2rad(values["phi0"] - data.phi[angle]))
    x = data.q * data.gap / (2 * jnp.pi) * direction * Gamma
    g1 = jnp.exp(-0.5 * data.q**2 * J) * (jnp.sin(x) / x) ** 2
    mean = values["offset"][angle] + values["contrast"][angle] * g1**2
    return jax.scipy.stats.norm.logpdf(data.c2[angle, lo, hi], mean, values["sigma"]).sum()


def test_gradients_are_those_of_the_obvious_formula(laminar_data, monkeypatch):
    monkeypatch.setitem(BLOCK_SIZE, "cpu", 100)
    model = LAMINAR_MODEL
    parts = density.parts_of(block_shards(laminar_data, 1, TRAPEZOID))
    first = shard(parts, 0)
    sites = density.unconstrained(model, first, NEAR_THE_TRUTH)
    theta, unravel = ravel_pytree(sites)

    def obvious(theta):
        values = density.constrained(model, first, unravel(theta))[0]
        prior = density.log_prior_and_likelihood(model, first, theta)[0]
        return prior + obvious_log_likelihood(laminar_data, values)

    value, gradient = jax.value_and_grad(partial(density.log_density, model, parts))(theta)
    expected, slopes = jax.value_and_grad(obvious)(theta)
    assert float(value) == pytest.approx(float(expected), rel=1e-11)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-9, atol=1e-9 * np.abs(slopes).max())


def test_unknown_convention_is_refused():
    with pytest.raises(InputError, match="upstream.*gap-average.*'physical'"):
        map_grid(np.zeros(1), 4, 0.1, 0.0054, 2e6, physics=Physics("physical"))


def test_float32_is_refused():
    with (
        jax.enable_x64(False),
        pytest.raises(MissingPrecisionError, match="float64, found JAX set to float32"),
    ):
        map_grid(np.zeros(1), 4, 0.1, 0.0054, 2e6)


@pytest.fixture(scope="module")
def five_maps():
    experiment = simulate.Experiment(MODELS["static"], (60.0, -60.0, 0.0, 30.0, -30.0), 8, STATIC)
    data = simulate.independent(jax.random.key(0), experiment, 0.01)
    usable = data.usable.copy()
    usable[2, 5] = False
    return replace(data, usable=usable)


def unit_noise(data):
    """WorkingCovariance of every angle with a weight and a normalisation of its own."""
    P, G = data.usable.shape
    unit = jnp.broadcast_to(jnp.eye(G), (P, G, G))
    weight = 1e4 * (1 + jnp.arange(P))
    return WorkingCovariance(unit, unit, entries_of(data), weight, jnp.arange(P) * 1.0)


def test_angles_are_dealt_once_each_round_the_circle(five_maps):
    shards = angle_shards(five_maps, 2, each_map(five_maps, noise=unit_noise(five_maps)))
    dealt = np.asarray(shards.phi_index)[..., 0, 0, 0]
    real = np.asarray(shards.noise.weight)[..., 0] > 0
    assert sorted(dealt[real]) == [0, 1, 2, 3, 4]
    assert [sorted(five_maps.phi[hand[own]]) for hand, own in zip(dealt, real, strict=True)] == [
        [-60.0, 0.0, 60.0],
        [-30.0, 30.0],
    ]
    assert bool(jnp.isfinite(shards.c2).all())
    with pytest.raises(InputError, match="between 1 and 5"):
        angle_shards(five_maps, 6, each_map(five_maps))


def test_log_likelihoods_of_angle_shards_add_up(five_maps):
    """However the angles are dealt; padding weighs nothing; least squares is the unit noise."""
    noise = unit_noise(five_maps)
    models = models_of(FitConfig(model="static", noise="corrected"))
    model, plain = models.per_angle, models.least_squares
    totals = []
    for K in (1, 2, 3, 5):
        shards = angle_shards(five_maps, K, each_map(five_maps, noise=noise))
        parts = density.parts_of(shards)
        theta = jnp.full(density.space(model, shard(parts, 0)).size, 0.9)
        totals.append(float(density.log_prior_and_likelihoods(model, parts, theta)[1].sum()))
    np.testing.assert_allclose(totals, totals[0], rtol=1e-12)
    grid = map_grid(five_maps.phi, 8, five_maps.dt, five_maps.q)
    full_theta = jnp.full(density.space(plain, grid).size, 0.9)
    mean = np.asarray(density.observation(plain, grid, full_theta).loc)
    both = five_maps.usable[:, :, None] & five_maps.usable[:, None]
    pairs = both & np.triu(np.ones((8, 8), bool), 1)
    squares = (np.where(pairs, five_maps.c2 - mean, 0.0) ** 2).sum(axis=(1, 2))
    expected = (noise.log_norm - 0.5 * noise.weight * squares).sum()
    assert totals[0] == pytest.approx(float(expected), rel=1e-12)
