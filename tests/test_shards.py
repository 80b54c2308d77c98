"""Every distinct pair in exactly one shard."""

import jax
import numpy as np
import pytest

from homodyne_bayes import InputError, MissingPrecisionError, TwoTimeData
from homodyne_bayes.shards import map_grid, num_shards, random_shards, shard


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
