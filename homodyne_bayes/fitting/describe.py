"""What a result says of itself: its parameters, the words of its choices, limits, true rates.

Whoever reads a result needs nothing but the result: `homodyne_bayes.results` says with these
attributes what a noise or a model means, without knowing it. The words are those of the records of
the choices; ``warning`` is what a reader must know before using numbers, and is empty where there
is nothing to say. Words are plain text, except under keys ``latex`` and ``terms``.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from homodyne_bayes import thresholds
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.environment import SCHEMA_VERSION
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.inference.methods import METHODS
from homodyne_bayes.likelihood.frames import MEANINGS
from homodyne_bayes.likelihood.misfit import KINDS
from homodyne_bayes.likelihood.noises import NOISES
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.parameters import PER_ANGLE, Parameter, Prior
from homodyne_bayes.physics.convention import CONVENTIONS
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.points import ShardGrid


def describe(
    data: TwoTimeData, config: FitConfig, variables: Collection[str], priors: Mapping[str, Prior]
) -> dict[str, Any]:
    """Return the attributes by which a result explains itself, see `results.store`.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps.
    config : FitConfig
        How they were fitted.
    variables : collection of str
        Parameters that the result has draws of, those that only the sampler moves included.
    priors : mapping of str to Prior
        Of all that was sampled.
    """
    formula = config.record.formula(CONVENTIONS[config.convention])
    return {
        "schema_version": SCHEMA_VERSION,
        "num_missing": data.num_missing,
        "parameters": parameter_rows(config.parameters, {*variables, *PER_ANGLE}),
        "words": {
            "noise": asdict(NOISES[config.noise].words),
            "scaling": {"warning": config.scale.warning},
            "convention": {"explanation": formula.text},
            "model": {
                "title": config.record.title,
                "explanation": formula.text,
                "latex": [*rate_formulas(config.record), *filter(None, [formula.latex])],
                "terms": list(formula.terms),
            },
            "method": method_words(config),
            "priors": {name: prior.reason for name, prior in priors.items() if prior.reason},
            "misfit": {name: kind.meaning for name, kind in KINDS.items()} | MEANINGS,
        },
        "limits": limits(),
    }


def parameter_rows(table: Iterable[Parameter], names: Collection[str]) -> list[dict[str, Any]]:
    """Return what parameters are, in the order of tables: those without a row first.

    Keys are name, symbol, latex, unit, meaning, role and bounds. A parameter without a row is
    physical, its symbol its name, and ``latex`` is empty.
    """
    rows = {row.name: row for row in table if row.name in names}
    others = [Parameter(name, name, "", "", "") for name in sorted({*names} - {*rows})]
    return [
        {
            "name": row.name,
            "symbol": row.symbol,
            "latex": row.latex,
            "unit": row.unit,
            "meaning": row.meaning,
            "role": row.role,
            "bounds": None if row.bounds is None else list(row.bounds),
        }
        for row in (*others, *rows.values())
    ]


def rate_formulas(model: Model) -> list[str]:
    """Return the laws of the rates of a model, LaTeX."""
    return [
        f"{rate.latex}(t) = {law.latex(*(row.latex for row in law.reported(rate)))}"
        for rate, law in model.rates
    ]


def method_words(config: FitConfig) -> dict[str, str]:
    """Return what a method says of itself.

    Keys: ``summary`` (a few words) and ``approximation`` (what was weighed by the posterior of all
    the data, empty where draws need no weights).
    """
    method = METHODS[config.method]
    made = method.makes.format(merge=config.merge, num_shards=config.num_shards)
    approximation = made if method.weighed else ""
    return {"summary": f"{config.method}: {made}", "approximation": approximation}


def limits() -> dict[str, float]:
    """Return the numbers that decide verdicts, by their names in `thresholds`, in lower case."""
    return {
        name.lower(): value
        for name, value in vars(thresholds).items()
        if name.isupper() and isinstance(value, int | float)
    }


def rate_names(model: Observed, whole: ShardGrid) -> frozenset[str]:
    """Return the rates of a model: deterministic sites that have a value a frame."""

    def deterministic(grid: ShardGrid) -> dict[str, jax.Array]:
        seeded = handlers.seed(model, jax.random.key(0))
        trace = handlers.trace(seeded).get_trace(grid)
        return {
            name: jnp.asarray(site["value"])
            for name, site in trace.items()
            if site["type"] == "deterministic" and name not in PER_ANGLE
        }

    shapes = jax.eval_shape(deterministic, whole)
    return frozenset(name for name, value in shapes.items() if value.shape == whole.time.shape)


def rate_attributes(model: Model, name: str) -> dict[str, str]:
    """Return units, symbol, latex, level and follows of a rate; empty for one without a record."""
    for rate, law in model.rates:
        if rate.name == name:
            return {
                "units": rate.unit,
                "symbol": f"{rate.symbol}(t)",
                "latex": f"{rate.latex}(t)",
                "level": law.level(rate),
                "follows": json.dumps(dict(rate.follows or ())),
            }
    return {"units": "", "symbol": name, "latex": "", "level": "", "follows": "{}"}


def diverging(posterior: Mapping[str, np.ndarray], model: Model, whole: ShardGrid) -> list[str]:
    """Return the rates whose integral from t = 0 is infinite in part of the posterior.

    Draws have any shape, such as (chain, draw).
    """
    if whole.integration != "exact" or float(whole.time[0]) > 0:
        return []
    return [
        rate.name
        for rate, law in model.rates
        if law.diverges and law.diverges(*(posterior[p.name] for p in law.reported(rate))).any()
    ]


def true_rates(truth: Mapping[str, float], model: Model, whole: ShardGrid) -> dict[str, np.ndarray]:
    """Return those rates on the frame grid, (G,), that true parameters determine."""
    names = {rate.name: [row.name for row in law.reported(rate)] for rate, law in model.rates}
    return {
        rate.name: np.asarray(
            law.evaluate(law.clock(whole), *(jnp.asarray(truth[name]) for name in names[rate.name]))
        )
        for rate, law in model.rates
        if {*names[rate.name]} <= {*truth}
    }
