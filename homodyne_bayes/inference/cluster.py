"""Shards and certification on a Dask cluster: data travel once, lanes and draws are its tasks.

Workers are processes that have this package. Each uses its own devices, by the same programs as one
process does: a lane has its own key, so that draws do not depend on where it runs.
"""

import asyncio
import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from functools import lru_cache, partial
from importlib.metadata import version
from platform import python_version
from typing import Any, NamedTuple

import cloudpickle
import distributed
import jax
import numpy as np
from distributed import Client, Future, LocalCluster

from homodyne_bayes import environment
from homodyne_bayes.errors import InputError
from homodyne_bayes.inference.certify import BLOCK, Evaluate, evaluator
from homodyne_bayes.inference.chains import Lane, Lanes, StageProgress, run_here
from homodyne_bayes.inference.density import Model, Shard
from homodyne_bayes.inference.nuts import NutsSettings
from homodyne_bayes.inference.places import Workplace

ANSWER = 10.0  # s that a scheduler has to answer
PATIENCE = 60.0  # s without a single worker
POLL = 1.0  # s between two looks at the workers
LOCAL_WORKERS = 2
MAX_SENT = 4  # times that data are sent whose every copy was lost
_ALONE = threading.Lock()  # one task at a time has the devices of a worker


class Workers(NamedTuple):
    """A client of the cluster, and what it holds there by the hash of its content."""

    client: Client
    futures: dict[str, Future]


@contextlib.contextmanager
def connect(address: str) -> Iterator[Workplace]:
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
        _check_versions(client)
        workers = Workers(client, {})
        yield Workplace(partial(_run, workers), partial(_evaluator, workers))


@contextlib.contextmanager
def _client(address: str) -> Iterator[Client]:
    name, _, number = address.partition(":")
    if name != "local":
        try:
            asyncio.run(_knock(address))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"--cluster must be local, local:N or the address of a Dask scheduler, found that "
                f"{address!r} does not answer ({error}): start `dask scheduler` and workers"
            ) from error
        with Client(address, timeout=ANSWER, set_as_default=False) as client:
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


async def _knock(address: str) -> None:
    """Connect and leave: a client that finds nobody waits for ever when it is collected."""
    security = distributed.Security().get_connection_args("client")
    comm = await distributed.comm.connect(address, timeout=ANSWER, **security)
    await comm.close()


def _check_versions(client: Client) -> None:
    """Refuse workers whose draws would not be those of this process."""
    _wait_for_workers(client)
    here = _versions()
    for worker, there in client.run(_versions).items():
        for name, expected in here.items():
            if there.get(name) != expected:
                raise InputError(
                    f"worker {worker} has {name} {there.get(name)}, expected {expected} as here: "
                    "install the same versions everywhere"
                )


def _versions() -> dict[str, str]:
    return {"python": python_version(), "jaxlib": version("jaxlib"), **environment.versions()}


def _held(workers: Workers, tree: Any) -> tuple[Any, list[Future]]:
    """Send the arrays of a tree to every worker, those that are there already not again.

    Returns the tree with shapes in place of its leaves, and the flat leaves.
    """
    leaves, structure = jax.tree.flatten(tree)
    held = []
    for leaf in leaves:
        flat = np.asarray(leaf).reshape(-1)
        name = hashlib.sha256(flat.dtype.str.encode() + flat.tobytes()).hexdigest()
        if name not in workers.futures:
            workers.futures[name] = workers.client.scatter(flat, broadcast=True)
        held.append(workers.futures[name])
    shapes = [jax.ShapeDtypeStruct(np.shape(leaf), np.asarray(leaf).dtype) for leaf in leaves]
    return jax.tree.unflatten(structure, shapes), held


def _restored(shapes: Any, leaves: list[np.ndarray]) -> Any:
    """Return the tree that was sent."""
    wanted, structure = jax.tree.flatten(shapes)
    reshaped = [leaf.reshape(shape.shape) for shape, leaf in zip(wanted, leaves, strict=True)]
    return jax.tree.unflatten(structure, reshaped)


def _run(
    workers: Workers, lanes: Lanes, todo: np.ndarray, progress: StageProgress
) -> Iterator[tuple[int, Lane]]:
    """Run lanes on the workers, those of one target together; see `chains.run_here`."""
    model, keys = cloudpickle.dumps(lanes.model), np.asarray(jax.random.key_data(lanes.keys))
    targets = [todo[lanes.target_of[todo] == k] for k in np.unique(lanes.target_of[todo])]
    tasks = [
        (_chains, model, lanes.settings, int(lanes.target_of[those[0]]), keys[those])
        for those in targets
    ]
    for done, (number, lanes_done) in enumerate(_as_done(workers, lanes.targets, tasks), start=1):
        progress(done, len(targets))
        yield from zip(targets[number].tolist(), lanes_done, strict=True)


