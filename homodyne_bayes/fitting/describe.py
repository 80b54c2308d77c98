"""What a result says of itself: its parameters, the words of its choices, limits, true rates.

Whoever reads a result needs nothing but the result: `homodyne_bayes.results` says with these
attributes what a noise or a model means, without knowing it. Every choice has one function of words
below; in them ``warning`` is what a reader must know before using numbers, and is left out or empty
where there is nothing to say. Words are plain text, except under keys ``latex`` and ``terms``.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from homodyne_bayes import thresholds
from homodyne_bayes.config import FitConfig
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.environment import SCHEMA_VERSION
from homodyne_bayes.inference.density import Model
from homodyne_bayes.likelihood.misfit import KINDS
from homodyne_bayes.parameters import (
    COORDINATES,
    DIFFUSION,
    PARAMETERS,
    PER_ANGLE,
    RATES,
    SHEAR,
    Parameter,
)
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.points import ShardGrid

LAWS = {"D": DIFFUSION, "gamma_dot": SHEAR[:3]}
RATE_SYMBOLS = {"D": ("D(t)", "D(t)"), "gamma_dot": ("γ̇(t)", r"\dot\gamma(t)")}

PIXELS = (
    " η is found from the scatter of the score over simulated pixels with the same β, g₁ and e, "
    "or over measured groups of pixels where the data hold them."
)
NOISES: dict[str, dict[str, str]] = {
    "speckle": {
        "explanation": "All entries of a map average the same pixels, so that entries which share "
        "or neighbour a frame move together. The speckle likelihood knows this: it gives entries "
        "(a, b) and (c, d) the covariance S(a,c) S(b,d) + S(a,d) S(b,c), where S = β g₁² + e is "
        "the covariance of the intensity of a pixel in two frames, and the nugget e, there for "
        "equal frames only, comes from the random numbers of photons. Parameters rest on sums over "
        "many entries, which have third and fourth cumulants too; η corrects for these." + PIXELS,
        "interval": "",
        "compared": "independent likelihood, uncorrected",
        "residuals": "whitened residuals",
        "eta": "part of the information of the working covariance that is real: intervals are "
        "1/√η times as wide as it alone would make them",
        "weight": "weight of rᵀK⁻¹r in −2 log L, r the residuals of an angle and K their working "
        "covariance: from the scatter of r, times η",
    },
    "corrected": {
        "explanation": "All entries of a map average the same pixels, so that entries which share "
        "or neighbour a frame move together. The fit is that of least squares, as if entries were "
        "independent, but η widens its intervals to the scatter that it truly has under speckle "
        "with contrast β and shot noise e (a sandwich covariance)." + PIXELS + " The intervals are "
        "valid, but wider than those of the speckle likelihood, which weighs entries by their "
        "correlations.",
        "warning": "The intervals are those of least squares, widened for correlated noise: they "
        "are valid, but wider than need be. Fit with --noise speckle for narrower ones.",
        "interval": "corrected least squares",
        "compared": "independent likelihood, uncorrected",
        "residuals": "residuals",
        "eta": "part of the information of independent entries that is real: intervals are 1/√η "
        "times as wide as they alone would make them",
        "weight": "weight of the squared residuals of an angle in −2 log L: one over their "
        "variance, times η",
    },
    "independent": {
        "explanation": "",
        "warning": "The intervals are uncorrected for correlated noise: they take the entries of "
        "c2 as independent, which they are not, and are much too narrow. Fit with --noise speckle, "
        "where every pair of frames was measured, for intervals that hold what they say.",
        "interval": "uncorrected",
        "compared": "least squares at the mode, 90 % interval",
        "residuals": "residuals",
    },
}
CONVENTIONS = {
    "upstream": {
        "explanation": "g₁ = exp(−½ q² ∫D dt) · sinc²(x) with x = (qL/2π) cos(φ₀ − φ) ∫γ̇ dt, so "
        "c2 carries sinc⁴(x), as homodyne 2.x computes it",
        "latex": r"\,\mathrm{sinc}^2 x, \quad "
        r"x = \frac{qL}{2\pi} \cos(\phi_0 - \phi) \int \dot\gamma\,\mathrm{d}t",
    },
    "gap-average": {
        "explanation": "g₁ = exp(−½ q² ∫D dt) · |sinc(x)| with x = (qL/2) cos(φ₀ − φ) ∫γ̇ dt, so c2 "
        "carries sinc²(x), the phase of a linear velocity profile averaged over the gap",
        "latex": r"\,|\mathrm{sinc}\,x|, \quad "
        r"x = \frac{qL}{2} \cos(\phi_0 - \phi) \int \dot\gamma\,\mathrm{d}t",
    },
}
NO_FLOW = "g₁ = exp(−½ q² ∫D dt); the model has no shear, so the convention makes no difference"
OWN_FORMULA = "g₁ is what the model makes it"
AT_REST = r"g_1 = \exp(-\tfrac{1}{2} q^2 \textstyle\int D\,\mathrm{d}t)"
TRANSPORT = (
    "where $D$ is the transport coefficient, twice the diffusion coefficient of a Brownian particle"
)
SINC = r"and $\mathrm{sinc}\,x = \sin(x)/x$"


def describe(
    data: TwoTimeData, config: FitConfig, variables: Collection[str], rates: Collection[str]
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
    rates : collection of str
        Rates that it has draws of.
    """
    has_flow = "gamma_dot" in rates
    convention = convention_words(config.convention, has_flow)
    return {
        "schema_version": SCHEMA_VERSION,
        "num_missing": data.num_missing,
        "parameters": parameter_rows({*variables, *PER_ANGLE}),
        "words": {
            "noise": noise_words(config.noise),
            "scaling": scaling_words(config.scaling),
            "convention": convention,
            "model": model_words(variables, rates, convention["latex"]),
            "method": method_words(config),
            "misfit": misfit_words(),
        },
        "limits": limits(),
    }


