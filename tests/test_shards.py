"""Every distinct pair in exactly one shard."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes import InputError, MissingPrecisionError, TwoTimeData, density, simulate
from homodyne_bayes.covariance import Noise, frame_weights
from homodyne_bayes.models import static
from homodyne_bayes.parameters import PRIORS
from homodyne_bayes.shards import angle_shards, map_grid, num_shards, random_shards, shard


@pytest.fixture
def data():
    """Two angles of 12 frames whose values name their place; one frame dead in one angle."""
    frame = np.arange(12)
    lo, hi = np.minimum.outer(frame, frame), np.maximum.outer(frame, frame)
    maps = np.stack([1 + 1e-3 * lo + 1e-6 * hi, 2 + 1e-3 * lo + 1e-6 * hi])
    usable = np.ones((2, 12), bool)
    usable[1, 4] = False
    return TwoTimeData(maps, np.array([0.0, 30.0]), 0.1, 0.0054, 2e6, usable)


@pytest.mark.parametrize("k", [1, 2, 3, 7, 55])
def test_every_pair_is_dealt_once(data, k):
    shards = random_shards(data, k, seed=3)
    used = np.asarray(shards.used)
    assert num_shards(shards) == k
    points = [
        tuple(int(x) for x in point)
        for point in zip(
            *(np.asarray(a)[used] for a in (shards.phi_index, shards.lo, shards.hi)), strict=True
        )
    ]
    expected = {
        (p, i, j)
        for p in range(2)
        for i in range(12)
        for j in range(i + 1, 12)
        if p == 0 or 4 not in (i, j)
    }
    assert len(points) == len(set(points)) == data.num_pairs == 66 + 55
    assert set(points) == expected


@pytest.mark.parametrize("k", [2, 3, 7])
def test_shards_are_stratified_and_equally_long(data, k):
    shards = random_shards(data, k, seed=3)
    for angle in range(2):
        counts = ((np.asarray(shards.phi_index) == angle) & np.asarray(shards.used)).sum(axis=1)
        assert counts.max() - counts.min() <= 1
    assert (~np.asarray(shards.used)).sum(axis=1).max() <= 2


def test_points_carry_their_values_and_finite_padding(data):
    shards = random_shards(data, 7, seed=3)
    np.testing.assert_allclose(
        shards.c2, 1.0 + shards.phi_index + 1e-3 * shards.lo + 1e-6 * shards.hi, rtol=1e-14
    )


def test_the_deal_follows_the_seed(data):
    one, same, other = (random_shards(data, 3, seed) for seed in (1, 1, 2))
    assert bool((one.lo == same.lo).all())
    assert not bool((one.lo == other.lo).all())


def test_one_shard_of_stacked_shards(data):
    shards = random_shards(data, 3, seed=0)
    assert shard(shards, 2).lo.shape == shards.lo.shape[1:]
    assert bool((shard(shards, 2).c2 == shards.c2[2]).all())


@pytest.mark.parametrize("k", [0, 56])
def test_more_shards_than_pairs_are_refused(data, k):
    with pytest.raises(InputError, match="between 1 and 55"):
        random_shards(data, k, seed=0)


def test_unknown_convention_is_refused():
    with pytest.raises(InputError, match="upstream.*gap-average.*'physical'"):
        map_grid(np.zeros(1), 4, 0.1, 0.0054, 2e6, "physical")


def test_float32_is_refused():
    with jax.enable_x64(False), pytest.raises(MissingPrecisionError, match="jax_enable_x64"):
        map_grid(np.zeros(1), 4, 0.1, 0.0054, 2e6)


@pytest.fixture(scope="module")
def five_maps():
    experiment = simulate.Experiment((60.0, -60.0, 0.0, 30.0, -30.0), 8, simulate.STATIC)
    data = simulate.independent(jax.random.key(0), experiment, 0.01)
    usable = data.usable.copy()
    usable[2, 5] = False
    return replace(data, usable=usable)


def unit_noise(data):
    """Noise of every angle with a weight and a normalisation of its own."""
    P, G = data.usable.shape
    unit = jnp.broadcast_to(jnp.eye(G), (P, G, G))
    weight = 1e4 * (1 + jnp.arange(P))
    return Noise(unit, unit, frame_weights(data.usable, 1), weight, jnp.arange(P) * 1.0)


def test_angles_are_dealt_once_each_round_the_circle(five_maps):
    shards = angle_shards(five_maps, 2, noise=unit_noise(five_maps))
    dealt = np.asarray(shards.phi_index)[..., 0, 0]
    real = np.asarray(shards.noise.weight) > 0
    assert sorted(dealt[real]) == [0, 1, 2, 3, 4]
    assert [sorted(five_maps.phi[hand[own]]) for hand, own in zip(dealt, real, strict=True)] == [
        [-60.0, 0.0, 60.0], [-30.0, 30.0],
    ]  # fmt: skip
    assert bool(jnp.isfinite(shards.c2).all())
    with pytest.raises(InputError, match="between 1 and 5"):
        angle_shards(five_maps, 6)


def test_log_likelihoods_of_angle_shards_add_up(five_maps):
    """However the angles are dealt; padding weighs nothing; least squares is the unit noise."""
    noise, model = unit_noise(five_maps), partial(static, priors=PRIORS)
    totals = []
    for K in (1, 2, 3, 5):
        shards = angle_shards(five_maps, K, noise=noise)
        theta = jnp.full(density.space(model, shard(shards, 0)).size, 0.9)
        totals.append(float(density.log_prior_and_likelihoods(model, shards, theta)[1].sum()))
    np.testing.assert_allclose(totals, totals[0], rtol=1e-12)
    grid = map_grid(five_maps.phi, 8, five_maps.dt, five_maps.q)
    full_theta = jnp.full(density.space(model, grid).size, 0.9)
    mean = np.asarray(density.observation(model, grid, full_theta).loc)
    both = five_maps.usable[:, :, None] & five_maps.usable[:, None]
    pairs = both & np.triu(np.ones((8, 8), bool), 1)
    squares = (np.where(pairs, five_maps.c2 - mean, 0.0) ** 2).sum(axis=(1, 2))
    expected = (noise.log_norm - 0.5 * noise.weight * squares).sum()
    assert totals[0] == pytest.approx(float(expected), rel=1e-12)
