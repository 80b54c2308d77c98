"""Settings are checked where they come in."""

import pytest

from homodyne_bayes.config import DataConfig, read_settings
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting.settings import FitConfig, make
from tests.truth import PRIORS

BAD = [
    (FitConfig, {"num_shard": 3}, "fit.num_shard: unknown; did you mean num_shards"),
    (FitConfig, {"bananas": 3}, "fit.bananas: unknown; known are model"),
    (FitConfig, {"num_shards": "x"}, "fit.num_shards: .*integer.*found 'x'"),
    (FitConfig, {"num_shards": 1}, "fit.num_shards: .*greater than or equal to 2, found 1"),
    (FitConfig, {"method": "nuts"}, "fit.method: .*consensus, laplace, full, found 'nuts'"),
    (FitConfig, {"rescue_pairs": -1}, "fit.rescue_pairs: .*greater than or equal to 0, found -1"),
    (FitConfig, {"num_samples": 2.5}, "fit.num_samples: .*found 2.5"),
    (FitConfig, {"merge": "mean"}, "fit.merge: .*parametric, cavity, found 'mean'"),
    (FitConfig, {"convention": "new"}, "fit.convention: .*upstream, gap-average, found 'new'"),
    (FitConfig, {"target_accept_prob": 1.0}, "fit.target_accept_prob: .*less than 1"),
    (FitConfig, {"seed": -1}, "fit.seed: .*found -1"),
    (FitConfig, {"priors": {"phi0": [0, 0]}}, r"fit.priors.phi0.1: .*greater than 0, found 0"),
    (FitConfig, {"priors": {"phi0": 3}}, "fit.priors.phi0: .*found 3"),
    (FitConfig, {"priors": ["phi0"]}, "fit.priors.phi0.0: .*number"),
    (DataConfig, {"q": "wide"}, "data.q.0: .*number.*found 'wide'"),
    (DataConfig, {"angles": "0,x"}, r"data.angles.1.*number.*found 'x'"),
    (DataConfig, {"phi": "0,x"}, "data.phi.1: .*number.*found 'x'"),
    (DataConfig, {"exclude_frames": "3,x-5"}, "data.exclude_frames: .*found '3,x-5'"),
    (DataConfig, {"exclude_frames": "0-99999999999"}, "data.exclude_frames: .*at most"),
]


@pytest.mark.parametrize(("kind", "settings", "message"), BAD)
def test_bad_settings(kind, settings, message):
    with pytest.raises(InputError, match=message):
        make(kind, settings)


def test_typed_text_and_yaml_values_mean_the_same():
    typed = make(FitConfig, {"num_shards": "2", "priors": ["phi0=0,10", "D_bend=0.1,0.5"]})
    values = {"num_shards": 2, "priors": {"phi0": [0, 10], "D_bend": [0.1, 0.5]}}
    assert typed == make(FitConfig, values)
    typed = make(DataConfig, {"phi": "0, 30,-60", "exclude_frames": "3,10-12"})
    assert typed == DataConfig(phi=(0.0, 30.0, -60.0), exclude_frames=(3, 10, 11, 12))


def test_priors_replace_rows_by_location_and_scale_of_the_value():
    chosen = {"sigma": (0.02, 0.01), "phi0": (30.0, 5.0), "offset": (1.0, 0.05)}
    table = FitConfig(noise="independent", priors=chosen).prior_table()
    assert [str(table[name]) for name in chosen] == [
        "Lognormal(-3.91202, 0.5)",
        "Normal(30, 5)",
        "Normal(1, 0.05)",
    ]
    assert {name: table[name] for name in table if name not in chosen} == {
        name: prior for name, prior in PRIORS.items() if name not in chosen
    }
    with pytest.raises(InputError, match="fit.priors.D1: unknown"):
        FitConfig(priors={"D1": (1e4, 1e3)})


BAD_FILES = [
    (b"fit: [", "syntax error"),
    (b"\xff\xfe\x00", "could not read"),
    (b"fitting:\n  seed: 1\n", "unknown section 'fitting'; did you mean fit"),
    (b"- 1\n", "expected sections data and fit, found list"),
    (b"fit: 3\n", "fit must hold settings, found 3"),
    (b"fit: !!python/object:os.system {}\n", "syntax error"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES)
def test_bad_settings_files(tmp_path, content, message):
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_settings(path)


def test_a_settings_file(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("data:\n  gap: 2.0e+6\nfit:\n  num_shards: 2\n  priors:\n    phi0: [0, 8]\n")
    sections = read_settings(path)
    assert make(DataConfig, sections["data"]).gap == 2e6
    assert make(FitConfig, sections["fit"]).priors == {"phi0": (0.0, 8.0)}
    path.write_text("")
    assert read_settings(path) == {"data": {}, "fit": {}} == read_settings(None)


def test_a_range_in_a_settings_file_is_text_and_no_number_in_base_60(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(
        "data:\n  angles: [0, 10:20, -10:10]\n  q: 5e-3\n  first_lag: 010\n"
        "fit:\n  bounds:\n    alpha: -2:0\n  seed: 0x10\n  compress: false\n"
    )
    sections = read_settings(path)
    data = make(DataConfig, sections["data"])
    assert (data.angles, data.q, data.first_lag) == ((0.0, "10:20", "-10:10"), (5e-3,), 10)
    fit = make(FitConfig, sections["fit"])
    assert (fit.stated["alpha"].low, fit.stated["alpha"].high) == (-2.0, 0.0)
    assert (fit.seed, fit.compress) == (16, False)


def test_missing_settings_file(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.yaml: .*could not read"):
        read_settings(tmp_path / "nowhere.yaml")
