"""The budget of uncertainty of a result: statistics, and q, the gap, dt and the azimuth's zero.

In the words of the GUM (JCGM 100): the statistical part is of type A, what was stated of q and the
like of type B, each a standard uncertainty, that is an sd; the combined one is of all together.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from homodyne_bayes.results import store
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.levels import ends
from homodyne_bayes.results.quantities import Quantity, derived, fitted
from homodyne_bayes.results.store import group
from homodyne_bayes.text import joined, percent, plain, short

STATISTICS = "statistics"
NEGLIGIBLE = 1e-9  # of a value and its sd: rounding
SUPPOSED = 0.03  # of the gap, where nothing is stated of it

Interval = tuple[float, float]


class Line(NamedTuple):
    """What is known of one quantity.

    Attributes
    ----------
    quantity : Quantity
        Its draws, statistical and combined.
    label : str
        What to call it.
    told : bool
        Whether it is told how it follows what was stated.
    """

    quantity: Quantity
    label: str
    told: bool

    @property
    def median(self) -> float:
        """Median of the statistical draws."""
        return float(np.median(self.quantity.draws))

    @property
    def statistical(self) -> Interval:
        """Interval of the posterior."""
        return self.quantity.widest

    @property
    def combined(self) -> Interval:
        """Interval with what was stated; the statistical one where that has no part."""
        return self.statistical if self.moved is None else self.quantity.widest_combined

    @property
    def systematic(self) -> Interval | None:
        """Interval that what was stated alone makes about the median; None without a part."""
        if self.moved is None:
            return None
        return ends(self.median + self.moved - self.quantity.draws, self.quantity.levels[-1])

    @property
    def moved(self) -> np.ndarray | None:
        """Combined draws, (S,), where what was stated has a part."""
        return self.quantity.combined if any(self.sds[n] for n in self.quantity.added) else None

    @property
    def sds(self) -> dict[str, float]:
        """Standard uncertainties by source, "statistics" first; 0 where one has no part."""
        sd = float(self.quantity.draws.std())
        least = NEGLIGIBLE * (abs(self.median) + sd)
        added = {n: value if value > least else 0.0 for n, value in self.quantity.added.items()}
        return {STATISTICS: sd, **added}

    @property
    def dominating(self) -> str:
        """The source with the largest standard uncertainty."""
        return max(self.sds, key=lambda name: self.sds[name])

    @property
    def share(self) -> float:
        """Part of the variance that is that of the dominating source."""
        variances = {name: sd**2 for name, sd in self.sds.items()}
        return variances[self.dominating] / (math.fsum(variances.values()) or 1.0)


def stated(tree: xr.DataTree) -> dict[str, float]:
    """Return the standard uncertainties that were stated; none where q and the like are exact."""
    if "factors" not in tree.children:
        return {}
    held = group(tree, "factors")
    return {str(name): float(factor.attrs["uncertainty"]) for name, factor in held.items()}


def lines(tree: xr.DataTree) -> list[Line]:
    """Return the rates at t_ref, then the reported parameters, contrast and offset of every map."""
    rates, rows = group(tree, "rates"), store.parameters(tree)
    at_reference = [q for q in derived(tree) if q.name in rates] if len(rates) else []
    symbols = {str(name): str(rate.attrs["symbol"]) for name, rate in rates.items()}
    of_rates = [(q, symbols[q.name].removesuffix("(t)") + "(t_ref)") for q in at_reference]
    quantities = [*of_rates, *((q, rows[q.name].symbol) for q in fitted(tree))]
    return [Line(q, label, q.combined is not None) for q, label in quantities]


def recorded(numbers: Numbers) -> dict[str, Any]:
    """Return the budget as JSON holds it: what was stated, in words, and every quantity.

    Of a quantity: median, the widest intervals, statistical, systematic (None where there is no
    such part) and combined, standard uncertainties by source, and which dominates.
    """
    tree = numbers.tree
    names = stated(tree)
    made = {"stated": names, "sentences": sentences(numbers)}
    return plain({**made, "budget": [_recorded(line) for line in lines(tree)]} if names else made)


def _recorded(line: Line) -> dict[str, Any]:
    quantity = line.quantity
    named = {"name": quantity.name, "unit": quantity.unit or "1", **quantity.at}
    if quantity.kind != "interval":
        limits = {"upper_limit": quantity.limit, "combined_upper_limit": quantity.combined_limit}
        return {**named, "kind": quantity.kind, **limits}
    parts = {name: getattr(line, name) for name in ("statistical", "systematic", "combined")}
    said = {"sd": line.sds, "dominating": line.dominating} if line.told else {}
    return {**named, "kind": quantity.kind, "median": line.median, **parts, **said}


def sentences(numbers: Numbers) -> list[str]:
    """Return what was stated and what dominates; or what intervals leave out, in one sentence."""
    tree = numbers.tree
    names = stated(tree)
    if not names:
        return [_statistical_only(numbers)]
    held = group(tree, "factors")
    titles = {name: f"The {held[name].attrs['long_name']} dominates" for name in names}
    said = [
        f"{name} {value:g}°" if held[name].attrs["units"] else f"{name} {percent(value)}"
        for name, value in names.items()
    ]
    rates = group(tree, "rates")
    dominated = [
        _dominated(line, titles)
        for line in lines(tree)
        if line.quantity.name in rates and line.told and line.quantity.kind == "interval"
    ]
    return [
        "Combined intervals hold, beside the statistical part (type A), what was stated of "
        f"{joined(said)} (type B, standard uncertainties).",
        *dominated,
    ]


def _dominated(line: Line, titles: Mapping[str, str]) -> str:
    shares = {name: percent(sd / abs(line.median)) for name, sd in line.sds.items() if sd}
    most = line.dominating
    others = ", ".join(f"{name} {share}" for name, share in shares.items() if name != most)
    said = f"{titles.get(most, 'Statistics dominate')} {line.label}: {shares[most]}"
    return f"{said} ({others})." if others else f"{said}."


def _statistical_only(numbers: Numbers) -> str:
    """Return that intervals are statistical, and what an error of the gap would do to flow."""
    said = "The intervals are statistical only, with q, dt, the gap and azimuths as stated"
    for name, rate in group(numbers.tree, "rates").items():
        power = json.loads(rate.attrs.get("follows", "{}")).get("gap")
        if power and not (numbers.flow and numbers.flow.leaves_open(str(name))):
            (draws,) = [q.draws for q in derived(numbers.tree) if q.name == name]
            own = float(draws.std() / abs(np.median(draws)))
            symbol = str(rate.attrs["symbol"]).removesuffix("(t)")
            return (
                f"{said}: if the gap is known to {percent(SUPPOSED)}, {symbol}(t_ref) is known to "
                f"{percent(math.hypot(own, power * SUPPOSED))} and not to {percent(own)} (sd); "
                f"--uncertainty gap={SUPPOSED:g} says so everywhere."
            )
    return f"{said}; --uncertainty q=0.01 adds what is known of them."


def row(line: Line) -> dict[str, Any]:
    """Return a line as a row of numbers, for a table in Python."""
    made = _recorded(line)
    ends = {
        f"{name}_{end}": value
        for name in ("statistical", "systematic", "combined")
        for end, value in zip(
            ("lower", "upper"), made.get(name) or (math.nan, math.nan), strict=True
        )
    }
    told = {"median": made.get("median", math.nan), "dominating": made.get("dominating", "")}
    where = ", ".join(
        f"{key}={short(v) if isinstance(v, float) else v}" for key, v in line.quantity.at.items()
    )
    return {"name": made["name"], "at": where, "unit": made["unit"], **told, **ends}
