"""Shards and maps on a Dask cluster: each travels to one worker, with what is to be done of it.

Workers are processes that have this package. Each uses its own devices, by the same programs as one
process does: a lane has its own key, so that draws do not depend on where it runs.
"""

import asyncio
import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from homodyne_bayes.inference.chains import Lane, Lanes, StageProgress, run_here
from homodyne_bayes.inference.density import Shard
from homodyne_bayes.inference.each import on_host, part_of, quiet
from homodyne_bayes.inference.nuts import NutsSettings
from homodyne_bayes.inference.places import Workplace

ANSWER = 10.0  # s that a scheduler has to answer
PATIENCE = 60.0  # s without a single worker
POLL = 1.0  # s between two looks at the workers
LOCAL_WORKERS = 2
MAX_SENT = 4  # times that what was lost with its worker is sent
AHEAD = 2  # tasks of a worker at a time: one that it does, and one whose data are on their way
_ALONE = threading.Lock()  # one task at a time has the devices of a worker


class Task(NamedTuple):
    """What a worker is to do: ``function(parcel, *more)``, with the parcel sent beside it."""

    function: Callable[..., Any]
    carried: Any
    more: tuple[Any, ...]


@dataclass(frozen=True)
class Parcel:
    """A pytree of arrays that travels as one piece, to one worker."""

    content: Any


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
        yield Workplace(partial(_run, client), partial(_each, client))


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


def _run(
    client: Client, lanes: Lanes, todo: np.ndarray, progress: StageProgress
) -> Iterator[tuple[int, Lane]]:
    """Run lanes on the workers, those of one target together; see `chains.run_here`."""
    model, keys = cloudpickle.dumps(lanes.model), np.asarray(jax.random.key_data(lanes.keys))
    targets = on_host(lanes.targets)
    of_target = [todo[lanes.target_of[todo] == k] for k in np.unique(lanes.target_of[todo])]
    tasks = []
    for those in of_target:
        at = int(lanes.target_of[those[0]])
        alone = jax.tree.map(lambda leaf, at=at: leaf[at : at + 1], targets)
        tasks.append(Task(_chains, alone, (model, lanes.settings, keys[those])))
    for done, (number, lanes_done) in enumerate(_as_done(client, tasks), start=1):
        progress(done, len(tasks))
        yield from zip(of_target[number].tolist(), lanes_done, strict=True)


def _each(
    client: Client,
    function: Callable[..., Any],
    held: Sequence[Any],
    parts: Shard,
    progress: StageProgress = quiet,
) -> list[Any]:
    """Have the workers do something of every part; see `each.each_here`."""
    host = on_host(parts)
    more = tuple(map(cloudpickle.dumps, (function, *held)))
    tasks = [Task(_of_part, part_of(host, at), more) for at in range(len(jax.tree.leaves(host)[0]))]
    found = {}
    for number, result in _as_done(client, tasks):
        found[number] = result
        progress(len(found), len(tasks))
    return [found[number] for number in range(len(tasks))]


def _as_done(client: Client, tasks: list[Task]) -> Iterator[tuple[int, Any]]:
    """Have tasks done, and give number and result as each ends.

    What a task carries is sent to one worker when its turn comes, so that neither workers nor what
    is under way hold much at a time. What is lost with a worker is sent again.
    """
    left = dict(enumerate(tasks))
    for _ in range(MAX_SENT if tasks else 0):
        waiting: dict[Future, int] = {}
        try:
            _wait_for_workers(client)
            todo = iter(list(left.items()))
            while left:
                room = AHEAD * max(1, _num_workers(client)) - len(waiting)
                for number, task in itertools.islice(todo, max(0, room)):
                    waiting[_submitted(client, task)] = number
                for future in _ended(client, set(waiting)):
                    number, result = waiting.pop(future), _result(future)
                    future.release()  # now, and not when Python finds that nobody needs it
                    del left[number]
                    yield number, result
        except distributed.CancelledError:
            continue
        else:
            return
        finally:
            client.cancel([future for future in waiting if not future.done()])
    if left:
        raise InputError(
            f"all workers of the cluster were lost {MAX_SENT} times: look into their logs, give "
            "them more memory, and run again with --resume"
        )


def _submitted(client: Client, task: Task) -> Future:
    """Send what a task carries, and the task after it; lost where its worker dies meanwhile."""
    with client.as_current():
        try:
            (sent,) = client.scatter([Parcel(task.carried)], hash=False)
        except OSError as error:
            raise distributed.CancelledError from error
        return client.submit(task.function, sent, *task.more, pure=False)


def _ended(client: Client, waiting: set[Future]) -> set[Future]:
    """Return futures that have ended, one at least, unless there is no worker for long."""
    seen = time.monotonic()
    while True:
        seen = time.monotonic() if _num_workers(client) else seen
        if time.monotonic() - seen > PATIENCE:
            raise _gone()
        try:
            with client.as_current():
                return set(distributed.wait(waiting, POLL, "FIRST_COMPLETED").done)
        except TimeoutError:
            continue


def _num_workers(client: Client) -> int:
    """Return how many workers there are, none where the scheduler is gone."""
    try:
        return len(client.nthreads())
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
def _loaded(pickled: bytes) -> Any:
    """Return the same object for the same bytes, so that a worker compiles a model once."""
    return cloudpickle.loads(pickled)


def _chains(parcel: Parcel, model: bytes, settings: NutsSettings, keys: np.ndarray) -> list[Lane]:
    """Run the lanes with these keys on one target, on the devices of this worker."""
    with _ALONE:
        _prepare()
        lane_keys = jax.random.wrap_key_data(jax.numpy.asarray(keys))
        of = np.zeros(len(keys), int)
        lanes = Lanes(_loaded(model), parcel.content, of, lane_keys, settings)
        ended = run_here(lanes, np.arange(len(keys)), lambda _done, _total: None)
        where = distributed.get_worker().address
        return [lane._replace(device=f"{where} {lane.device}") for _, lane in ended]


def _of_part(parcel: Parcel, function: bytes, *held: bytes) -> Any:
    """Return what a function makes of one part, by the program of one device."""
    with _ALONE:
        _prepare()
        return on_host(_loaded(function)(*map(_loaded, held), parcel.content))


def _prepare() -> None:
    """Set JAX up in a worker: float64, and two CPU devices at least, by which all round alike."""
    jax.config.update("jax_enable_x64", True)
    with contextlib.suppress(RuntimeError):  # devices are in use already
        threads = distributed.get_worker().state.nthreads
        jax.config.update("jax_num_cpu_devices", max(2, threads))
