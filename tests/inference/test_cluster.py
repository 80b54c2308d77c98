"""Shards and certification on workers of Dask: the draws of one process, whatever happens."""

import contextlib
import gc
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import distributed
import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from homodyne_bayes import FitConfig, InputError
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.inference import cluster
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from tests.truth import STATIC

CONFIG = FitConfig(
    model="static",
    noise="independent",
    num_shards=4,
    num_chains=2,
    num_warmup=60,
    num_samples=60,
    rescue_pairs=0,
    compress=False,
)
pytestmark = pytest.mark.skipif(jax.local_device_count() < 2, reason="one device rounds otherwise")


@pytest.fixture(scope="module")
def data():
    experiment = simulate.Experiment(MODELS["static"], (-60.0, 0.0, 60.0), 24, STATIC)
    return simulate.independent(jax.random.key(0), experiment, 0.02)


@pytest.fixture(scope="module")
def alone(data):
    return fit(data, CONFIG)


@pytest.fixture(scope="module")
def place():
    with cluster.connect("local") as found:
        yield found


def same(one, other):
    """Compare all draws of two results."""
    for group in ("sub_posteriors", "approximation", "posterior", "log_likelihood"):
        for name, value in one[group].items():
            np.testing.assert_array_equal(other[group][name], value, err_msg=f"{group} {name}")


def test_draws_are_those_of_one_process(data, alone, place):
    seen = []
    found = fit(data, CONFIG, lambda *at: seen.append(at), place=place)
    same(alone, found)
    assert ("sampling", 4, 4) in seen
    devices = found["sub_sample_stats"]["device"]
    assert devices.dims == ("shard", "chain")
    assert len({str(device).split()[0] for device in devices.values.flat}) == 2
    assert all("tcp://" in str(device) for device in devices.values.flat)
    assert "tcp" not in str(alone["sub_sample_stats"]["device"].values)


def test_draws_of_compressed_maps_are_those_of_one_process(data, place):
    config = replace(CONFIG, compress=True)
    same(fit(data, config), fit(data, config, place=place))


def test_every_part_goes_to_one_worker(place, monkeypatch):
    """Each once, and to nobody else: results are in order, whoever made them.

    Workers let go of a part when it is done, also where waiting for it took several looks, whose
    tracebacks hold it until Python collects them.
    """
    monkeypatch.setattr(cluster, "POLL", 0.01)

    def looked_at(factor, part):
        time.sleep(0.05)
        return {"sum": factor * part["x"].sum(), "who": np.array(os.getpid())}

    parts, seen = {"x": np.arange(24.0).reshape(8, 3)}, []
    gc.disable()
    try:
        found = place.each(looked_at, (10.0,), parts, lambda *at: seen.append(at))
        let_go_of(place.run.args[0])
    finally:
        gc.enable()
    assert [float(one["sum"]) for one in found] == (10 * parts["x"].sum(axis=1)).tolist()
    assert seen == [(done, 8) for done in range(1, 9)]
    workers = {int(one["who"]) for one in found}
    assert os.getpid() not in workers
    assert workers <= set(place.run.args[0].run(os.getpid).values())


def let_go_of(client):
    """Wait until workers hold nothing: they let go when the scheduler has told them."""
    end = time.monotonic() + 60
    while sum(client.run(lambda dask_worker: len(dask_worker.data)).values()):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_finished_chains_are_kept_and_taken_up_here(data, alone, place, tmp_path):
    class StoppedError(Exception):
        pass

    def stop(stage, done, _total):
        if stage == "sampling" and done == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit(data, CONFIG, stop, tmp_path / "parts", place)
    assert len(list((tmp_path / "parts").iterdir())) in (2, 4)
    same(alone, fit(data, CONFIG, folder=tmp_path / "parts"))


def test_a_model_of_ones_own_travels(data, place, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "import jax.numpy as jnp, numpyro, numpyro.distributions as dist\n"
        "from homodyne_bayes.physics import kernels\n"
        "def own(points, priors):\n"
        "    D0 = numpyro.sample('D0', dist.LogNormal(9.0, 1.0))\n"
        "    return kernels.field_correlation(points, D0 * jnp.ones_like(points.time))\n"
    )
    config = CONFIG.__class__(**{**CONFIG.__dict__, "model": f"{path}:own", "num_shards": 2})
    found = fit(data, config, place=place)
    assert np.isfinite(found["posterior"]["D0"]).all()


@pytest.mark.parametrize("count", [1, 2])
def test_workers_that_are_killed_cost_time_alone(data, alone, tmp_path, count):
    """One of two workers, or both, die once the first shard is there: the draws are the same."""
    killed = threading.Event()
    with cluster.connect("local") as place:
        client = place.run.args[0]

        def kill(stage, done, _total):
            if stage == "sampling" and done == 1 and not killed.is_set():
                killed.set()
                for pid in sorted(client.run(os.getpid).values())[:count]:
                    os.kill(pid, signal.SIGKILL)

        found = fit(data, CONFIG, kill, tmp_path / "parts", place)
    assert killed.is_set()
    same(alone, found)


