"""The foreign study: every row measures something, and counts are right."""

from dataclasses import replace

import numpy as np
import pytest

from tests.foreign.formula import diffusion
from tests.foreign.rows import ROWS
from tests.foreign.simulator import simulate, times
from tests.foreign.study import experiment, summary


@pytest.mark.parametrize("name", ROWS)
def test_a_row_makes_finite_maps_and_rates_that_are_positive(name):
    rng = np.random.default_rng(0)
    sample, beam = ROWS[name].draw(rng)
    maps = simulate(sample, replace(beam, num_pixels=60, photons=20.0), 0).c2
    assert maps.shape == (len(beam.phi), beam.num_frames, beam.num_frames)
    assert np.isfinite(maps).all()
    assert (diffusion(sample, times(sample, beam)[1:]) > 0).all()


def made_up(mean, misfit=()):
    """Return an experiment whose draws of the level are Normal(mean, 1), the truth 0."""
    ends = (mean + np.array([-1.64, -0.67, 0.67, 1.64])).tolist()
    level = {"truth": 0.0, "mean": mean, "sd": 1.0, "ends": ends}
    return {
        "certified": True,
        "misfit": misfit,
        "marks": {"model fits": "no" if misfit else "yes"},
        "warnings": ["Look."],
        "contrast": 1.0,
        "offset": 1.0,
        "pixels": 1.0,
        "seconds": 1.0,
        "oracle": {"level": (0.0, 0.5)},
        "targets": {"level": level},
    }


def test_intervals_are_counted():
    lines = [made_up(0.0), made_up(1.0), made_up(2.0, ["rate"]), made_up(-1.0)]
    head, _, level, no, yes, misfit, warned = summary(lines).splitlines()
    assert head.startswith("4 experiments, 4 certified, 1 misfit")
    assert level.split() == ["level", "25", "75", "0.50", "2.00", "1.00"]
    assert (no, yes) == ("  model fits: no: 1", "  model fits: yes: 3")
    assert misfit == "  misfit of rate: 1"
    assert warned == "  4 × Look.…"


@pytest.mark.slow
def test_intervals_hold_the_truth_where_the_decay_is_in_the_window():
    row = ROWS["clear"]
    lines = [experiment(row, [0, i], {}, asked=False) for i in range(40)]
    inside = [
        one["ends"][0] <= one["truth"] <= one["ends"][-1]
        for line in lines
        for one in line["targets"].values()
    ]
    assert 0.8 < np.mean(inside) < 0.98


def test_refused_experiments_are_counted_apart():
    refused = {"refused": "expected other maps"}
    text = summary([made_up(0.0), refused, refused])
    assert text.startswith("1 experiments, 1 certified")
    assert text.endswith("2 more were refused")
    assert summary([refused]) == "all 1 refused"
