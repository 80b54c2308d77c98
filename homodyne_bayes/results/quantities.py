"""Quantities of a result as draws: its parameters, and what follows from its rates."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from homodyne_bayes.errors import InputError
from homodyne_bayes.results import store, variables
from homodyne_bayes.results.flow import Flow, flow
from homodyne_bayes.results.levels import ends, levels, suffixes
from homodyne_bayes.results.store import group
from homodyne_bayes.text import plain
from homodyne_bayes.thresholds import INTERVAL

OF_FLOW = ("gamma_dot", "Pe")


class Quantity(NamedTuple):
    """One number of a result, as draws.

    Attributes
    ----------
    name, latex, unit : str
        In files, in a formula (empty where there is none), and as in `homodyne_bayes.parameters`.
    at : dict of str to float
        Where it holds: ``phi`` (degree), ``t`` (s), ``q`` (1/Å).
    draws : numpy.ndarray
        (S,) draws of its posterior.
    kind : {"interval", "upper limit", "not decided"}
        What the data say of it.
    limit : float
        Its 95 % upper limit, where that is what they say.
    combined : numpy.ndarray or None
        (S,) the draws with what was stated of q, the gap, dt and the azimuth's zero; None where
        nothing was, or it is not told how the quantity follows.
    added : dict of str to float
        The sd that each of these adds.
    combined_limit : float
        The upper limit by the combined draws.
    levels : tuple of float
        Of the intervals that are stated, ascending.
    """

    name: str
    latex: str
    unit: str
    at: dict[str, Any]
    draws: np.ndarray
    kind: str = "interval"
    limit: float = math.nan
    combined: np.ndarray | None = None
    added: dict[str, float] = {}  # noqa: RUF012 - is replaced, never changed
    combined_limit: float = math.nan
    levels: tuple[float, ...] = (INTERVAL,)

    @property
    def widest(self) -> tuple[float, float]:
        """Ends of the widest interval."""
        return ends(self.draws, self.levels[-1])

    @property
    def widest_combined(self) -> tuple[float, float]:
        """The same of the combined draws; of the draws where nothing was stated."""
        draws = self.draws if self.combined is None else self.combined
        return ends(draws, self.levels[-1])


def limited(quantity: Quantity, limit: Callable[[np.ndarray], float]) -> Quantity:
    """Return a quantity that has an upper limit only, or not even that where it is NaN.

    ``limit(draws)`` is the limit by draws (S,).
    """
    most = limit(quantity.draws)
    combined = math.nan if quantity.combined is None else limit(quantity.combined)
    kind = "not decided" if math.isnan(most) else "upper limit"
    return quantity._replace(kind=kind, limit=most, combined_limit=combined)


def fitted(tree: xr.DataTree) -> list[Quantity]:
    """Return the reported parameters; contrast and offset of every map."""
    posterior, rows, quantities = group(tree, "posterior"), store.parameters(tree), []
    odds = flow(tree)
    for name in variables.reported(tree):
        draws = posterior[name]
        dims = [dim for dim in draws.dims if dim not in ("chain", "draw")]
        for index in np.ndindex(*(draws.sizes[dim] for dim in dims)):
            scalar = draws.isel(dict(zip(dims, index, strict=True)))
            numbered = dict(zip(map(str, dims), index, strict=True))
            at = {"phi": scalar["phi"].item()} if "phi" in dims else numbered
            values = scalar.values.ravel()
            quantity = Quantity(name, rows[name].latex, draws.attrs["units"], at, values)
            quantity = quantity._replace(levels=levels(tree))
            quantity = with_uncertainty(quantity, tree, dict(zip(dims, index, strict=True)))
            if odds is not None and odds.leaves_open(name):
                quantity = limited(quantity, partial(_limit_of, odds, draws))
            quantities.append(quantity)
    return quantities


def _limit_of(odds: Flow, draws: xr.DataArray, values: np.ndarray) -> float:
    """Return the upper limit of a parameter by values (S,) in the place of its draws."""
    return odds.limit_of(draws.copy(data=values.reshape(draws.shape)))


def with_uncertainty(quantity: Quantity, tree: xr.DataTree, index: dict[Any, int]) -> Quantity:
    """Return a parameter with its combined draws and what each source adds, where there are."""
    if "combined" not in tree.children or quantity.name not in tree["combined"]:
        return quantity
    moved, added = (group(tree, which)[quantity.name] for which in ("combined", "systematic"))
    return quantity._replace(
        combined=moved.isel(index).values.ravel(), added=_by_source(added.isel(index))
    )


def _by_source(added: xr.DataArray) -> dict[str, float]:
    return {
        str(name): float(sd) for name, sd in zip(added["source"].values, added.values, strict=True)
    }


def derived(
    tree: xr.DataTree, times: Sequence[float] = (), radius: float | None = None
) -> list[Quantity]:
    """Return what follows from D(t) and the shear rate at some times.

    Parameters
    ----------
    tree : xarray.DataTree
        A result of `homodyne_bayes.fitting.pipeline.fit`.
    times : sequence of float
        In s, from the first frame on; the reference time by default. Between frames rates are
        interpolated linearly.
    radius : float, optional
        Of the particles in Å, for the Péclet number.

    Returns
    -------
    list of Quantity
        D, the transport coefficient J; D_Brownian = J/2; tau = 2/(q² J), the time in which g1 of
        a fluid with this J decays to 1/e, for every q; gamma_dot; and Pe = gamma_dot a²/D_Brownian.

    Raises
    ------
    InputError
        If a time lies outside the record or the radius is not positive.
    """
    rates, fixed = group(tree, "rates"), group(tree, "constant_data")
    last = float(rates["time"][-1]) if len(rates) else 0.0
    times = times or (float(fixed["t_ref"]),)
    for t in times:
        if len(rates) and not 0 < t <= last:
            raise InputError(
                f"--at {t:g}: expected times in s above 0 and up to {last:g}, the end of the record"
            )
    if radius is not None and not (math.isfinite(radius) and radius > 0):
        raise InputError(f"--radius {radius:g}: expected a positive length in Å")
    wavevectors = np.unique(fixed["q"])
    stated = levels(tree)
    quantities = [
        quantity._replace(levels=stated)
        for t in times
        for quantity in _combined(tree, list(_derived(rates, wavevectors, t, radius)), radius)
    ]
    odds = flow(tree)
    if odds is None or odds.decided:
        return quantities
    names = OF_FLOW if odds.rate in OF_FLOW else (odds.rate,)

    def limit(draws: np.ndarray) -> float:
        return odds.limit(draws.reshape(odds.weights.shape))

    return [limited(q, limit) if q.name in names else q for q in quantities]


def _combined(
    tree: xr.DataTree, quantities: list[Quantity], radius: float | None
) -> list[Quantity]:
    """Return the quantities of one time with their combined draws, where there are."""
    if "combined_rates" not in tree.children or not quantities:
        return quantities
    rates, added = (group(tree, which) for which in ("combined_rates", "systematic"))
    factors, t = group(tree, "factors"), quantities[0].at["t"]
    scale = factors["q"].values.ravel() if "q" in factors else 1.0
    wavevectors = np.unique(group(tree, "constant_data")["q"])
    moved = {
        (q.name, q.at.get("q")): q.draws for q in _derived(rates, wavevectors, t, radius, scale)
    }
    return [
        q._replace(
            combined=moved.get((q.name, q.at.get("q"))),
            added=_by_source(added[q.name].interp(time=t)) if q.name in rates else {},
        )
        for q in quantities
    ]


def _derived(
    rates: xr.Dataset,
    wavevectors: np.ndarray,
    t: float,
    radius: float | None,
    scale: np.ndarray | float = 1.0,
) -> Iterator[Quantity]:
    """Give the derived quantities at one time, true wavevectors ``scale``, (S,), times those."""
    at = {str(name): draws.interp(time=t).values.ravel() for name, draws in rates.items()}
    J, gamma_dot, where = at.pop("D", None), at.pop("gamma_dot", None), {"t": t}
    if J is not None:
        yield Quantity("D", "D", "Å²/s", where, J)
        yield Quantity("D_Brownian", r"D_\mathrm{Brownian}", "Å²/s", where, J / 2)
        for q in wavevectors:
            yield Quantity(
                "tau", r"\tau", "s", {**where, "q": float(q)}, 2 / ((scale * q) ** 2 * J)
            )
    if gamma_dot is not None:
        yield Quantity("gamma_dot", r"\dot\gamma", "1/s", where, gamma_dot)
    if J is not None and gamma_dot is not None and radius is not None:
        peclet = gamma_dot * radius**2 / (J / 2)
        yield Quantity("Pe", r"\mathrm{Pe}", "", {**where, "radius": radius}, peclet)
    for name, draws in at.items():
        yield Quantity(name, "", str(rates[name].attrs["units"]), where, draws)


def described(quantity: Quantity) -> dict[str, Any]:
    """Return name, unit, place, kind and median, mean, sd and ends of the interval of a quantity.

    The interval is the widest that is stated, others have ends such as ``lower_68``; where there
    is only an upper limit, ``upper`` is that, at 95 %, and other numbers are None.
    ``combined_lower`` and ``combined_upper`` are there where uncertainties of q and the like were
    stated.
    """
    named = {"name": quantity.name, "unit": quantity.unit or "1", **quantity.at}
    moments = np.median(quantity.draws), quantity.draws.mean(), quantity.draws.std(ddof=1)
    values: tuple[Any, ...] = (*moments, *quantity.widest)
    if quantity.kind != "interval":
        values = (None, None, None, None, quantity.limit)
    said = zip(("median", "mean", "sd", "lower", "upper"), values, strict=True)
    others = {
        f"{end}{which}": value if quantity.kind == "interval" else None
        for which, level in suffixes(quantity.levels).items()
        for end, value in zip(("lower", "upper"), ends(quantity.draws, level), strict=True)
        if which
    }
    return plain({**named, "kind": quantity.kind, **dict(said), **others, **_described(quantity)})


def _described(quantity: Quantity) -> dict[str, float | None]:
    """Return the ends of the combined interval, or limit, where there is one."""
    if quantity.combined is None:
        return {}
    both: tuple[float | None, float] = (None, quantity.combined_limit)
    if quantity.kind == "interval":
        both = quantity.widest_combined
    return dict(zip(("combined_lower", "combined_upper"), both, strict=True))
