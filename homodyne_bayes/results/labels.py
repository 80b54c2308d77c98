"""Labels of figures: symbols and units of parameters as Matplotlib sets them."""

from functools import lru_cache

import numpy as np
import xarray as xr
from matplotlib.mathtext import MathTextParser

from homodyne_bayes.results import store
from homodyne_bayes.results.latex import formula


def symbols(tree: xr.DataTree) -> dict[str, str]:
    """Return the symbols of parameters as Matplotlib sets them."""
    return {name: in_formula(row.latex, name) for name, row in store.parameters(tree).items()}


def in_formula(latex: str, name: str) -> str:
    """Return a symbol as Matplotlib sets it: as a formula, or else its name."""
    known = formula(latex)
    return f"${known}$" if known and _can_be_set(known) else name.replace("$", r"\$")


@lru_cache(maxsize=256)
def _can_be_set(known: str) -> bool:
    """Return whether Matplotlib knows all commands of a formula."""
    try:
        MathTextParser("path").parse(f"${known}$")
    except ValueError:
        return False
    return True


def with_unit(symbol: str, unit: str) -> str:
    """Return a symbol with its unit, if it has one."""
    return f"{symbol} ({unit})" if unit else symbol


def scaled(symbol: str, unit: str, values: xr.DataArray) -> tuple[float, str]:
    """Return a power of ten that makes values handy, and the axis label with it and the unit."""
    exponent = int(np.floor(np.log10(max(float(np.abs(values).max()), 1e-300))))
    if -1 <= exponent <= 2:
        return 1.0, with_unit(symbol, unit)
    return 10.0**-exponent, with_unit(symbol, f"$10^{{{exponent}}}$ {unit}".rstrip())
