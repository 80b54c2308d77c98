"""Result files of ESRF ID02, made by hand from their description: points over age and lag."""

import json

import h5py
import jax
import numpy as np
import pytest
import scipy.stats

from homodyne_bayes import InputError
from homodyne_bayes.cli import main
from homodyne_bayes.data import reading
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from homodyne_bayes.results import figures, figures_of_maps, page, store
from homodyne_bayes.studies import rerun
from tests.bad_inputs import DT, maps
from tests.data.test_points import LAGS, SPARSE, G, at_lags
from tests.truth import STATIC

V1, V2 = "entry_0000/dynamix/correlations/directions", "entry_0000/correlations"
Q = (0.05, 0.054, 0.06)  # 1/nm


def over_lags(matrix, ages, lags, fill):
    """Return a map over ages and lags, both in frames; ``fill`` where no two frames are."""
    found = np.full((len(ages), len(lags)), fill)
    for a, age in enumerate(ages):
        for k, lag in enumerate(lags):
            first, last = age - lag / 2, age + lag / 2
            if first >= 0 and last < len(matrix) and first == round(first):
                found[a, k] = matrix[int(first), int(last)]
    return found


def esrf(path, *, c2=None, dt=DT, lags=LAGS, start=0.0, fill=np.nan, keys=("full",), new=True):
    """Write maps, one a q, in each direction, over half-step ages; one age and one lag are NaN.

    The n-th direction has 0.01 n more.
    """
    c2 = maps(num_frames=G) if c2 is None else c2
    ages, lags = np.arange(2 * c2.shape[1] - 1) / 2, np.asarray(lags)
    stored = np.stack([over_lags(matrix, ages, lags, fill) for matrix in c2])
    stored = np.insert(np.insert(stored, 3, 9.0, axis=1), 2, 9.0, axis=2)
    age, lag = np.insert(start + dt * ages, 3, np.nan), np.insert(dt * lags, 2, np.nan)
    with h5py.File(path, "w") as file:
        for n, key in enumerate(keys):
            here = f"{V2 if new else V1}/{key}"
            group = f"{here}/{'twotime' if new else '2times_correlation'}"
            file[f"{group}/ttcf"] = np.where(stored == 0, 0, stored + 0.01 * n)
            file[f"{group}/age"] = age
            file[f"{group}/{'lag' if new else 'timeshift'}"] = lag if new else lag[None]
            file[f"{here}/{'parameters/q' if new else 'q_index'}"] = (
                Q[: len(c2)] if new else [2, 3, 4][: len(c2)]
            )
        if new:
            file.attrs["MagicString"] = "XPCSResultFile_v2.0"
        else:
            ranges = [[1, 0.01, 0.03], [2, 0.04, 0.06], [3, 0.053, 0.055], [4, 0.05, 0.07]]
            file["entry_0000/dynamix/correlations/q_index_min_max"] = ranges
            file["entry_0000/title"] = np.array([b"XPCSResultFile"])
            file["entry_0000"].attrs["version"] = "1.1"
    return path


def esrf_v1(path):
    return esrf(path, new=False)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("fill", [np.nan, 0.0])
@pytest.mark.parametrize("start", [0.0, 5.0])
def test_a_file_of_all_lags_is_the_maps(tmp_path, new, fill, start):
    path = esrf(tmp_path / "a.h5", new=new, fill=fill, start=start)
    data = reading.read(path, q="all")
    known = np.where(np.eye(G, dtype=bool), np.nan, maps())
    np.testing.assert_array_equal(data.c2, known)
    assert data.measured is None
    np.testing.assert_allclose(data.q, [0.005, 0.0054, 0.006], rtol=1e-12)
    assert data.dt == pytest.approx(DT, rel=1e-12)
    found = reading.contents(path)
    assert (found.format, found.num_frames) == ("esrf" if new else "esrf-v1", G)
    assert "66 of 66 pairs of frames have a value" in found.notes
    assert any("1/nm" in note for note in found.notes)
    assert any("shifted by -5 s" in note for note in found.notes) == bool(start)
    one = reading.read(path, q=0.006)
    np.testing.assert_array_equal(one.c2, known[2:])
    assert "phi" in one.provenance["assumed"]


