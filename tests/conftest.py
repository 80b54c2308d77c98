"""Settings of JAX for the tests, and one small result that many of them look at."""

import os
from pathlib import Path

COMPILED = Path(__file__).parents[1] / ".pytest_cache" / "compiled"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(COMPILED))  # also of processes started here
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax
import matplotlib as mpl
import pytest

from homodyne_bayes.model_files import MODELS
from tests.truth import LAMINAR, STATIC

jax.config.update("jax_enable_x64", True)
if "JAX_NUM_CPU_DEVICES" not in os.environ:
    jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "allow")
mpl.use("agg")


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Let go of a file's programs when it is done: a process runs out of memory mappings."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def laminar_data():
    """Three angles of 20 frames with independent noise."""
    from homodyne_bayes.physics import simulate

    experiment = simulate.Experiment(
        MODELS["laminar_flow"], phi=(-60.0, 0.0, 60.0), num_frames=20, parameters=LAMINAR, dt=0.4
    )
    return simulate.independent(jax.random.key(0), experiment, 0.004)


@pytest.fixture(scope="session")
def laminar_result(laminar_data):
    """A small consensus fit of `laminar_data` under independent noise."""
    from homodyne_bayes import FitConfig
    from homodyne_bayes.fitting.pipeline import fit

    config = FitConfig(noise="independent", num_shards=2, num_warmup=200, num_samples=200)
    return fit(laminar_data, config)


@pytest.fixture(scope="session")
def laplace_result(laminar_data):
    """A fit of `laminar_data` by the least squares fit, reweighted, under independent noise."""
    from homodyne_bayes import FitConfig
    from homodyne_bayes.fitting.pipeline import fit

    return fit(laminar_data, FitConfig(method="laplace", noise="independent", num_samples=200))


@pytest.fixture(scope="session")
def uncertain_result(laminar_data):
    """The same with standard uncertainties of q, gap, dt and the azimuth's zero."""
    from homodyne_bayes import FitConfig
    from homodyne_bayes.fitting.pipeline import fit
    from tests.truth import STATED

    config = FitConfig(method="laplace", noise="independent", num_samples=200, uncertainty=STATED)
    return fit(laminar_data, config)


@pytest.fixture(scope="session")
def speckle_result():
    """A fit of static speckle under its likelihood: 3 angles of 24 frames, one unusable."""
    from dataclasses import replace

    import numpy as np

    from homodyne_bayes import FitConfig
    from homodyne_bayes.fitting.pipeline import fit
    from homodyne_bayes.physics import simulate

    experiment = simulate.Experiment(MODELS["static"], (-60.0, 0.0, 60.0), 24, STATIC)
    data = simulate.speckle(jax.random.key(0), experiment, 4000, mean_photons=2.0)
    data = replace(data, usable=np.broadcast_to(np.arange(24) != 7, (3, 24)))
    return fit(data, FitConfig(model="static", method="laplace", num_samples=200))


@pytest.fixture(scope="session")
def result_file(laminar_result, tmp_path_factory):
    """The same result as a file."""
    from homodyne_bayes.results import store

    path = tmp_path_factory.mktemp("result") / "result.nc"
    store.write(laminar_result, path)
    return path
