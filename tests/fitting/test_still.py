"""The evidence of no flow is that of a fit of its own of the same fluid at rest."""

from dataclasses import replace

import numpy as np
import pytest

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.sample import sample_posterior


def test_it_is_the_evidence_of_a_fit_of_the_fluid_at_rest(laminar_data, laplace_result):
    """By another way: another start, another mode, as many draws as a fit has."""
    config = FitConfig(model="static", method="laplace", noise="independent", num_samples=200)
    rest = sample_posterior(laminar_data, replace(config, rescue_pairs=0)).inference.certificate
    flow, found = laplace_result["certificate"].attrs, laplace_result["still"].attrs
    assert found["k_hat"] < 0.7
    error = np.hypot(rest.log_evidence_error, found["error"])
    expected = flow["log_evidence"] - rest.log_evidence
    assert found["log_bayes_factor"] == pytest.approx(expected, abs=4.5 * error)


def test_a_model_without_flow_has_none(speckle_result):
    assert "still" not in speckle_result.children
