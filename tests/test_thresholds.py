"""A verdict is data: every fault has words, and comes back from JSON as it was."""

import json
import math

import pytest

from homodyne_bayes.thresholds import FAULTS, Fault, faults_from_json, faults_to_json


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_has_words_and_is_stored(kind):
    fault = Fault(kind, "some draws", (1.5, 2.0, 3.0, 4.0), 0.7)
    stored = json.dumps(faults_to_json([fault]), allow_nan=False)
    assert faults_from_json(json.loads(stored)) == (fault,)
    assert fault.sentence().startswith("some draws: ")
    assert "{" not in fault.sentence()


def test_numbers_that_are_not_finite_are_stored():
    fault = Fault("r_hat", "chains", (math.inf, math.nan))
    stored = json.dumps(faults_to_json([fault]), allow_nan=False)
    (again,) = faults_from_json(json.loads(stored))
    assert again.found[0] == math.inf
    assert math.isnan(again.found[1])
    assert math.isnan(again.limit)
