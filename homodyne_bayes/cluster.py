"""Shards and certification on a Dask cluster: data travel once, lanes and draws are its tasks.

Workers are processes that have this package. Each uses its own devices, by the same programs as one
process does: a lane has its own key, so that draws do not depend on where it runs.
"""

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import distributed
import jax
import numpy as np
from distributed import Client, Future, LocalCluster

from homodyne_bayes import results
from homodyne_bayes.certify import BLOCK, Evaluate, evaluator
from homodyne_bayes.consensus import Lane, Lanes, Progress, run_here
from homodyne_bayes.density import Model, Shard
from homodyne_bayes.errors import InputError
from homodyne_bayes.nuts import NutsSettings
from homodyne_bayes.place import Place

ANSWER = 10.0  # s that a scheduler has to answer
PATIENCE = 60.0  # s without a single worker
POLL = 1.0  # s between two looks at the workers
LOCAL_WORKERS = 2
_ALONE = threading.Lock()  # one task at a time has the devices of a worker


@contextlib.contextmanager
def connect(address: str) -> Iterator[Place]:
    """Give the place where a cluster does the work.

    Parameters
    ----------
    address : str
        Of a Dask scheduler, such as ``tcp://host:8786`` or ``tls://host:8786``; or ``local``, or
        ``local:N``, which starts N worker processes on this machine. A script that does needs the
        usual ``if __name__ == "__main__":``.

    Raises
    ------
    InputError
        If nobody answers, or workers have other versions of what computes.
    """
    with _client(address) as client:
        _check_versions(client, address)
        futures: dict[str, Future] = {}
        hold = partial(_held, client, futures)
        yield Place(partial(_run, client, hold), partial(_evaluator, client, hold))


@contextlib.contextmanager
def _client(address: str) -> Iterator[Client]:
    name, _, number = address.partition(":")
    if name != "local":
        try:
            client = Client(address, timeout=ANSWER, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"--cluster must be local, local:N or the address of a Dask scheduler, found that "
                f"{address!r} does not answer ({error}): start `dask scheduler` and workers"
            ) from error
        with client:
            yield client
        return
    if number and not (number.isdecimal() and int(number)):
        raise InputError(f"--cluster local:N needs a number of workers, found {number!r}")
    cache = jax.config.jax_compilation_cache_dir
    cluster = LocalCluster(
        n_workers=int(number or LOCAL_WORKERS),
        threads_per_worker=1,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
        env={"JAX_COMPILATION_CACHE_DIR": cache} if cache else {},
    )
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client


def _check_versions(client: Client, address: str) -> None:
    """Refuse workers whose draws would not be those of this process."""
    try:
        client.wait_for_workers(1, timeout=ANSWER)
    except TimeoutError:
        raise InputError(
            f"--cluster {address} must have workers, found none after {ANSWER:.0f} s: start "
            f"`dask worker {address}`"
        ) from None
    here = results.versions()
    for worker, there in client.run(results.versions).items():
        for name, version in here.items():
            if there.get(name) != version:
                raise InputError(
                    f"worker {worker} has {name} {there.get(name)}, expected {version} as here: "
                    "install the same versions everywhere"
                )


def _held(client: Client, futures: dict[str, Future], tree: Any) -> tuple[Any, list[Any]]:
    """Send the arrays of a tree to every worker, those that are there already not again.

    Returns the tree with shapes in place of its leaves, and the flat leaves.
    """
    leaves, structure = jax.tree.flatten(tree)
    held = []
    for leaf in leaves:
        flat = np.asarray(leaf).reshape(-1)
        name = hashlib.sha256(flat.dtype.str.encode() + flat.tobytes()).hexdigest()
        if name not in futures:
            futures[name] = client.scatter(flat, broadcast=True)
        held.append(futures[name])
    shapes = [jax.ShapeDtypeStruct(np.shape(leaf), np.asarray(leaf).dtype) for leaf in leaves]
    return jax.tree.unflatten(structure, shapes), held


def _restored(shapes: Any, leaves: list[np.ndarray]) -> Any:
    """Return the tree that was sent."""
    wanted, structure = jax.tree.flatten(shapes)
    reshaped = [leaf.reshape(own.shape) for own, leaf in zip(wanted, leaves, strict=True)]
    return jax.tree.unflatten(structure, reshaped)