def _evaluator(
    workers: Workers, model: Model, parts: Shard, *, progress: StageProgress
) -> Evaluate:
    """Return a function that has the workers evaluate all the data, each at some of the theta."""
    pickled = cloudpickle.dumps(model)

    def evaluate(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ends = np.arange(BLOCK, len(theta), BLOCK)  # where one process parts them, to round alike
        shares = np.array_split(ends, max(1, _num_workers(workers)))
        pieces = np.split(np.asarray(theta), [share[-1] for share in shares[:-1] if len(share)])
        tasks = [(_log_densities, pickled, piece) for piece in pieces]
        ended: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for number, values in _as_done(workers, parts, tasks):
            ended[number] = values
            progress(sum(len(pieces[n]) for n in ended), len(theta))
        priors, likelihoods = zip(*(ended[n] for n in range(len(pieces))), strict=True)
        return np.concatenate(priors), np.concatenate(likelihoods)

    return evaluate


def _as_done(
    workers: Workers, tree: Any, tasks: list[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    """Submit tasks, functions of a tree and of more, and give number and result as each ends.

    Where all copies of the tree are lost with their workers, it is sent again.
    """
    left = dict(enumerate(tasks))
    for _ in range(MAX_SENT if tasks else 0):
        waiting: dict[Future, int] = {}
        try:
            _wait_for_workers(workers.client)
            shapes, leaves = _held(workers, tree)
            for number, (function, *more) in left.items():
                future = workers.client.submit(function, shapes, leaves, *more, pure=False)
                waiting[future] = number
            for future in _ended(workers, set(waiting)):
                result = _result(future)
                del left[waiting[future]]
                yield waiting[future], result
        except distributed.CancelledError:
            workers.futures.clear()
        else:
            return
        finally:
            workers.client.cancel([future for future in waiting if not future.done()])
    if left:
        raise InputError(
            f"all workers of the cluster were lost {MAX_SENT} times: look into their logs, give "
            "them more memory, and run again with --resume"
        )


def _ended(workers: Workers, waiting: set[Future]) -> Iterator[Future]:
    """Give futures as they end, unless there is no worker for long."""
    seen = time.monotonic()
    while waiting:
        seen = time.monotonic() if _num_workers(workers) else seen
        if time.monotonic() - seen > PATIENCE:
            raise _gone()
        try:
            with workers.client.as_current():
                ended, waiting = distributed.wait(waiting, POLL, "FIRST_COMPLETED")
        except TimeoutError:
            continue
        yield from ended


def _num_workers(workers: Workers) -> int:
    """Return how many workers there are, none where the scheduler is gone."""
    try:
        return len(workers.client.nthreads())
    except OSError:
        return 0


def _wait_for_workers(client: Client) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except (TimeoutError, OSError):
        raise _gone() from None


def _gone() -> InputError:
    return InputError(
        f"the cluster must have workers, found none for {PATIENCE:.0f} s: start `dask worker "
        "ADDRESS`, and run again with --resume"
    )


def _result(future: Future) -> Any:
    """Return the result of a task, or say why the cluster could not give it."""
    try:
        return future.result()
    except distributed.KilledWorker as error:
        raise InputError(
            f"workers died at the same task ({error}): give them more memory, or choose more "
            "shards; run again with --resume"
        ) from error


@lru_cache(maxsize=16)
def _loaded(model: bytes) -> Model:
    """Return the same function for the same bytes, so that a worker compiles it once."""
    loaded: Model = cloudpickle.loads(model)
    return loaded


def _chains(
    shapes: Any,
    leaves: list[Any],
    model: bytes,
    settings: NutsSettings,
    target: int,
    keys: np.ndarray,
) -> list[Lane]:
    """Run the lanes with these keys on one target, on the devices of this worker."""
    with _ALONE:
        _prepare()
        alone = jax.tree.map(lambda leaf: leaf[target : target + 1], _restored(shapes, leaves))
        lane_keys = jax.random.wrap_key_data(jax.numpy.asarray(keys))
        lanes = Lanes(_loaded(model), alone, np.zeros(len(keys), int), lane_keys, settings)
        ended = run_here(lanes, np.arange(len(keys)), lambda _done, _total: None)
        where = distributed.get_worker().address
        return [lane._replace(device=f"{where} {lane.device}") for _, lane in ended]


def _log_densities(
    shapes: Any, leaves: list[Any], model: bytes, theta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return log prior and log likelihood of all the data, on the devices of this worker."""
    with _ALONE:
        _prepare()
        return evaluator(_loaded(model), _restored(shapes, leaves))(theta)


def _prepare() -> None:
    """Set JAX up in a worker: float64, and two CPU devices at least, by which all round alike."""
    jax.config.update("jax_enable_x64", True)
    with contextlib.suppress(RuntimeError):  # devices are in use already
        threads = distributed.get_worker().state.nthreads
        jax.config.update("jax_num_cpu_devices", max(2, threads))
