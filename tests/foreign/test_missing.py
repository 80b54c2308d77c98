"""Maps that lack pairs, and afterpulses without the first lags: foreign speckle, 20 times a row.

Intervals are those of mode and curvature under the noise that is found; nothing is sampled.
"""

import numpy as np
import pytest

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.plan import plan
from homodyne_bayes.fitting.sample import noise_of
from homodyne_bayes.inference.density import labels
from homodyne_bayes.physics.points import whole_maps
from homodyne_bayes.physics.rates import reference_time
from tests.foreign.formula import diffusion, slope
from tests.foreign.rows import ROWS
from tests.foreign.study import measure, seed_of

NUMBER = 20


def fitted(row, seed):
    """Return error and sd of the level and of the slope of one experiment, (2, 2), and p."""
    sample, _, _, data = measure(row, seed)
    planned = plan(data, FitConfig(method="laplace", **row.fit))
    found, points = noise_of(data, planned), whole_maps(data, planned.config.physics)
    t_ref, names = float(reference_time(points)), labels(planned.per_angle, points)
    at = [names.index(name) for name in ("log_D_ref", "D_slope")]
    truth = np.array([np.log(diffusion(sample, t_ref)), slope(sample, t_ref)])
    sd = np.sqrt(np.diag(found.covariance)[at])
    return np.array([np.asarray(found.theta)[at] - truth, sd]), found.lack_of_fit["p"]["all"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["band", "gaps", "lag-2", "afterpulse-0.3", "afterpulse-0.3-lag-2", "afterpulse-0.3-lag-3"],
)
def test_intervals_hold_the_truth_by_the_pairs_that_are_there(name):
    made = [fitted(ROWS[name], seed_of(name, 0, i)) for i in range(NUMBER)]
    (error, sd), p = np.array([one for one, _ in made]).swapaxes(0, 1), [p for _, p in made]
    inside = (np.abs(error) < 1.645 * sd).sum(axis=0)
    bias = (error / sd).mean(axis=0)
    print(name, inside, bias.round(2), np.median(sd, axis=0).round(4), np.sum(np.array(p) < 0.01))
    if name == "afterpulse-0.3":  # the first lag is there
        assert inside[0] < NUMBER / 4
        assert np.sum(np.array(p) < 0.01) > 0.9 * NUMBER
    else:
        assert (inside >= 0.75 * NUMBER).all()
        assert (np.abs(bias) < 0.7).all()
