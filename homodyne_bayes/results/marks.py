"""The verdict on a result: three marks, each with its state and one plain sentence.

A result is computed right where its draws can be taken for the posterior of all the data, it fits
where no test of misfit finds a departure, and it is decided by the data where priors do not set
what is reported of the fluid. Only where all three hold can the numbers be taken as they stand.
"""

from collections.abc import Callable
from typing import NamedTuple

from homodyne_bayes.results import influence, sentences
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.text import joined

YES, NO, CANNOT_TELL, IN_PART = "yes", "no", "cannot tell", "in part"
SIGNS = {YES: "✓", NO: "✗", CANNOT_TELL: "?", IN_PART: "~"}
KINDS = {YES: "good", NO: "bad", CANNOT_TELL: "open", IN_PART: "open"}
HEADS = {
    "good": "All three marks hold",
    "bad": "Not all three marks hold",
    "open": "Nothing speaks against it, but not all is decided",
}


class Mark(NamedTuple):
    """One part of the verdict.

    Attributes
    ----------
    name : str
        "computed right", "model fits" or "decided by the data".
    state : str
        "yes", "no", "cannot tell" or "in part".
    sentence : str
        What it rests on.
    """

    name: str
    state: str
    sentence: str

    @property
    def sign(self) -> str:
        """The state as one character."""
        return SIGNS[self.state]

    @property
    def kind(self) -> str:
        """The state as a colour has it: "good", "bad" or "open"."""
        return KINDS[self.state]

    def __str__(self) -> str:
        """Return sign, name and state."""
        return f"{self.sign} {self.name}: {self.state}"


def marks(numbers: Numbers) -> list[Mark]:
    """Return the three marks of a result."""
    return [Mark(name, *judge(numbers)) for name, judge in MARKS.items()]


def kind(three: list[Mark]) -> str:
    """Return "good" where all marks hold, "bad" where one does not, or else "open"."""
    kinds = [mark.kind for mark in three]
    return "bad" if "bad" in kinds else "open" if "open" in kinds else "good"


def verdict(three: list[Mark]) -> str:
    """Return all marks in one line."""
    return "  ".join(map(str, three))


def _computed(numbers: Numbers) -> tuple[str, str]:
    return YES if numbers.certified else NO, sentences.computed(numbers)


def _fits(numbers: Numbers) -> tuple[str, str]:
    tested, kinds = len(numbers.misfit_tests), numbers.departures
    meanings = numbers.words("misfit")
    causes = [meanings.get(name, "all kinds of misfit together") for name in kinds]
    causes += sentences.baseline(numbers)
    if causes:
        others = len(causes) - 1 + len(numbers.unlike)
        more = (
            f" That is the largest of {others + 1} departures: see the warnings." if others else ""
        )
        return NO, f"The data depart from the model: {causes[0]}.{more}"
    if numbers.unlike:
        return NO, " ".join(comparison.sentence() for comparison in numbers.unlike)
    if not tested:
        return CANNOT_TELL, (
            "Under this noise there are no tests of misfit; under noise speckle there are."
        )
    return YES, f"None of {tested} tests of misfit finds a departure from the model."


def _decided(numbers: Numbers) -> tuple[str, str]:
    """Say whether priors set what is reported of the fluid."""
    flow, rest = numbers.flow, numbers.undecided
    minor = [name for name in numbers.prior_driven if not (flow and flow.leaves_open(name))]
    also = f"; the prior sets {joined(minor)}" if minor else ""
    at = influence.sampled_for(numbers.tree)
    set_by_prior = [name for name in rest if at[name] in numbers.prior_driven]
    if set_by_prior:
        return NO, f"The prior sets {joined(set_by_prior)}: the data say little about it."
    if rest:
        wide = f"the interval of {joined([*rest])} would be {max(rest.values()):.0f} times as wide"
        return IN_PART, (
            f"By the data alone {wide}: it rests on the priors, above all that the baseline is 1 "
            "and all angles have one contrast. Where that is not so, as in an uneven beam or with "
            f"hot pixels, it is wrong{also}."
        )
    if flow is not None and not flow.decided:
        said = f"A sample at rest is not excluded: the {flow.meaning} has an upper limit only"
        return IN_PART, f"{said}{also}."
    if flow is not None and not (flow.trusted or flow.log_bayes_factor >= sentences.CLEAR):
        return CANNOT_TELL, f"Whether a sample at rest is excluded is uncertain{also}."
    return YES, f"The data decide what is reported of the fluid{also}."


MARKS: dict[str, Callable[[Numbers], tuple[str, str]]] = {
    "computed right": _computed,
    "model fits": _fits,
    "decided by the data": _decided,
}