def test_version_1_names_lags_in_either_way(tmp_path):
    path = esrf_v1(tmp_path / "a.h5")
    expected = reading.read(path, q="all").sha256()
    with h5py.File(path, "r+") as file:
        file.move(f"{V1}/full/2times_correlation/timeshift", f"{V1}/full/2times_correlation/lag")
    assert reading.read(path, q="all").sha256() == expected


def test_single_precision_is_enough(tmp_path):
    path = esrf(tmp_path / "a.h5", start=1000.0)
    with h5py.File(path, "r+") as file:
        for name in ("ttcf", "age", "lag"):
            values = file[f"{V2}/full/twotime/{name}"][...].astype("f4")
            del file[f"{V2}/full/twotime/{name}"]
            file[f"{V2}/full/twotime/{name}"] = values
    data = reading.read(path, q="all")
    assert data.c2.dtype == np.float32
    np.testing.assert_array_equal(data.c2[data.pairs], maps()[data.pairs].astype("f4"))
    assert data.measured is None


@pytest.mark.parametrize("new", [True, False])
def test_lags_that_lack_are_pairs_that_lack(tmp_path, new):
    path = esrf(tmp_path / "a.h5", lags=SPARSE, new=new)
    data = reading.read(path, q=0.0054)
    np.testing.assert_array_equal(data.pairs[0], at_lags())
    np.testing.assert_array_equal(data.c2[0][at_lags()], maps()[1][at_lags()])
    assert data.num_missing == 66 - 33
    assert "33 of 66 pairs of frames have a value" in reading.contents(path).notes


def test_means_over_bins_of_lags_lie_at_the_middle_of_the_bin(tmp_path):
    """The bins 1, 2, 3 to 4 and 5 to 8 have the lags 1, 2, 3.5 and 6.5: times in quarters."""
    path = tmp_path / "a.h5"
    ages, lags = np.arange(8, 16) / 2, np.array([0, 1, 2, 3.5, 6.5])
    values = 1 + 0.01 * ages[:, None] + 0.001 * lags
    with h5py.File(path, "w") as file:
        file.attrs["MagicString"] = b"XPCSResultFile_v2.0"
        here = f"{V2}/full"
        file[f"{here}/twotime/ttcf"], file[f"{here}/parameters/q"] = values[None], [0.054]
        file[f"{here}/twotime/age"], file[f"{here}/twotime/lag"] = DT * ages, DT * lags
    data = reading.read(path)
    assert data.dt == pytest.approx(DT / 4, rel=1e-9)
    _, lo, hi = np.nonzero(np.triu(data.pairs))
    first = 4 - 6.5 / 2  # in steps of DT: age 4, lag 6.5
    assert len(lo) == 8 * 4
    age, lag = first + (lo + hi) / 8, (hi - lo) / 4
    assert set(lag) == set(lags[1:])
    assert set(age) == set(ages)
    np.testing.assert_allclose(data.c2[0, lo, hi], 1 + 0.01 * age + 0.001 * lag, rtol=1e-12)


