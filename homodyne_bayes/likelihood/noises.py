"""The table of noises."""

from homodyne_bayes.likelihood.corrected import CORRECTED
from homodyne_bayes.likelihood.independent import INDEPENDENT
from homodyne_bayes.likelihood.noise import Noise
from homodyne_bayes.likelihood.speckle import SPECKLE

NOISES: dict[str, Noise] = {
    "speckle": SPECKLE,
    "corrected": CORRECTED,
    "independent": INDEPENDENT,
}
