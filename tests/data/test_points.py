"""Lists of points: every value at its two times and nowhere else, and fits of what there is."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.flatten_util import ravel_pytree

from homodyne_bayes import FitConfig, InputError, TwoTimeData
from homodyne_bayes.data import points, reading, writing
from homodyne_bayes.fitting import plan as planning
from homodyne_bayes.fitting import shards as dealing
from homodyne_bayes.fitting.plan import plan
from homodyne_bayes.inference import density
from homodyne_bayes.likelihood.independent import INDEPENDENT
from homodyne_bayes.likelihood.marginal import MarginalNormal, NormalPrior
from homodyne_bayes.physics import points as grids
from tests.bad_inputs import DT, good_data, maps
from tests.physics.test_shards import NEAR_THE_TRUTH, TRAPEZOID, obvious_log_likelihood
from tests.truth import LAMINAR_MODEL

G = 12
LAGS = np.arange(G)
SPARSE = np.array([0, 1, 2, 4, 8])


def sparse_points(lags=SPARSE, dt=DT, start=0.0):
    """Return phi, t1, t2 and c2 of the pairs of three maps at some lags."""
    phi, first, lag = (
        axis.ravel() for axis in np.meshgrid(np.arange(3), np.arange(G), lags, indexing="ij")
    )
    inside = first + lag < G
    phi, lo, hi = phi[inside], first[inside], (first + lag)[inside]
    return np.array([-30.0, 10.0, 75.0])[phi], start + dt * lo, start + dt * hi, maps()[phi, lo, hi]


def sparse_data(**changes):
    """Return data at some lags only."""
    return points.from_points(*sparse_points(**changes), q=0.0054, gap=2e6)


def at_lags(lags=SPARSE):
    lag = np.abs(np.subtract.outer(np.arange(G), np.arange(G)))
    return np.isin(lag, lags) & (lag > 0)


# lists of points


def test_a_complete_list_is_the_map():
    data = sparse_data(lags=LAGS)
    assert data.measured is None
    known = np.where(np.eye(G, dtype=bool), np.nan, maps())
    assert data.sha256() == replace(good_data(), dt=data.dt, c2=known).sha256()
    assert data.dt == pytest.approx(DT, rel=1e-12)


def test_pairs_that_were_not_measured_are_known():
    data = sparse_data(start=5.0)
    np.testing.assert_array_equal(data.pairs, np.broadcast_to(at_lags(), (3, G, G)))
    np.testing.assert_array_equal(data.c2[data.pairs], maps()[data.pairs])
    assert np.isnan(data.c2[~data.pairs]).all()
    assert data.usable.all()
    assert data.num_pairs == 3 * (11 + 10 + 8 + 4)
    assert data.num_missing == 3 * 66 - data.num_pairs
    assert data.provenance["assumed"] == ["times were shifted by -5 s to start at 0"]


def test_a_list_is_read_in_any_order_of_times_and_points():
    phi, t1, t2, c2 = sparse_points()
    turned = np.random.default_rng(0).random(len(c2)) < 0.5
    t1, t2 = np.where(turned, t2, t1), np.where(turned, t1, t2)
    order = np.random.default_rng(1).permutation(len(c2))
    other = points.from_points(phi[order], t1[order], t2[order], c2[order], q=0.0054, gap=2e6)
    assert other.sha256() == sparse_data().sha256()


@pytest.mark.parametrize(("part", "lag"), [(1, 3.0), (2, 3.5), (4, 2.75)])
def test_the_frame_is_the_largest_part_of_the_smallest_lag(part, lag):
    """Times of one lag of a step, and one that lies on whole, half or quarter steps."""
    first = np.concatenate([np.arange(8.0), np.arange(0, 8, 1 / part)])
    later = first + np.repeat([1.0, lag], [8, 8 * part])
    if part == 2:
        first = first[: 8 + 16]
    data = points.from_points(
        0.0, DT * first, DT * later, 1 + 0.01 * first + 0.001 * later, q=0.0054
    )
    assert data.dt == pytest.approx(DT / part, rel=1e-9)
    _, lo, hi = np.nonzero(np.triu(data.pairs))
    at = np.rint(part * first).astype(int), np.rint(part * later).astype(int)
    assert set(zip(lo, hi, strict=True)) == set(zip(*at, strict=True))
    np.testing.assert_allclose(data.c2[0, lo, hi], 1 + (0.01 * lo + 0.001 * hi) / part, rtol=1e-12)


def test_frames_of_zeros_before_the_record_are_not_its_start():
    phi, t1, t2, c2 = sparse_points()
    early = np.linspace(-0.4, -0.1, 4)
    padded = points.from_points(
        np.append(phi, np.full(4, 10.0)),
        np.append(t1, early),
        np.append(t2, early + 1.0),
        np.append(c2, np.zeros(4)),
        q=0.0054,
        gap=2e6,
    )
    assert padded.sha256() == sparse_data().sha256()


def spoiled(name, change):
    """Return columns of points, one of them changed."""
    columns = dict(zip(("phi", "t1", "t2", "c2"), sparse_points(), strict=True))
    columns[name] = change(columns[name].copy())
    return columns


def doubled(*names):
    """Return columns of points, the second one once more, with its times under these names."""
    columns = dict(zip(("phi", "t1", "t2", "c2"), sparse_points(), strict=True))
    second = {name: columns[other][1] for name, other in zip(columns, names, strict=True)}
    return {name: np.append(column, second[name]) for name, column in columns.items()}


def put(at, value):
    def change(column):
        column[at] = value
        return column

    return change


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (spoiled("t2", put(7, 0.333)), "0.333 s is 0.3. of a frame off"),
        (spoiled("t2", put(7, 1e9)), "at most 100000 frames"),
        (spoiled("t2", put(7, np.inf)), "t2 must be finite, but has 1 other"),
        (spoiled("c2", put(7, np.inf)), "c2 must be finite, but at phi = -30 1 pairs"),
        (spoiled("c2", lambda c2: np.full_like(c2, np.nan)), "two different times, found none"),
        (spoiled("t1", lambda t1: t1[1:]), "t1 must be a list of real numbers as long as c2"),
        (spoiled("phi", lambda phi: phi.astype(str)), "phi must be a list of real numbers"),
        (doubled("phi", "t1", "t2", "c2"), "0 s with 0.1 s occurs twice in map 0"),
        (doubled("phi", "t2", "t1", "c2"), "0.1 s with 0 s occurs twice in map 0"),
    ],
)
def test_lists_that_are_not_points_are_refused(columns, said):
    with pytest.raises(InputError, match=said):
        points.from_points(**columns, q=0.0054)


def test_a_list_of_few_pairs_among_many_frames_is_refused_before_it_is_made():
    t1 = DT * np.arange(20_000)
    with pytest.raises(InputError, match="20001 frames of 0.1 s, 3200320008 bytes .* few pairs"):
        points.from_points(0.0, t1, t1 + DT, np.ones(20_000), q=0.0054)


# likelihoods of what there is


@pytest.fixture
def lacking(laminar_data):
    """Data without every second lag."""
    time = np.arange(laminar_data.num_frames)
    odd = np.abs(np.subtract.outer(time, time)) % 2 == 1
    return replace(laminar_data, measured=np.broadcast_to(odd, laminar_data.c2.shape))


def test_every_layout_has_the_likelihood_of_the_pairs_one_by_one(lacking, monkeypatch):
    monkeypatch.setitem(dealing.BLOCK_SIZE, "cpu", 100)
    model = LAMINAR_MODEL
    layouts = [
        dealing.block_shards(lacking, 3, TRAPEZOID),
        dealing.angle_shards(lacking, 3, grids.each_map(lacking, TRAPEZOID)),
        jax.tree.map(lambda leaf: leaf[None, None], dealing.some_pairs(lacking, 0, TRAPEZOID)),
        grids.each_map(lacking, TRAPEZOID),
    ]
    layouts = [density.parts_of(one) if one.q.ndim > 1 else one for one in layouts]
    first = grids.shard(layouts[0], 0)
    theta, unravel = ravel_pytree(density.unconstrained(model, first, NEAR_THE_TRUTH))
    values = density.constrained(model, first, unravel(theta))[0]
    expected = density.log_prior_and_likelihood(model, first, theta)[0]
    expected += obvious_log_likelihood(lacking, values)
    assert lacking.num_pairs == 3 * 100
    for parts in layouts:
        assert int(parts.used.sum()) == 300
        found = density.log_density(model, parts, theta)
        assert float(found) == pytest.approx(float(expected), rel=1e-11)


def test_integrated_contrast_and_offset_are_those_of_the_pairs(lacking):
    """The integral over both is a Normal of the measured pairs with a covariance of rank two."""
    one = lacking.take([0])
    grid = grids.whole_maps(one)
    g1 = jnp.exp(-0.1 * jnp.abs(grid.time[:, None] - grid.time))[None]
    contrast, offset, sigma = NormalPrior(0.4, 0.2), NormalPrior(1.1, 0.3), 0.05
    marginal = MarginalNormal(grid, g1, (contrast, offset), INDEPENDENT, sigma)
    found = marginal.log_prob(grid.c2)
    _, lo, hi = grids.distinct_pairs(one)
    decay = np.asarray(g1[0, lo, hi] ** 2)
    covariance = sigma**2 * np.eye(len(lo)) + offset.scale**2
    covariance += contrast.scale**2 * np.outer(decay, decay)
    mean = offset.loc + contrast.loc * decay
    expected = scipy.stats.multivariate_normal.logpdf(one.c2[0, lo, hi], mean, covariance)
    assert float(found) == pytest.approx(expected, rel=1e-9)


# data that lack pairs


def test_a_mask_of_all_pairs_is_none_and_an_uneven_one_is_refused():
    every = np.ones((3, G, G), bool)
    assert good_data(measured=every).sha256() == good_data().sha256()
    with pytest.raises(InputError, match="measured must .* be symmetric"):
        good_data(measured=np.triu(every))
    with pytest.raises(InputError, match=r"shape of c2, \(3, 12, 12\)"):
        good_data(measured=every[0])


def test_selections_and_files_keep_what_was_measured(tmp_path):
    data = sparse_data()
    part = data.select(angles=[75.0, -30.0], first_frame=1, stop_frame=9, exclude_frames=[3])
    kept = at_lags()[1:9, 1:9]
    kept[2] = kept[:, 2] = False
    np.testing.assert_array_equal(part.pairs, np.stack([kept, kept]))
    assert part.excluded.tolist() == [1, 1]
    assert data.select(stop_frame=4, exclude_frames=[0]).measured is None  # lags 1 and 2 alone
    assert TwoTimeData.from_dataset(part.to_dataset()).sha256() == part.sha256()
    writing.write_netcdf(tmp_path / "a.nc", part)
    back = reading.read(tmp_path / "a.nc")
    assert back.sha256() == part.sha256()
    assert replace(part, measured=part.pairs & (part.c2 > 1.2)).sha256() != part.sha256()
    for write in (writing.write_aps_u, writing.write_nxxpcs):
        with pytest.raises(InputError, match="pairs that were not measured; write netCDF"):
            write(tmp_path / "a.h5", part)


@pytest.mark.parametrize("noise", ["speckle", "corrected"])
def test_bins_and_too_many_missing_pairs_are_refused(noise, monkeypatch):
    config = FitConfig(noise=noise, model="static")
    assert plan(sparse_data(), config).config.noise == noise
    with pytest.raises(InputError, match="found 99 pairs .* leave bin_frames at 1"):
        plan(sparse_data(), replace(config, bin_frames=2))
    monkeypatch.setattr(planning, "MAX_LISTED", 32)
    with pytest.raises(InputError, match="at most 32, found 33 .* --noise independent"):
        plan(sparse_data(), config)
    assert plan(sparse_data(lags=LAGS), config).config.noise == noise
    assert plan(sparse_data(), replace(config, noise="independent")).config.noise == "independent"


def test_first_lags_are_left_out_by_a_selection_and_in_reading(tmp_path):
    data = good_data().select(first_lag=3, exclude_frames=[4])
    later = np.abs(np.subtract.outer(np.arange(G), np.arange(G))) > 2
    later[4] = later[:, 4] = False
    np.testing.assert_array_equal(data.pairs, np.stack([later] * 3))
    assert np.isnan(data.c2[:, ~later & ~np.eye(G, dtype=bool)]).all()
    assert data.provenance["first_lag"] == 3
    assert data.select(first_lag=2).provenance["first_lag"] == 3
    writing.write_netcdf(tmp_path / "whole.nc", good_data())
    again = reading.read(tmp_path / "whole.nc", first_lag=3, exclude_frames=[4])
    assert again.sha256() == data.sha256()
    assert reading.read(tmp_path / "whole.nc", first_lag=1).measured is None
    c2 = good_data().c2.copy()
    c2[:, np.arange(G - 1), np.arange(1, G)] = np.nan
    c2[:, np.arange(1, G), np.arange(G - 1)] = np.nan
    np.savez(tmp_path / "half.npz", c2=c2, phi=data.phi)  # of lags that are not looked at
    assert reading.read(tmp_path / "half.npz", q=0.005, dt=0.1, first_lag=2).num_pairs == 3 * 55


@pytest.mark.parametrize("lag", [0, G, 1.5, True])
def test_lags_that_are_not_there_are_refused(lag):
    with pytest.raises(InputError, match=f"{lag} was given; change --first-lag"):
        good_data().select(first_lag=lag)
