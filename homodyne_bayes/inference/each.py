"""A function of every part of the data, over the devices."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import Any

import jax
import numpy as np

from homodyne_bayes.inference.density import Shard

WORTH = 2**20  # bytes of parts for which a device is worth compiling for

Each = Callable[..., list[Any]]


def quiet(_done: int, _total: int) -> None:
    """Report nothing."""


def each_here(
    function: Callable[..., Any],
    held: Sequence[Any],
    parts: Shard,
    progress: Callable[[int, int], None] = quiet,
    devices: Sequence[jax.Device] | None = None,
) -> list[Any]:
    """Return ``function(*held, part)`` of every part of a stack, in their order.

    Every device works at one part at a time, so that memory does not grow with their number. The
    program is that of one device, whatever the number of devices, so that results are the same to
    the last bit.

    Parameters
    ----------
    function : callable
        A function of a module, without side effects, which gives a pytree of arrays.
    held : sequence
        What it is given before the part.
    parts : pytree
        Stacked parts, leading axis J on every leaf.
    progress : callable
        Called with parts done and in total.
    devices : sequence of jax.Device, optional
        Where to work; by default on as many local ones as are worth compiling for.
    """
    host = jax.tree.map(np.asarray, parts)
    leaves = jax.tree.leaves(host)
    J, size = len(leaves[0]), sum(leaf.nbytes for leaf in leaves)
    devices = devices or jax.local_devices()[: 1 + size // WORTH]
    free: SimpleQueue[jax.Device] = SimpleQueue()
    for device in devices:
        free.put(device)

    def one(at: int) -> Any:
        device = free.get()
        try:
            with jax.default_device(device):
                return on_host(function(*held, part_of(host, at)))
        finally:
            free.put(device)

    pool = ThreadPoolExecutor(min(J, len(devices)))
    try:
        waiting = [pool.submit(one, at) for at in range(J)]
        for done, future in enumerate(as_completed(waiting), start=1):
            future.result()
            progress(done, J)
        return [future.result() for future in waiting]
    finally:
        pool.shutdown(cancel_futures=True)


def part_of(parts: Shard, at: int) -> Shard:
    """Return one part of stacked parts."""
    return jax.tree.map(lambda leaf: leaf[at], parts)


def on_host(tree: Any) -> Any:
    """Return a tree with NumPy arrays for leaves."""
    return jax.tree.map(np.asarray, tree)