def parameter_rows(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return what parameters are, in the order of tables: the user's first, then the package's.

    Keys are name, symbol, latex, unit, meaning, role and bounds. A parameter that the package does
    not know is physical, its symbol its name, and ``latex`` is empty.
    """
    order = list(PARAMETERS)
    mine = [name for name in names if name in PARAMETERS]
    theirs = [name for name in names if name not in PARAMETERS]
    rows = [Parameter(name, name, "", "", "") for name in sorted(theirs)]
    rows += [PARAMETERS[name] for name in sorted(mine, key=order.index)]
    return [
        {
            "name": row.name,
            "symbol": row.symbol,
            "latex": row.latex,
            "unit": row.unit,
            "meaning": row.meaning,
            "role": role(row.name),
            "bounds": None if row.bounds is None else list(row.bounds),
        }
        for row in rows
    ]


def role(name: str) -> str:
    """Return what a parameter is to a reader: physical, coordinate, scaling or noise."""
    if name in COORDINATES:
        return "coordinate"
    if name == "sigma":
        return "noise"
    scaling = name in PARAMETERS and name.partition("_")[0] in PER_ANGLE
    return "scaling" if scaling else "physical"


def noise_words(name: str) -> dict[str, str]:
    """Return what a noise says of itself.

    Keys: ``explanation`` (empty where there is none), ``warning``, ``interval`` (what to add to the
    name of intervals), ``compared`` (the heading of what they are compared with), ``residuals``
    (the maps in which misfit shows), ``eta`` and ``weight`` (what these mean in the group noise).
    """
    return NOISES[name]


def scaling_words(name: str) -> dict[str, str]:
    """Return what a scaling says of itself; the only key is ``warning``."""
    if name != "constant":
        return {}
    return {
        "warning": "Contrast and offset were held fixed, and the intervals ignore that they are "
        "uncertain; quantiles misjudge them where the maps do not decay to their baseline."
    }


def convention_words(name: str, has_flow: bool) -> dict[str, str]:
    """Return what a convention says of itself.

    Keys: ``explanation`` (g₁ and its phase) and ``latex`` (the factor of flow in g₁); both are
    empty without flow, where it makes no difference.
    """
    return CONVENTIONS[name] if has_flow else {"explanation": "", "latex": ""}


def model_words(
    variables: Collection[str], rates: Collection[str], flow: str = ""
) -> dict[str, Any]:
    """Return what a model says of itself.

    Keys: ``explanation`` (what g₁ is where no convention says it), ``latex`` (list of formulas, of
    its rates and of g₁) and ``terms`` (list of clauses on their symbols, formulas between dollars).

    Parameters
    ----------
    variables, rates : collection of str
        Names of parameters and rates.
    flow : str
        Factor of flow in g₁, LaTeX.
    """
    formulas = [
        "{} = {} t^{{{}}} + {}".format(
            RATE_SYMBOLS[rate][1], *(PARAMETERS[name].latex for name in law)
        )
        for rate, law in LAWS.items()
        if rate in rates and {*law} <= {*variables}
    ]
    if "D" not in rates:
        return {"explanation": OWN_FORMULA, "latex": formulas, "terms": []}
    terms = [TRANSPORT, SINC] if flow else [TRANSPORT]
    return {"explanation": NO_FLOW, "latex": [*formulas, AT_REST + flow], "terms": terms}


def method_words(config: FitConfig) -> dict[str, str]:
    """Return what a method says of itself.

    Keys: ``summary`` (a few words) and ``approximation`` (what was weighed by the posterior of all
    the data, empty where draws need no weights).
    """
    made = {
        "consensus": f"{config.merge} merge of {config.num_shards} shards",
        "laplace": "least squares fit",
        "full": "NUTS on all the data",
    }[config.method]
    approximation = "" if config.method == "full" else made
    return {"summary": f"{config.method}: {made}", "approximation": approximation}


def misfit_words() -> dict[str, str]:
    """Return what a departure of every kind would tell; the keys are the kinds."""
    return {name: kind.meaning for name, kind in KINDS.items()}


def limits() -> dict[str, float]:
    """Return the numbers that decide verdicts, by their names in `thresholds`, in lower case."""
    return {
        name.lower(): value
        for name, value in vars(thresholds).items()
        if name.isupper() and isinstance(value, int | float)
    }


def rate_names(model: Model, whole: ShardGrid) -> frozenset[str]:
    """Return the rates of a model: deterministic sites that have a value a frame."""

    def deterministic(grid: ShardGrid) -> dict[str, jax.Array]:
        seeded = handlers.seed(model, jax.random.key(0))
        trace = handlers.trace(seeded).get_trace(grid)
        return {
            name: jnp.asarray(site["value"])
            for name, site in trace.items()
            if site["type"] == "deterministic" and name not in PER_ANGLE
        }

    found = jax.eval_shape(deterministic, whole)
    return frozenset(name for name, value in found.items() if value.shape == whole.time.shape)


def rate_attributes(name: str) -> dict[str, str]:
    """Return units, symbol and latex of a rate; ``latex`` is empty for a rate of the user's."""
    symbol, latex = RATE_SYMBOLS.get(name, (name, ""))
    return {"units": RATES.get(name, ""), "symbol": symbol, "latex": latex}


def true_rates(
    truth: Mapping[str, float], rates: Collection[str], whole: ShardGrid
) -> dict[str, np.ndarray]:
    """Return those rates on the frame grid, (G,), that true parameters determine."""
    laws = {name: law for name, law in LAWS.items() if name in rates and {*law} <= {*truth}}
    return {
        name: np.asarray(kernels.power_law(whole, *(jnp.asarray(truth[one]) for one in law)))
        for name, law in laws.items()
    }