def test_several_directions_need_their_azimuths(tmp_path):
    path = esrf(tmp_path / "a.h5", keys=("down", "across"))
    assert any("'across', 'down'" in note for note in reading.contents(path).notes)
    with pytest.raises(InputError, match="does not tell phi; pass --phi"):
        reading.read(path, q=0.0054)
    data = reading.read(path, q=0.0054, phi=[0.0, 90.0])
    shift = np.array([0.01, 0.0])[:, None, None]  # by name: across is the second that was written
    np.testing.assert_array_equal(data.c2[data.pairs], (maps()[[1, 1]] + shift)[data.pairs])
    every = reading.read(path, q="all", phi=[0.0, 90.0])
    assert every.phi.tolist() == [0.0] * 3 + [90.0] * 3
    np.testing.assert_array_equal(every.c2[4][~np.eye(G, dtype=bool)], data.c2[1][data.pairs[1]])
    other = reading.read(path, q="all", phi=[0, 1, 2, 90, 91, 92])
    assert other.phi.tolist() == [0, 1, 2, 90, 91, 92]


def test_a_direction_that_holds_g2_alone_is_passed_over(tmp_path):
    path = esrf(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file[f"{V2}/across/g2/cf"] = np.ones(3)
    assert reading.read(path, q=0.0054).num_angles == 1


def compressed(path):
    """Write a map by a filter that this HDF5 does not have, bitshuffle's number stands for it."""
    with h5py.File(esrf(path), "r+") as file:
        name = f"{V2}/full/twotime/ttcf"
        shape = file[name].shape
        del file[name]
        chosen = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        chosen.set_chunk(shape)
        chosen.set_filter(32_099, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple(shape)
        h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_DOUBLE, space, chosen)
    return path


def test_a_compression_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="HDF5 filter 32099; pip install hdf5plugin"):
        reading.contents(compressed(tmp_path / "a.h5"))


def replaced(name, value):
    def change(file):
        del file[name]
        if value is not None:
            file[name] = value

    return change


