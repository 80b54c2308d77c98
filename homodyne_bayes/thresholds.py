"""The numbers that decide a verdict, and what a verdict is made of."""

from typing import NamedTuple

INTERVAL = 0.9  # level of the intervals that are reported

MAX_R_HAT = 1.01
MIN_ESS_PER_CHAIN = 100
MAX_DIVERGING = 1e-3  # of all transitions
MAX_SHARD_R_HAT = 1.05  # a shard only shapes a proposal
MIN_AGREEMENT_P = 1e-3
MAX_K_HAT = 0.7
MAX_DRIFT, MAX_GROWTH = 0.25, 1.1  # of moments that have settled
MIN_SHARE = 0.99  # of the posterior, around the optimum that is sampled

PRIOR_DRIVEN = 0.7  # of the prior's interval width
CONFLICT = 2.0  # of the prior's sd
MISFIT = 0.01  # of a p-value, times the number of tests
SENSITIVE = 0.05  # of power-scaling, Kallioinen et al., Stat. Comput. 34:57, 2024


class Fault(NamedTuple):
    """One thing that speaks against draws; `homodyne_bayes.results.sentences` says it in words.

    Attributes
    ----------
    kind : str
        What is wrong: a key of the table of sentences.
    where : str
        Which draws: the name of an approximation, or a stage of the fit.
    found : tuple of float
        The numbers that were found, in the order in which the sentence quotes them.
    limit : float
        What the first of them had to keep; NaN where there is no such number.
    """

    kind: str
    where: str
    found: tuple[float, ...] = ()
    limit: float = float("nan")
