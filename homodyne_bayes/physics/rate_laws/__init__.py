"""One file a rate law, and the table of them."""

from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import RateLaw

RATE_LAWS: dict[str, RateLaw] = {"power_law": POWER_LAW}