@pytest.mark.parametrize(
    ("new", "change", "said"),
    [
        (True, lambda file: file.attrs.__delitem__("MagicString"), "v2.0 and its .* found 'None'"),
        (False, lambda file: file["entry_0000"].attrs.__delitem__("version"), "and its version"),
        (False, replaced("entry_0000/title", np.array([b"other"])), "found 'other'"),
        (True, replaced(f"{V2}/full/twotime", None), "direction with twotime/ttcf .* found none"),
        (True, replaced(f"{V2}/full/parameters/q", [0.1, 0.2]), r"shape \(2, 24, 13\)"),
        (True, replaced(f"{V2}/full/twotime/lag", DT * LAGS), r"shape \(3, 24, 12\)"),
        (True, replaced(f"{V2}/full/twotime/age", DT * np.arange(24.0) ** 1.1), "of a frame off"),
        (True, replaced(f"{V2}/full/twotime/age", np.full(24, np.nan)), "times, found none"),
        (True, replaced(f"{V2}/full/twotime/age", 1e6 * np.arange(24.0)), "at most 100000 frames"),
        (True, replaced(f"{V2}/full/twotime/age", 25 * np.arange(24.0)), "few pairs"),
        (True, replaced(f"{V2}/full/twotime/ttcf", np.zeros((3, 24, 13), "c8")), "complex64"),
        (False, replaced(f"{V1}/full/q_index", [2, 3, 5]), r"found \[2, 3, 5\] of \[1.0, 2.0"),
        (False, replaced(f"{V1}/full/q_index", [3, 2, 4]), "rising values of q_index"),
        (
            False,
            replaced("entry_0000/dynamix/correlations/q_index_min_max", np.ones((4, 2))),
            "columns index, lowest and highest",
        ),
    ],
)
def test_broken_files_are_refused(tmp_path, new, change, said):
    path = esrf(tmp_path / "a.h5", new=new)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=said):
        reading.read(path, q="all")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with a file in which every second lag is missing, fitted from the command line."""
    folder = tmp_path_factory.mktemp("esrf")
    experiment = simulate.Experiment(MODELS["static"], (0.0,), 24, STATIC, q=0.005, dt=0.5)
    data = simulate.independent(jax.random.key(0), experiment, 0.01)
    esrf(folder / "a.h5", c2=data.c2, dt=0.5, lags=np.arange(1, 24, 2))
    run(
        f"fit {folder}/a.h5 --model static --noise independent --q 0.005 --method laplace "
        f"--integration trapezoid --num-samples 200 --out {folder}/a.nc"
    )
    return folder


def run(line):
    devices = ["--cpu-devices", str(jax.local_device_count())]
    main.commands.main([*devices, *line.split()], standalone_mode=False)


def test_inspect_fit_and_report_from_the_command_line(fitted, capsys):
    run(f"inspect {fitted}/a.h5")
    said = capsys.readouterr().out
    for words in ("esrf", "144 of 276 pairs of frames", "1/nm", "--phi"):
        assert words in said
    with pytest.raises(InputError, match="132 pairs .* leave bin_frames at 1"):
        run(f"fit {fitted}/a.h5 --model static --bin-frames 2 --out {fitted}/b.nc")
    run(f"report {fitted}/a.nc --out {fitted}/a.html")
    page = (fitted / "a.html").read_text()
    assert "144" in page
    assert "not measured, left out" in page


def test_the_posterior_is_that_of_the_pairs_one_by_one(fitted):
    """Of drawn parameters, log likelihoods are sums over those pairs that were measured."""
    tree, data = store.read(fitted / "a.nc"), reading.read(fitted / "a.h5")
    draws = {name: x.values.ravel() for name, x in tree["posterior"].data_vars.items()}
    _, lo, hi = np.nonzero(np.triu(data.pairs))
    assert set(hi - lo) == set(range(1, 24, 2))
    time = np.maximum(data.time, data.dt / 2)
    for i in range(0, len(draws["alpha"]), 97):
        D = draws["D0"][i] * time ** draws["alpha"][i] + draws["D_offset"][i]
        J = np.append(0.0, np.cumsum(data.dt * (D[1:] + D[:-1]) / 2))
        decay = np.exp(-(data.q**2) * (J[hi] - J[lo]))
        mean = draws["offset"][i] + draws["contrast"][i] * decay
        expected = scipy.stats.norm.logpdf(data.c2[0, lo, hi], mean, draws["sigma"][i]).sum()
        found = tree["log_likelihood"].to_dataset().to_array().values.ravel()[i]
        assert found == pytest.approx(expected, abs=1e-3)


def test_a_result_gives_the_same_data_back(fitted):
    tree = store.read(fitted / "a.nc")
    data = rerun.data_of(tree)
    assert data.sha256() == reading.read(fitted / "a.h5").sha256()
    assert json.loads(tree.attrs["provenance"])["format"] == "esrf"
    assert int(tree.attrs["num_pairs"]) == 144
    assert page.facts(tree)["distinct pairs"] == "144"  # as methods quote it


def test_figures_are_drawn_with_pairs_missing(fitted):
    tree = store.read(fitted / "a.nc")
    (axes,) = figures.lag_cuts(tree).axes
    points, curve = axes.lines[:2]
    assert np.isfinite(points.get_ydata()).all()
    assert np.isfinite(curve.get_ydata()).all()
    assert len(curve.get_xdata()) == 12


def test_maps_of_many_frames_show_means_where_there_are_values(fitted, monkeypatch):
    """Of 24 frames in blocks of two, each block has a pair of an odd lag."""
    tree = store.read(fitted / "a.nc")
    c2 = tree["observed_data"]["c2"]
    monkeypatch.setattr(figures_of_maps, "MAX_SIDE", 12)
    blocks = figures_of_maps.legible(figures_of_maps.off_diagonal(c2))
    assert blocks.shape == (1, 12, 12)
    four = c2.values[0].reshape(12, 2, 12, 2).swapaxes(1, 2).reshape(12, 12, 4)
    expected = np.nanmean(four, axis=2)
    np.testing.assert_allclose(blocks.values[0], expected, rtol=1e-12)
    (image,) = figures_of_maps.maps(tree).axes[0].images
    assert image.get_array().shape == (12, 12)
