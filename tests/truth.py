"""What tests share of the two built-in models: typical truths, rows, priors, complete models."""

from homodyne_bayes.fitting.plan import models_of
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.likelihood.scaling import SCALINGS
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.parameters import priors_of

LAMINAR = dict(MODELS["laminar_flow"].example)
STATIC = dict(MODELS["static"].example)

DIFFUSION = MODELS["static"].reported
SHEAR = MODELS["laminar_flow"].reported[len(DIFFUSION) :]
COORDINATES = tuple(r.name for r in MODELS["laminar_flow"].table if r.role == "coordinate")
ROWS = FitConfig(noise="independent").parameters
PARAMETERS = {row.name: row for scaling in SCALINGS.values() for row in scaling.parameters} | {
    row.name: row for row in ROWS
}
PRIORS = priors_of(ROWS)

LAMINAR_MODEL = models_of(FitConfig()).least_squares  # contrast, offset, independent noise
STATIC_MODEL = models_of(FitConfig(model="static")).least_squares
STATED = {"q": 0.01, "gap": 0.03, "dt": 0.001, "phi": 0.5}  # standard uncertainties
