"""How places and numbers are written."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

PLAIN_DECIMALS = 6


def degrees(phi: float, digits: int = 4) -> str:
    """Return an azimuth as text."""
    return f"{phi:.{digits}g}°".replace("-", "−")


def azimuth(phi: "xr.DataArray", digits: int = 4) -> str:
    """Return the azimuth of one map, () in degree, as text, with its q where several differ."""
    if phi.dtype.kind in "OU":
        return str(phi.item())
    q = f", {float(phi.coords['q']):.{digits}g} 1/Å" if "q" in phi.coords else ""
    return degrees(float(phi), digits) + q


def rounded(value: float, sd: float) -> str:
    """Return a value to the second significant digit of its uncertainty ``sd``.

    >>> rounded(9835.6, 2169.3), rounded(-0.2294, 0.04995), rounded(3.1e-8, 2.4e-9)
    ('9800', '−0.229', '3.10e−08')
    """
    if not (math.isfinite(value) and math.isfinite(sd)):
        return "–"
    if sd <= 0:
        return f"{value:.4g}".replace("-", "−")
    decimals = 1 - int(f"{sd:.1e}".partition("e")[2])
    value = round(value, decimals) + 0.0  # no negative zero
    if decimals <= PLAIN_DECIMALS:
        text = f"{value:.{max(decimals, 0)}f}"
    else:
        digits = decimals + math.floor(math.log10(abs(value))) if value else 0
        text = f"{value:.{max(digits, 0)}e}"
    return text.replace("-", "−")


def interval(lower: float, upper: float, sd: float) -> str:
    """Return an interval, its ends to the second significant digit of ``sd``.

    >>> interval(9610.0, 10104.0, 150.0)
    '9610 to 10100'
    """
    return f"{rounded(lower, sd)} to {rounded(upper, sd)}" if math.isfinite(sd) else "–"


def number(value: float, decimals: int = 2) -> str:
    """Return a value with so many decimals.

    >>> number(-0.234), number(-0.001), number(float("inf")), number(float("nan"))
    ('−0.23', '0.00', '∞', '–')
    """
    if math.isnan(value):
        return "–"
    text = f"{round(value, decimals) + 0.0:.{decimals}f}"  # no negative zero
    return text.replace("-", "−").replace("inf", "∞")


def short(value: float) -> str:
    """Return a value to three digits, or to the unit where it is larger.

    >>> short(0.24871), short(4321.2)
    ('0.249', '4321')
    """
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(share: float) -> str:
    """Return a share in percent.

    >>> percent(0.0123), percent(1.07)
    ('1.2 %', '107 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def joined(clauses: list[str]) -> str:
    """Return clauses as a list in a sentence.

    >>> joined(["a"]), joined(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(clauses[:-1]), clauses[-1]] if clauses[1:] else clauses)


def plain(value: Any) -> Any:
    """Return mappings, lists, text and numbers as JSON holds them, what is not finite as None."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, Mapping):
        return {str(name): plain(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(held) for held in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str | None) else str(value)
