"""The evidence of no flow is that of a fit of its own of the same fluid at rest."""

from dataclasses import replace

import numpy as np
import pytest

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting import still
from homodyne_bayes.fitting.sample import sample_posterior
from homodyne_bayes.fitting.still import compare_with_rest


def test_it_is_the_evidence_of_a_fit_of_the_fluid_at_rest(laminar_data, monkeypatch):
    """By another way: another start, another mode, as many draws as a fit has."""
    config = FitConfig(method="laplace", noise="independent", num_samples=200, rescue_pairs=0)
    at_rest = replace(config, model="static")
    rest = sample_posterior(laminar_data, at_rest).inference.certificate
    made = sample_posterior(laminar_data, config)
    by_laplace = compare_with_rest(laminar_data, made, made.plan.config.record.still)
    monkeypatch.setattr(still, "BEYOND_DOUBT", np.inf)
    found = compare_with_rest(laminar_data, made, made.plan.config.record.still)
    assert found.k_hat < 0.7
    error = np.hypot(rest.log_evidence_error, found.error)
    expected = made.inference.certificate.log_evidence - rest.log_evidence
    assert found.log_bayes_factor == pytest.approx(expected, abs=4.5 * error)
    assert found.log_bayes_factor > 100
    assert by_laplace.log_bayes_factor == pytest.approx(expected, abs=5)
    assert np.isnan(by_laplace.error)


def test_a_model_without_flow_has_none(speckle_result):
    assert "still" not in speckle_result.children
