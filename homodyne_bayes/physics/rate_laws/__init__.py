"""One file a rate law, and the table of them."""

from homodyne_bayes.physics.rate_laws.constant import CONSTANT
from homodyne_bayes.physics.rate_laws.cosine import COSINE
from homodyne_bayes.physics.rate_laws.exponential import EXPONENTIAL
from homodyne_bayes.physics.rate_laws.growth import GROWTH
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rate_laws.switched import START, STOP
from homodyne_bayes.physics.rates import RateLaw

RATE_LAWS: dict[str, RateLaw] = {
    "power_law": POWER_LAW,
    "constant": CONSTANT,
    "exponential": EXPONENTIAL,
    "growth": GROWTH,
    "start": START,
    "stop": STOP,
    "cosine": COSINE,
}
