"""A function of every part, wherever it is done: in order, once each, the same to the last bit."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes.inference.density import as_one_shard, parts_of
from homodyne_bayes.inference.each import each_here
from homodyne_bayes.inference.places import HERE, within

PARTS = {"x": np.random.default_rng(0).normal(size=(7, 20, 20)), "at": np.arange(7)}


@jax.jit
def looked_at(scale, part):
    return {"at": part["at"], "root": scale * jnp.linalg.eigh(part["x"] @ part["x"].T)[0]}


@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_results_are_in_order_and_do_not_depend_on_devices(num_devices):
    seen = []
    devices = jax.devices()[:num_devices]
    found = each_here(looked_at, (2.0,), PARTS, lambda *done: seen.append(done), devices)
    assert seen == [(done, 7) for done in range(1, 8)]
    assert [int(one["at"]) for one in found] == list(range(7))
    alone = [looked_at(2.0, {name: leaf[i] for name, leaf in PARTS.items()}) for i in range(7)]
    for one, expected in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one["root"], expected["root"])
        assert isinstance(one["root"], np.ndarray)


def test_every_device_works_at_one_part_at_a_time():
    if jax.local_device_count() < 2:
        pytest.skip("one device")
    at_work, most, lock = set(), [], threading.Lock()
    both = threading.Barrier(2, timeout=60)

    def looked(part):
        device = jax.config.jax_default_device
        with lock:
            assert device not in at_work
            at_work.add(device)
            most.append(len(at_work))
        if part["at"] < 2:
            both.wait()
        with lock:
            at_work.remove(device)
        return part["at"]

    assert each_here(looked, (), PARTS, devices=jax.devices()[:2]) == list(range(7))
    assert max(most) == 2


def test_what_a_part_raises_is_raised():
    def broken(part):
        raise ValueError(str(part["at"]))

    with pytest.raises(ValueError, match="[0-6]"):
        each_here(broken, (), PARTS)


def test_a_place_with_a_time_limit_does_the_same_of_parts():
    assert within(0.0, HERE).each is HERE.each


def test_parts_as_one_shard_stay_where_they_are():
    shard = as_one_shard(PARTS)
    assert np.shares_memory(shard["x"], PARTS["x"])
    np.testing.assert_array_equal(parts_of(shard)["x"], PARTS["x"])
