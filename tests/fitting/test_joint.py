"""Several wavevectors together: one D(t) and shear rate, contrast and offset of every bin."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from homodyne_bayes import FitConfig, InputError, TwoTimeData
from homodyne_bayes.data import reading, writing
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.fitting.plan import models_of, plan
from homodyne_bayes.fitting.sample import estimate_noise, least_squares
from homodyne_bayes.fitting.shards import angle_shards, block_shards
from homodyne_bayes.inference import density
from homodyne_bayes.likelihood.estimate import estimate
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import kernels, simulate
from homodyne_bayes.physics.points import each_map, map_grid, whole_maps
from homodyne_bayes.results import diagnostics, page, rows, store
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.studies import coverage
from tests.studies.test_coverage import bent
from tests.truth import LAMINAR

PHI, Q = (-60.0, -15.0, 30.0, 75.0), (0.0045, 0.0054, 0.0065)
BINS = [(q, phi) for q in Q for phi in PHI]
FIXED_BY_DATA = ["log_D_ref", "D_slope", "log_gamma_dot_ref", "gamma_dot_slope", "phi0"]
CONFIG = FitConfig(method="laplace", seed=1)


def experiment(num_frames, parameters=LAMINAR):
    """Four angles at each of three wavevectors."""
    phi, q = tuple(phi for _, phi in BINS), tuple(q for q, _ in BINS)
    return simulate.Experiment(
        MODELS["laminar_flow"], phi, num_frames, parameters, q=q, contrast=0.3
    )


def only(data, q):
    """The maps of one wavevector."""
    return data.take(np.flatnonzero(data.wavevectors == q))


@pytest.fixture(scope="module")
def data():
    return simulate.speckle(jax.random.key(3), experiment(24), 2000, 2.0)


def test_one_wavevector_is_a_number_and_several_are_one_a_map(data):
    assert data.q.shape == (12,)
    assert only(data, Q[1]).q == Q[1]
    assert replace(data, q=Q[0], phi=np.arange(12.0)).q == Q[0]
    assert data.sha256() != replace(data, q=data.q[::-1].copy()).sha256()


@pytest.mark.parametrize(
    ("q", "message"),
    [
        ((1.0, 2.0), "one value or 12, one per map"),
        (Q[0], "each phi must occur once per q"),
        ([0.0] * 12, "positive and finite"),
        ([np.nan] * 12, "positive and finite"),
    ],
)
def test_wavevectors_that_cannot_be(data, q, message):
    with pytest.raises(InputError, match=message):
        replace(data, q=q)


def test_angles_are_chosen_at_every_wavevector(data):
    chosen = data.select(angles=(30, -60))
    assert chosen.phi.tolist() == [30, -60] * 3
    np.testing.assert_array_equal(chosen.q, np.repeat(Q, 2))
    with pytest.raises(InputError, match="choose from"):
        data.take(np.arange(11)).select(angles=(75,))  # the last wavevector has no such angle


@pytest.mark.parametrize("write", [writing.write_netcdf, writing.write_aps_u])
def test_files_keep_every_bin_in_its_place(data, write, tmp_path):
    mixed, path = data.take(np.random.default_rng(0).permutation(12)), tmp_path / "data.nc"
    write(path, mixed)
    every = reading.read(path, q="all")
    order = [
        np.flatnonzero((every.wavevectors == q) & (every.phi == phi)).item()
        for q, phi in zip(mixed.wavevectors, mixed.phi, strict=True)
    ]
    np.testing.assert_allclose(every.take(order).c2, mixed.c2, rtol=1e-6)
    two = reading.read(path, q=(Q[2], Q[0]))
    assert set(np.unique(two.q)) == {Q[0], Q[2]}
    assert reading.read(path, q=Q[1]).q == Q[1]
    for q, message in ((None, "a choice of q"), ((Q[0], 0.1), "within 0.5 %")):
        with pytest.raises(InputError, match=message):
            reading.read(path, q=q)


@pytest.mark.parametrize("flow", [False, True])
def test_the_formula_of_many_is_that_of_each(flow):
    phi, q = np.array(BINS).T[::-1]
    grid = map_grid(phi, 20, 0.1, q, 2e6)
    D, shear = jnp.linspace(8e3, 3e3, 20), (jnp.linspace(1e-3, 2e-3, 20), 3.0) if flow else ()
    together = jnp.broadcast_to(kernels.g1(grid, D, *shear), (12, 20, 20))
    for own_q in Q:
        alone = kernels.g1(map_grid(np.array(PHI), 20, 0.1, own_q, 2e6), D, *shear)
        np.testing.assert_allclose(
            together[q == own_q], jnp.broadcast_to(alone, (4, 20, 20)), rtol=1e-12
        )


@pytest.mark.parametrize("noise", ["independent", "speckle"])
def test_log_likelihoods_add_up_over_wavevectors(data, noise):
    """The joint likelihood is exact: the product of those of single wavevectors."""
    planned = plan(data, replace(CONFIG, noise=noise))
    model, made, theta = planned.model, None, least_squares(data, planned).theta
    if noise == "speckle":
        models = planned.least_squares, planned.per_angle
        made = estimate(jax.random.key(0), *models, each_map(data), data, theta).noise

    def log_likelihood(maps, kept):
        own = None if made is None else jax.tree.map(lambda leaf: leaf[kept], made)
        grid = whole_maps(maps, noise=own)
        sites = density.space(model, whole_maps(data, noise=made)).unravel(
            theta if made is None else theta[: theta.size - 1]
        )
        mine = {n: v[kept] if n in ("contrast", "offset") else v for n, v in sites.items()}
        flat = ravel_pytree(mine)[0]
        return float(density.log_prior_and_likelihood(model, grid, flat)[1])

    parts = [log_likelihood(only(data, q), np.flatnonzero(data.wavevectors == q)) for q in Q]
    assert log_likelihood(data, np.arange(12)) == pytest.approx(sum(parts), rel=1e-12)


def test_shards_are_hands_of_bins(data):
    shards = angle_shards(data, 4, each_map(data))
    for k in range(4):
        own = np.asarray(shards.phi_index[k]).ravel()
        assert len(np.unique(data.phi[own])) == len(np.unique(data.q[own])) == 3
    model = models_of(CONFIG).least_squares
    theta = density.prior_draws(jax.random.key(1), model, whole_maps(data), 1)[0]
    values = [
        density.log_prior_and_likelihoods(model, density.parts_of(shards), theta)[1].sum()
        for shards in (angle_shards(data, 4, each_map(data)), block_shards(data, 3))
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-12)


def test_the_noise_of_every_wavevector_is_its_own():
    """Photons fall with q: the nugget of each is that of the speckle simulated for it."""
    photons = dict(zip(Q, (4.0, 2.0, 1.0), strict=True))
    singles = [
        simulate.speckle(jax.random.key(i), replace(experiment(32), phi=PHI, q=q), 4000, number)
        for i, (q, number) in enumerate(photons.items())
    ]
    joint = stacked(singles)
    found = estimate_noise(joint, CONFIG)
    np.testing.assert_allclose(1 / found.nugget, np.repeat(list(photons.values()), 4), rtol=0.15)
    np.testing.assert_allclose(found.num_pixels, 4000, rtol=0.5)
    alone = [estimate_noise(single, CONFIG) for single in singles]
    sd = physical_sd(joint, found)
    for data, own in zip(singles, alone, strict=True):
        narrower = sd / physical_sd(data, own)
        assert (narrower < 1).all(), narrower


def test_a_result_tells_its_bins_apart(data, tmp_path):
    tree = fit(data, replace(CONFIG, noise="independent", rescue_pairs=0, num_samples=200))
    store.write(tree, tmp_path / "joint.nc")
    tree = store.read(tmp_path / "joint.nc")
    np.testing.assert_array_equal(tree["observed_data"]["q"], data.q)
    table = diagnostics.summary(tree)
    assert table.index.is_unique
    assert "contrast[−15°, 0.0054 1/Å]" in table.index
    assert any("−15°, 0.0054 1/Å" in row for row in rows.labels(Numbers(tree), ["contrast"]))
    report = tmp_path / "joint.html"
    page.write(Numbers(tree), report)
    assert "0.0045, 0.0054, 0.0065 1/Å" in report.read_text()


@pytest.mark.slow
def test_joint_intervals_hold_the_truth():
    """Sixty experiments of flow at three wavevectors; docs/calibration.md."""
    study = coverage.Study(experiment(48), bent(LAMINAR), mean_photons=10.0)
    config = FitConfig(model="laminar_flow", method="laplace", rescue_pairs=0)
    dataset = coverage.cover(study, config, 60)
    found = coverage.table(dataset)
    print(f"\n{dataset.attrs['num_uncertified']} not certified\n{found.round(3).to_string()}")
    pooled = found["reported"].loc["all parameters"]
    assert 0.83 <= pooled["coverage_90"] <= 0.96
    assert 0.42 <= pooled["coverage_50"] <= 0.58


def stacked(singles):
    """Data of several wavevectors as one."""
    first = singles[0]
    return TwoTimeData(
        np.concatenate([one.c2 for one in singles]),
        np.concatenate([one.phi for one in singles]),
        first.dt,
        np.repeat([one.q for one in singles], [one.num_angles for one in singles]),
        first.gap,
    )


def physical_sd(data, found):
    """Standard deviations of the coordinates that the data fix."""
    grid = each_map(data, noise=found.noise)
    names = density.labels(models_of(CONFIG).per_angle, jax.tree.map(lambda x: x[0], grid))
    return np.sqrt(np.diag(found.covariance))[[names.index(name) for name in FIXED_BY_DATA]]
