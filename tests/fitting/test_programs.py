"""Programs are compiled once for a model and a shape, whatever the data."""

import jax

from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from tests.truth import STATIC

CONFIG = FitConfig(model="static", method="laplace", num_samples=200)


def speckle(seed, contrast):
    experiment = simulate.Experiment(
        MODELS["static"], (-60.0, 0.0, 60.0), 24, STATIC, contrast=contrast
    )
    return simulate.speckle(jax.random.key(seed), experiment, 4000, mean_photons=2.0)


def compiled(caplog):
    """Return the programs that were compiled, as JAX tells them."""
    return [one.getMessage() for one in caplog.records if "Compiling" in one.getMessage()]


def test_the_second_fit_of_a_model_finds_its_programs(caplog):
    first, second = speckle(0, 0.3), speckle(1, 0.15)
    with jax.log_compiles():
        fit(first, CONFIG)
        assert compiled(caplog)
        caplog.clear()
        fit(second, CONFIG)
    assert compiled(caplog) == []