def _run(
    client: Client,
    hold: Callable[[Any], tuple[Any, list[Any]]],
    lanes: Lanes,
    todo: np.ndarray,
    progress: Progress,
) -> Iterator[tuple[int, Lane]]:
    """Run lanes on the workers, those of one target together; see `consensus.run_here`."""
    shapes, leaves = hold(lanes.targets)
    keys = np.asarray(jax.random.key_data(lanes.keys))
    targets = [todo[lanes.target_of[todo] == k] for k in np.unique(lanes.target_of[todo])]

    def submit(number: int) -> Future:
        own = targets[number]
        return client.submit(
            _chains, shapes, leaves, int(lanes.target_of[own[0]]), lanes.model, keys[own],
            lanes.settings, pure=False,
        )  # fmt: skip

    for done, (number, found) in enumerate(_as_done(client, submit, len(targets)), start=1):
        progress(done, len(targets))
        yield from zip(targets[number].tolist(), found, strict=True)


def _evaluator(
    client: Client,
    hold: Callable[[Any], tuple[Any, list[Any]]],
    model: Model,
    parts: Shard,
    *,
    progress: Progress,
) -> Evaluate:
    """Return a function that has the workers evaluate all the data, each at some of the theta."""
    shapes, leaves = hold(parts)

    def evaluate(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ends = np.arange(BLOCK, len(theta), BLOCK)  # where one process parts them, to round alike
        shares = np.array_split(ends, max(1, len(client.nthreads())))
        pieces = np.split(np.asarray(theta), [share[-1] for share in shares[:-1] if len(share)])

        def submit(number: int) -> Future:
            return client.submit(_log_densities, shapes, leaves, model, pieces[number], pure=False)

        found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for number, values in _as_done(client, submit, len(pieces)):
            found[number] = values
            progress(sum(len(pieces[n]) for n in found), len(theta))
        priors, likelihoods = zip(*(found[n] for n in range(len(pieces))), strict=True)
        return np.concatenate(priors), np.concatenate(likelihoods)

    return evaluate


def _as_done(
    client: Client, submit: Callable[[int], Future], count: int
) -> Iterator[tuple[int, Any]]:
    """Submit tasks 0 to count - 1 and give number and result of each as it ends."""
    waiting = {submit(number): number for number in range(count)}
    seen = time.monotonic()
    try:
        while waiting:
            seen = time.monotonic() if client.nthreads() else seen
            if time.monotonic() - seen > PATIENCE:
                raise InputError(
                    f"the cluster has had no worker for {PATIENCE:.0f} s: start workers and run "
                    "again with --resume"
                )
            try:
                with client.as_current():
                    ended = distributed.wait(list(waiting), POLL, "FIRST_COMPLETED").done
            except TimeoutError:
                continue
            for future in ended:
                yield waiting.pop(future), _result(future)
    finally:
        client.cancel(list(waiting))


def _result(future: Future) -> Any:
    """Return the result of a task, or say why the cluster could not give it."""
    try:
        return future.result()
    except (distributed.KilledWorker, distributed.CancelledError) as error:
        raise InputError(
            f"workers died at the same task ({error}): give them more memory, or choose more "
            "shards; run again with --resume"
        ) from error


def _chains(
    shapes: Any, leaves: list[Any], target: int, model: Model, keys: np.ndarray,
    settings: NutsSettings,
) -> list[Lane]:  # fmt: skip
    """Run the lanes with these keys on one target, on the devices of this worker."""
    with _ALONE:
        _prepare()
        one = jax.tree.map(lambda leaf: leaf[target : target + 1], _restored(shapes, leaves))
        own_keys = jax.random.wrap_key_data(jax.numpy.asarray(keys))
        lanes = Lanes(model, one, np.zeros(len(keys), int), own_keys, settings)
        found = run_here(lanes, np.arange(len(keys)), lambda _done, _total: None)
        where = distributed.get_worker().address
        return [lane._replace(device=f"{where} {lane.device}") for _, lane in found]


def _log_densities(
    shapes: Any, leaves: list[Any], model: Model, theta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return log prior and log likelihood of all the data, on the devices of this worker."""
    with _ALONE:
        _prepare()
        return evaluator(model, _restored(shapes, leaves))(theta)


def _prepare() -> None:
    """Set JAX up in a worker: float64, and two CPU devices at least, by which all round alike."""
    jax.config.update("jax_enable_x64", True)
    with contextlib.suppress(RuntimeError):  # devices are in use already
        threads = distributed.get_worker().state.nthreads
        jax.config.update("jax_num_cpu_devices", max(2, threads))
