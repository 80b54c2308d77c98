"""The numbers that decide a verdict, and what a verdict is made of."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

INTERVAL = 0.9  # level of the intervals that are reported

MAX_R_HAT = 1.01
MIN_ESS_PER_CHAIN = 100
MAX_DIVERGING = 1e-3  # of all transitions
MAX_SHARD_R_HAT = 1.05  # a shard only shapes a proposal
MIN_AGREEMENT_P = 1e-3
MAX_K_HAT = 0.7
MAX_DRIFT, MAX_GROWTH = 0.25, 1.1  # of moments that have settled
MAX_DEVIATION = 0.1  # of log densities of compressed maps, sd
MIN_SHARE = 0.99  # of the posterior, around the optimum that is sampled

PRIOR_DRIVEN = 0.7  # of the prior's interval width
CONFLICT = 2.0  # of the prior's sd
MISFIT = 0.02  # of a p-value, times the number of tests
UNLIKE = 0.002  # of a p-value, times the number of comparisons with what the detector tells
SENSITIVE = 0.05  # of power-scaling, Kallioinen et al., Stat. Comput. 34:57, 2024
WIDENED = 3.0  # of the posterior's sd: by the data alone, above which priors decide
FLOW_ODDS = 10.0  # for flow against no flow, where a shear rate has an interval and not a limit
MILLION = 1e6  # odds above which evidence is not told more exactly
LIMIT = 0.95  # level of an upper limit

REWEIGHTED = "reweighted draws"  # of proposals, resampled by their weights


FAULTS: dict[str, str] = {
    # of chains: R-hat; ESS; diverging transitions, and transitions in all
    "r_hat": "R-hat is {0:.3f}, above {limit:g}",
    "ess": "the bulk ESS is {0:.0f}, below {limit:g}",
    "diverging": "{0:.0f} of {1:.0f} transitions diverged",
    # of shards: R-hat and shard; nothing; p-value, χ², degrees of freedom, and the worst shard
    "shard_r_hat": "the chains of shard {1:.0f} have R-hat {0:.3f}, above {limit:g}",
    "no_product": "the shards do not multiply to a distribution: they hold too few points",
    "disagreement": "the shards disagree (χ² = {1:.0f} on {2:.0f} degrees of freedom, "
    "shard {3:.0f} most)",
    # of a merge: the shards concerned; nothing
    "not_finite": "shards gave numbers that are not finite: {all}",
    "no_distribution": "the merge is not a distribution",
    # of weights: k-hat; ESS; drift of the means, and growth of the sds, limited to MAX_GROWTH
    "k_hat": "k-hat is {0:.2f}, not below {limit:g}",
    "weights_ess": "the weights leave an ESS of {0:.0f}, below {limit:g}",
    "unsettled": "the moments have not settled: means move by {0:.2f} sd jointly, sds grow "
    "by a factor of {1:.2f}",
    # of a fit: sd of a difference; nothing; share of the posterior that other optima hold
    "compression": "their log densities scatter by {0:.2g} about those of the maps, more than "
    "{limit:g}: the maps themselves were sampled",
    "stopped": "stopped by the time limit",
    "rival_optimum": "other optima hold about {0:.0%} of the posterior",
}
"""What can be wrong, by kind, in words; {0}, {1} ... are the numbers of a fault, {all} all."""


class Fault(NamedTuple):
    """One thing that speaks against draws.

    Attributes
    ----------
    kind : str
        What is wrong: a key of `FAULTS`.
    where : str
        Which draws: the name of an approximation, or a stage of the fit.
    found : tuple of float
        The numbers that were found, in the order in which `FAULTS` lists them.
    limit : float
        What the first of them had to keep; NaN where there is no such number.
    """

    kind: str
    where: str
    found: tuple[float, ...] = ()
    limit: float = math.nan

    def sentence(self) -> str:
        """Return the fault in words.

        >>> Fault("k_hat", "least squares fit", (0.93,), MAX_K_HAT).sentence()
        'least squares fit: k-hat is 0.93, not below 0.7.'
        """
        every = ", ".join(f"{number:g}" for number in self.found)
        return (
            f"{self.where}: {FAULTS[self.kind].format(*self.found, limit=self.limit, all=every)}."
        )


def faults_to_json(faults: Iterable[Fault]) -> list[dict[str, Any]]:
    """Return faults as JSON holds them: NaN is null, infinity a string."""
    return [
        fault._asdict() | {"found": [*map(_plain, fault.found)], "limit": _plain(fault.limit)}
        for fault in faults
    ]


def faults_from_json(stored: Iterable[Mapping[str, Any]]) -> tuple[Fault, ...]:
    """Return the faults that `faults_to_json` made plain."""
    return tuple(
        Fault(
            fault["kind"],
            fault["where"],
            tuple(map(_number, fault["found"])),
            _number(fault["limit"]),
        )
        for fault in stored
    )


def _plain(number: float) -> float | str | None:
    if math.isnan(number):
        return None
    return float(number) if math.isfinite(number) else str(float(number))


def _number(stored: float | str | None) -> float:
    return math.nan if stored is None else float(stored)