def test_a_worker_that_dies_while_it_is_sent_something_costs_time_alone(monkeypatch, place):
    send, lost = distributed.Client.scatter, iter([distributed.comm.CommClosedError, TimeoutError])

    def scatter(client, *args, **kwargs):
        for error in lost:
            raise error
        return send(client, *args, **kwargs)

    expected = densities(place)(np.zeros((1, 1)))
    monkeypatch.setattr(distributed.Client, "scatter", scatter)
    np.testing.assert_array_equal(densities(place)(np.zeros((1, 1))), expected)
    assert next(lost, None) is None


@contextlib.contextmanager
def site(num_workers):
    """A scheduler with workers that nobody starts again."""
    with distributed.LocalCluster(
        n_workers=num_workers,
        threads_per_worker=1,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    ) as local:
        yield local


def densities(place, progress=lambda _done, _total: None):
    """Where all the data are evaluated, for a normal model of six values in two parts."""

    def normal(part):
        numpyro.sample("y", dist.Normal(numpyro.sample("mean", dist.Normal()), 1.0), obs=part)

    return place.evaluator(normal, np.arange(6.0).reshape(2, 3), progress=progress)


def test_a_cluster_without_workers_is_given_up(monkeypatch):
    """No hang: after some patience a sentence says what to do."""
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    told = pytest.raises(InputError, match="found none for 0 s: start `dask worker")
    with site(0) as local, told, cluster.connect(local.scheduler_address):
        pass


def test_a_cluster_whose_workers_go_for_good_is_given_up(monkeypatch):
    """The only worker goes while it is busy with something else."""
    with site(1) as local, cluster.connect(local.scheduler_address) as place:
        evaluate = densities(place)
        assert np.isfinite(evaluate(np.zeros((1, 1)))).all()
        monkeypatch.setattr(cluster, "PATIENCE", 2.0)
        busy = place.run.args[0].submit(time.sleep, 60, pure=False)
        threading.Timer(1.0, local.scale, [0]).start()
        with pytest.raises(InputError, match="found none for 2 s: start `dask worker"):
            evaluate(np.zeros((1, 1)))
        busy.cancel()


def test_data_lost_again_and_again_are_given_up(monkeypatch, place):
    def lost(*_):
        raise distributed.CancelledError

    monkeypatch.setattr(distributed.Future, "result", lost)
    with pytest.raises(InputError, match="workers of the cluster were lost 4 times"):
        densities(place)(np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://127.0.0.1:9", "does not answer"),
        ("local:none", "needs a number of workers"),
        ("nowhere", "does not answer"),
    ],
)
def test_addresses_that_cannot_be(monkeypatch, address, message):
    monkeypatch.setattr(cluster, "ANSWER", 1.0)
    with pytest.raises(InputError, match=message), cluster.connect(address):
        pass


def test_other_versions_are_refused(monkeypatch, place):
    """Workers tell the version of JAX that they have, which is not the one here."""
    address = place.run.args[0].scheduler.address
    monkeypatch.setattr(cluster.environment, "versions", lambda: {"jax": "0.0"})
    told = rf"worker tcp://\S* has jax {re.escape(jax.__version__)}, expected 0.0 as here"
    with pytest.raises(InputError, match=told), cluster.connect(address):
        pass


@contextlib.contextmanager
def running(call, **options):
    """Start a program and end it, by force if it takes its time."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(call, **quiet, **options) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def test_schedulers_started_by_hand_also_with_tls(tmp_path):
    """Scheduler and workers as a site starts them: an address with certificates is an address."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    tls = {"ca-file": str(certificate)}
    tls |= {
        role: {"cert": str(certificate), "key": str(key)}
        for role in ("scheduler", "worker", "client")
    }
    settings = {"distributed": {"comm": {"require-encryption": True, "tls": tls}}}
    (tmp_path / "tls.yaml").write_text(json.dumps(settings))
    environment = os.environ | {"DASK_CONFIG": str(tmp_path)}
    dask = [sys.executable, "-m", "dask"]
    file = tmp_path / "scheduler.json"
    ours = ["--scheduler-file", str(file), "--no-dashboard"]
    scheduler = [*dask, "scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", "0"]
    worker = [*dask, "worker", "--nthreads", "1", "--no-nanny"]
    with running([*scheduler, *ours], env=environment), running([*worker, *ours], env=environment):
        late = time.monotonic() + 60
        while not file.exists() or not file.read_text():
            assert time.monotonic() < late
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        assert address.startswith("tls://")
        code = (
            "from homodyne_bayes.inference.cluster import connect\n"
            f"with connect({address!r}) as place:\n"
            "    print(place.run.args[0].submit(pow, 2, 5).result(timeout=30))"
        )
        told = subprocess.check_output(
            [sys.executable, "-c", code], env=environment, text=True, timeout=120
        )
        assert told.strip() == "32"
