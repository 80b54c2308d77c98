"""Settings of JAX for the tests, and one small result that many of them look at."""

import jax
import matplotlib as mpl
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "allow")
mpl.use("agg")


@pytest.fixture(scope="session")
def laminar_data():
    """Three angles of 20 frames with independent noise."""
    from homodyne_bayes import simulate

    experiment = simulate.Experiment(
        phi=(-60.0, 0.0, 60.0), num_frames=20, parameters=simulate.LAMINAR, dt=0.4
    )
    return simulate.independent(jax.random.key(0), experiment, 0.004)


@pytest.fixture(scope="session")
def laminar_result(laminar_data):
    """A small consensus fit of `laminar_data`."""
    from homodyne_bayes import FitConfig, fit

    return fit(laminar_data, FitConfig(num_shards=2, num_warmup=200, num_samples=200))


@pytest.fixture(scope="session")
def laplace_result(laminar_data):
    """A fit of `laminar_data` by the least squares fit, reweighted."""
    from homodyne_bayes import FitConfig, fit

    return fit(laminar_data, FitConfig(method="laplace", num_samples=200))


@pytest.fixture(scope="session")
def result_file(laminar_result, tmp_path_factory):
    """The same result as a file."""
    from homodyne_bayes import results

    path = tmp_path_factory.mktemp("result") / "result.nc"
    results.write(laminar_result, path)
    return path
