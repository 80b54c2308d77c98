"""The parts of the page, in order: what each is called, what it says first, and whether it folds.

Tables and figures name the part in which they stand.
"""

from collections.abc import Callable
from typing import NamedTuple

from homodyne_bayes.results import diagnostics
from homodyne_bayes.results.diagnostics import Numbers, group


class Part(NamedTuple):
    """One part of the page.

    Attributes
    ----------
    title : str
        Heading.
    lead : callable
        Makes the sentences under it.
    folded : bool
        Whether it is closed until a reader opens it; in print all are open.
    """

    title: str
    lead: Callable[[Numbers], list[str]] = lambda _: []
    folded: bool = False


def _of_computing(numbers: Numbers) -> list[str]:
    """Return how draws came about, in plain words, and what their numbers mean."""
    said, limit = [], numbers.limits["max_k_hat"]
    if "shard_checks" in numbers.tree.children:
        count = group(numbers.tree, "shard_checks").sizes["shard"]
        said.append(
            f"The data were dealt to {count} shards, parts that are sampled at the same time by "
            "Markov chains of their own (NUTS). A merge makes one approximation of the posterior "
            "of all the data from the draws of all shards."
        )
    if diagnostics.all_by_nuts(numbers.tree):
        said.append(
            "Several Markov chains (NUTS) walked through the posterior of all the data. R-hat is 1 "
            "where they agree, and the ESS is how many independent draws theirs are worth."
        )
    else:
        said.append(
            "An approximation is only nearly right, so each of its draws is weighed by how likely "
            "all the data make it. k-hat says how uneven the weights are: below 0.5 they are even, "
            f"and from {limit:g} on a few draws carry nearly all the weight, so that what is "
            "averaged over them cannot be trusted. The ESS is how many independent draws the "
            "weighed ones are worth."
        )
    return said


def _of_draws(_numbers: Numbers) -> list[str]:
    return [
        "A posterior is known by draws from it, sets of parameters as likely as the data and the "
        "priors make them. D₀ and D_offset, say, can trade against each other while D(t) stays: "
        "the figures show what goes together."
    ]


def _of_priors(_numbers: Numbers) -> list[str]:
    return [
        "A prior is what is held of a parameter before the data are seen. Where the posterior is "
        "as wide as the prior, the data said nothing."
    ]


PARTS: dict[str, Part] = {
    "found": Part("What was found"),
    "checks": Part("Does the model describe the data?"),
    "draws": Part("All parameters and their draws", _of_draws, folded=True),
    "computing": Part("How it was computed: shards, merge, certificate", _of_computing, True),
    "priors": Part("What the priors say", _of_priors, folded=True),
    "noise": Part("Noise and detector", folded=True),
    "records": Part("Data, settings, provenance, versions", folded=True),
}
