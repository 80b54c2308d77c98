"""Levels of the intervals of a result: what it states, 90 % unless other ones are chosen.

Intervals are equal-tailed: as much of the posterior lies below as above. The widest is that of
figures, budgets and of the columns ``lower`` and ``upper``; others stand beside it.
"""

import json
from collections.abc import Iterable

import numpy as np
import xarray as xr

from homodyne_bayes.errors import InputError
from homodyne_bayes.thresholds import INTERVAL

KIND = "equal-tailed"


def levels(tree: xr.DataTree) -> tuple[float, ...]:
    """Return the levels of a result, ascending, between 0 and 1.

    Raises
    ------
    InputError
        If what the result says of them cannot be read.
    """
    if "levels" not in tree.attrs:
        return (INTERVAL,)
    try:
        return checked(100 * float(level) for level in json.loads(tree.attrs["levels"]))
    except (TypeError, ValueError) as error:
        raise InputError(
            "expected the attribute levels to be numbers between 0 and 1 in JSON, found "
            f"{str(tree.attrs['levels'])[:80]!r}: choose others, --level 68,95"
        ) from error


def checked(percents: Iterable[float]) -> tuple[float, ...]:
    """Return levels, ascending, of percents.

    Raises
    ------
    InputError
        If there is none, or one that is not between 1 and 100.
    """
    chosen = sorted({float(percent) for percent in percents})
    for percent in chosen:
        if not 1 <= percent < 100:
            meant = f"; did you mean {100 * percent:g}?" if 0 < percent < 1 else ""
            raise InputError(
                f"--level must be percents from 1 to below 100, as 68,95, found {percent:g}{meant}"
            )
    if not chosen:
        raise InputError("--level must be percents, as 68,95, found none")
    return tuple(round(percent / 100, 12) for percent in chosen)


def with_levels(tree: xr.DataTree, percents: Iterable[float]) -> xr.DataTree:
    """Return a result that states intervals of these levels, its draws the same."""
    stated = tree.copy(deep=False)
    stated.attrs = {**tree.attrs, "levels": json.dumps(checked(percents))}
    return stated


def ends(draws: np.ndarray, level: float) -> tuple[float, float]:
    """Return the ends of the equal-tailed interval of draws, (S,)."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def in_percent(level: float) -> str:
    """Return a level in percent as names of columns have it.

    >>> in_percent(0.68), in_percent(0.995)
    ('68', '99.5')
    """
    return f"{100 * level:g}"


def suffixes(stated: Iterable[float]) -> dict[str, float]:
    """Return ends of names of columns, and their levels: of the widest none.

    >>> suffixes((0.68, 0.95))
    {'': 0.95, '_68': 0.68}
    """
    *others, widest = stated
    return {"": widest, **{f"_{in_percent(level)}": level for level in others}}
