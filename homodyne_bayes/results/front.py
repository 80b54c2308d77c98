"""What a reader sees first: what was measured, and up to five numbers of what was found."""

import json
import math

import numpy as np
import xarray as xr

from homodyne_bayes.results import store
from homodyne_bayes.results.diagnostics import Numbers, group
from homodyne_bayes.results.flow import below
from homodyne_bayes.results.influence import sampled_for
from homodyne_bayes.results.quantities import Quantity, derived, fitted
from homodyne_bayes.text import degrees, interval, joined, rounded

MOST = 5  # numbers
MOST_NAMED = 8  # azimuths or wavevectors
DERIVED = {
    "D": ("transport coefficient", "D = J"),
    "D_Brownian": ("diffusion coefficient, if Brownian", "D/2"),
    "tau": ("relaxation time without flow", "τ = 2/(q²D)"),
    "gamma_dot": ("shear rate", "γ̇"),
}


def measured(tree: xr.DataTree) -> str:
    """Return what was measured, in one sentence."""
    fixed, source = group(tree, "constant_data"), json.loads(tree.attrs["provenance"]).get("source")
    phi, q = group(tree, "observed_data")["phi"].values, np.unique(fixed["q"])
    azimuths = _listed([degrees(float(a)) for a in phi]) if phi.dtype.kind == "f" else ""
    frames, gap = fixed.sizes["frame"], float(fixed["gap"])
    maps = f"{len(phi)} two-time map{'s' * (len(phi) > 1)} of {frames} frames"
    return ", ".join(
        [
            maps,
            f"{float(fixed['dt']):.6g} s apart",
            f"at q = {_listed([f'{value:.6g}' for value in q])} 1/Å",
            *([f"φ = {azimuths}"] if azimuths and len(q) == 1 else []),
            *([f"in a gap of {gap:.7g} Å"] if math.isfinite(gap) else []),
            *([f"from {source}" if source != "simulated" else source] if source else []),
        ]
    )


def _listed(texts: list[str]) -> str:
    if len(texts) > MOST_NAMED:
        return f"{texts[0]} … {texts[-1]}"
    return joined(texts)


def main_numbers(numbers: Numbers) -> list[dict[str, str]]:
    """Return up to five numbers: rates at t_ref, what follows from them, what else was sampled.

    Keys are label, symbol, value, unit, interval, and combined, empty where no uncertainties were
    stated.
    """
    tree = numbers.tree
    made: list[tuple[str, dict[str, str]]] = []
    for quantity in derived(tree):
        if quantity.name == "tau" and any(name == "tau" for name, _ in made):
            continue  # of the first wavevector
        made.append((quantity.name, _derived(tree, quantity)))
    rows, sampled = store.parameters(tree), sampled_for(tree)
    own = [q for q in fitted(tree) if rows[q.name].role == "physical" and "phi" not in q.at]
    shown = [q for q in own if q.name in sampled] + [q for q in own if q.unit == ""]
    for quantity in {q.name: q for q in shown}.values():
        row = rows[quantity.name]
        made.append((quantity.name, _number(quantity, row.meaning, row.symbol)))
    return [number for _, number in made[:MOST]]


def _derived(tree: xr.DataTree, quantity: Quantity) -> dict[str, str]:
    rate = group(tree, "rates").get(quantity.name)
    symbol = quantity.name if rate is None else rate.attrs["symbol"].removesuffix("(t)")
    label, symbol = DERIVED.get(quantity.name, (quantity.name, symbol))
    several = "q" in quantity.at and np.unique(group(tree, "constant_data")["q"]).size > 1
    label += f", q = {quantity.at['q']:.4g} 1/Å" if several else ""
    return _number(quantity, label, f"{symbol} at {quantity.at['t']:.3g} s")


def _number(quantity: Quantity, label: str, symbol: str) -> dict[str, str]:
    """Return one number as text."""
    said = {"label": label, "symbol": symbol, "unit": quantity.unit.replace("degree", "°")}
    if quantity.kind != "interval":
        combined = "" if quantity.combined is None else below(quantity.combined_limit)
        limit, _, level = below(quantity.limit).partition(" (")
        kept = {"interval": f"{level.rstrip(')')} upper limit"} if level else {"unit": ""}
        return {"interval": ""} | said | {"value": limit, "combined": combined} | kept
    sd, median = float(quantity.draws.std()), float(np.median(quantity.draws))
    return said | {
        "value": rounded(median, sd),
        "interval": interval(*quantity.widest, sd),
        "combined": ""
        if quantity.combined is None or np.array_equal(quantity.combined, quantity.draws)
        else interval(*quantity.widest_combined, float(quantity.combined.std())),
    }
