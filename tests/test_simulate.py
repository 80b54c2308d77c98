"""Simulated speckle has the correlation it should, and its noise is correlated."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes import InputError, simulate

EXPERIMENT = simulate.Experiment((-30.0, 0.0, 60.0), 24, simulate.LAMINAR, dt=0.3)
OFF = ~np.eye(24, dtype=bool)


@pytest.mark.parametrize("convention", ["upstream", "gap-average"])
def test_field_correlation_is_a_covariance(convention):
    covariance = simulate.field_correlation(replace(EXPERIMENT, convention=convention))
    assert covariance.shape == (3, 24, 24)
    np.testing.assert_allclose(jnp.diagonal(covariance, axis1=1, axis2=2), 1.0)
    assert float(jnp.linalg.eigvalsh(covariance).min()) > -1e-10


@pytest.mark.parametrize(
    ("convention", "photons"), [("upstream", None), ("gap-average", None), ("upstream", 0.5)]
)
def test_mean_of_many_speckle_maps_is_the_model(photons, convention):
    experiment = replace(EXPERIMENT, convention=convention)
    maps = np.mean(
        [simulate.speckle(jax.random.key(s), experiment, 3000, photons).c2 for s in range(12)],
        axis=0,
    )
    expected = 1 + 0.25 * simulate.field_correlation(experiment) ** 2
    scatter = (maps - expected)[:, OFF]
    assert abs(scatter.mean()) < 2e-3
    assert np.abs(scatter).max() < (0.05 if photons else 0.02)


def test_diagonal_holds_the_shot_noise():
    """c2 at zero lag is 1 + contrast + 1/n̄ for Poisson counts of mean n̄."""
    data = simulate.speckle(jax.random.key(0), EXPERIMENT, 20000, 0.5)
    diagonal = np.diagonal(data.c2, axis1=1, axis2=2).mean()
    assert diagonal == pytest.approx(1 + 0.25 + 1 / 0.5, rel=0.01)


def test_speckle_noise_is_correlated_and_independent_noise_is_not():
    """Residuals of entries that share a frame: what makes the usual error bars too narrow."""
    truth = 1 + 0.25 * np.asarray(simulate.field_correlation(EXPERIMENT)) ** 2
    upper = np.triu(np.ones((24, 24), bool), 2)

    def neighbours(data):
        residual = data.c2 - truth
        return np.corrcoef(residual[:, :, :-1][:, upper[:, 1:]].ravel(),
                           residual[:, :, 1:][:, upper[:, 1:]].ravel())[0, 1]

    assert neighbours(simulate.speckle(jax.random.key(1), EXPERIMENT, 3000)) > 0.5
    assert abs(neighbours(simulate.independent(jax.random.key(1), EXPERIMENT, 0.01))) < 0.1


def test_independent_noise_has_the_scatter_asked_for():
    data = simulate.independent(jax.random.key(2), EXPERIMENT, 0.02)
    residual = data.c2 - (1 + 0.25 * np.asarray(simulate.field_correlation(EXPERIMENT)) ** 2)
    assert residual[:, np.triu(OFF)].std() == pytest.approx(0.02, rel=0.05)
    np.testing.assert_array_equal(data.c2, np.swapaxes(data.c2, 1, 2))


def test_static_has_the_same_truth_at_every_angle():
    still = simulate.field_correlation(replace(EXPERIMENT, parameters=simulate.STATIC))
    np.testing.assert_array_equal(still[0], still[2])


def test_the_truth_is_recorded():
    data = simulate.speckle(jax.random.key(0), EXPERIMENT, 100)
    assert data.provenance["truth"] == {**simulate.LAMINAR, "contrast": 0.25, "offset": 1.0}
    assert data.provenance["convention"] == "upstream"


def test_keys_decide_the_draws():
    one, same, other = (
        simulate.speckle(jax.random.key(s), EXPERIMENT, 100).sha256() for s in (1, 1, 2)
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contrast": 0.3}, "1, 1/2, 1/3.*0.3"),
        ({"contrast": 0.0}, "1, 1/2, 1/3.*0"),
        ({"parameters": {"D0": 1.0}}, "missing: .*alpha"),
        ({"parameters": {**simulate.STATIC, "beta": 0.1}}, "missing: .*gamma_dot_t0"),
    ],
)
def test_impossible_experiments_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        simulate.speckle(jax.random.key(0), replace(EXPERIMENT, **changes))
