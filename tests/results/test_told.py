"""What the detector tells against the scatter of maps: agreement, alarms, and their error."""

import numpy as np
import pytest
import xarray as xr

from homodyne_bayes.data.two_time import DETECTOR
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.tables import shown
from homodyne_bayes.results.told import comparisons, signal_error
from homodyne_bayes.results.view import Result
from homodyne_bayes.studies.rerun import data_of
from tests.speckle_oracle import entries

PIXELS, PHOTONS = 4000.0, 2.0  # of the speckle behind `speckle_result`


def with_detector(tree, **told):
    """Return a copy of a result whose detector tells this, of every map."""
    values = {name: ("phi", np.full(3, value)) for name, value in told.items()}
    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    fixed = groups["constant_data"].drop_vars(DETECTOR, errors="ignore")
    groups["constant_data"] = fixed.assign(values)
    made = xr.DataTree.from_dict(groups)
    made.attrs = tree.attrs
    return made


def unlike(tree, **told):
    return [(one.name, one.distance > 0) for one in Numbers(with_detector(tree, **told)).unlike]


def test_right_numbers_agree(speckle_result):
    right = speckle_result  # simulated data know their detector
    photons, pixels = Numbers(right).comparisons
    assert (photons.name, pixels.name) == ("photons", "pixels")
    assert pixels.seen == pytest.approx(PIXELS, rel=0.2)
    assert photons.seen == pytest.approx(PHOTONS, rel=0.6)
    assert max(abs(photons.distance), abs(pixels.distance)) < 3
    assert Result(right).warnings() == Result(with_detector(right)).warnings()
    (table,) = [one for one in shown(Numbers(right)) if one.name == "detector"]
    assert [row[1].text for row in table.cells] == [
        "photons of a pixel in a frame",
        "pixels of a bin",
    ]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"num_pixels": PIXELS}, []),
        ({"photons": PHOTONS}, []),
        ({"num_pixels": 1.5 * PIXELS, "photons": PHOTONS}, [("pixels", False)]),
        ({"num_pixels": PIXELS / 1.5, "photons": PHOTONS}, [("pixels", True)]),
        ({"num_pixels": 30 * PIXELS}, [("pixels", False)]),
        ({"num_pixels": PIXELS / 30}, [("pixels", True)]),
        ({"photons": 10 * PHOTONS}, [("photons", False)]),
        ({"photons": PHOTONS / 10}, [("photons", True)]),
    ],
)
def test_wrong_numbers_are_noticed(speckle_result, told, expected):
    assert unlike(speckle_result, **told) == expected


def test_sentences_name_causes_and_flags(speckle_result):
    told = {"num_pixels": 1.5 * PIXELS, "photons": PHOTONS}
    (few,) = set(Result(with_detector(speckle_result, **told)).warnings()) - set(
        Result(speckle_result).warnings()
    )
    assert few.startswith("Pixels do not agree with the detector: the maps scatter as those of ")
    assert "but a bin has 6000. Either the intensity is uneven" in few
    assert "hot pixels" in few
    assert "--num-pixels" in few
    told = {"photons": 10 * PHOTONS}
    assert any(
        "it counted 20. Either the contrast is smaller" in one and "--scaling shared" in one
        for one in Result(with_detector(speckle_result, **told)).warnings()
    )


def test_nothing_is_compared_without(speckle_result, laminar_result):
    bare = Numbers(with_detector(speckle_result))
    assert bare.comparisons == []
    assert Numbers(with_detector(laminar_result, num_pixels=PIXELS)).comparisons == []
    assert not any(one.name == "detector" for one in shown(bare))
    held = speckle_result.copy()
    held["posterior"] = held["posterior"].to_dataset().drop_vars(["contrast", "offset"])
    assert comparisons(held) == []


def test_data_of_a_result_know_their_detector(speckle_result):
    data = data_of(speckle_result)
    assert data.num_pixels.tolist() == [PIXELS] * 3
    assert data.photons.tolist() == [PHOTONS] * 3


def test_the_error_is_that_of_the_information_of_all_pairs():
    """½ tr (K⁻¹ K')², less what the scale of K takes, of the dense working covariance of pairs."""
    time, signal = np.arange(30), 0.3
    g1_squared = np.exp(-np.abs(time[:, None] - time) / 8.0)
    a, b = entries(len(time))

    def product(S, T):
        """Return the covariance of pairs made of S and T."""
        return S[np.ix_(a, a)] * T[np.ix_(b, b)] + S[np.ix_(a, b)] * T[np.ix_(b, a)]

    S = signal * g1_squared + np.eye(len(time))
    moved = np.linalg.solve(product(S, S), product(g1_squared, S) + product(S, g1_squared))
    information = 0.5 * np.trace(moved @ moved) - 0.5 * np.trace(moved) ** 2 / len(a)
    exact = 1 / (signal * np.sqrt(3 * information))  # of three maps
    spectra = [np.linalg.eigvalsh(g1_squared)] * 3
    assert signal_error(spectra, signal) == pytest.approx(exact, rel=0.05)
