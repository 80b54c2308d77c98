"""The one table of parameters: names, symbols, units, bounds, defaults and priors.

Upstream's names (``D0``, ``alpha``, ...) are what users see. What the sampler moves are the
coordinates further down (level, log-slope and bend of each rate at a reference time), because the
posterior is nearly Gaussian in them.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Prior:
    """A prior on one sampled quantity.

    Attributes
    ----------
    family : {"normal", "lognormal"}
        Distribution; ``loc`` and ``scale`` of a lognormal are those of the logarithm.
    loc, scale : float
        Location and scale, in the unit of the parameter.
    """

    family: Literal["normal", "lognormal"]
    loc: float
    scale: float

    def __str__(self) -> str:
        """Return the prior as a paper would write it."""
        return f"{self.family.capitalize()}({self.loc:g}, {self.scale:g})"


@dataclass(frozen=True)
class Parameter:
    """One row of the table.

    Attributes
    ----------
    name, symbol, latex, unit, meaning : str
        How it is called in code, on a screen, in a paper; its unit; what it is.
    bounds : tuple of float or None
        Range in which the kernels are finite, from upstream; not a truncation of the prior.
    default : float or None
        Upstream's default value.
    prior : Prior or None
        Prior of a sampled quantity; None where the value follows from sampled ones.
    """

    name: str
    symbol: str
    latex: str
    unit: str
    meaning: str
    bounds: tuple[float, float] | None = None
    default: float | None = None
    prior: Prior | None = None


def _normal(loc: float, scale: float) -> Prior:
    return Prior("normal", loc, scale)


TABLE: tuple[Parameter, ...] = (
    Parameter("D0", "D₀", r"D_0", "Å²/s", "diffusion at t = 1 s", (1.0, 1e6), 100.0),
    Parameter("alpha", "α", r"\alpha", "", "diffusion exponent", (-2.0, 2.0), 0.0),
    Parameter(
        "D_offset",
        "D_offset",
        r"D_\mathrm{offset}",
        "Å²/s",
        "constant diffusion",
        (-1e5, 1e5),
        10.0,
    ),
    Parameter(
        "gamma_dot_t0", "γ̇₀", r"\dot\gamma_0", "1/s", "shear rate at t = 1 s", (1e-5, 1.0), 1.0
    ),
    Parameter("beta", "β", r"\beta", "", "shear exponent", (-2.0, 2.0), 0.0),
    Parameter(
        "gamma_dot_t_offset",
        "γ̇_offset",
        r"\dot\gamma_\mathrm{offset}",
        "1/s",
        "constant shear rate",
        (-1.0, 1.0),
        0.0,
    ),
    Parameter(
        "phi0", "φ₀", r"\phi_0", "degree", "flow direction", (-30.0, 30.0), 0.0, _normal(0.0, 5.0)
    ),
    Parameter(
        "contrast",
        "contrast",
        r"\mathrm{contrast}",
        "",
        "speckle contrast, per angle",
        (0.0, 1.0),
        0.5,
        _normal(0.5, 0.2),
    ),
    Parameter(
        "offset",
        "offset",
        r"\mathrm{offset}",
        "",
        "baseline, per angle",
        (0.5, 1.5),
        1.0,
        _normal(1.0, 0.3),
    ),
    Parameter(
        "contrast_mean",
        "contrast, mean",
        r"\overline{\mathrm{contrast}}",
        "",
        "contrast, mean over angles",
    ),
    Parameter(
        "contrast_harmonics",
        "contrast, harmonics",
        r"\mathrm{contrast}_k",
        "",
        "cosine and sine of φ, 2φ, … in the contrast",
        None,
        None,
        _normal(0.0, 0.1),
    ),
    Parameter(
        "contrast_spread",
        "contrast, spread",
        r"\sigma_\mathrm{contrast}",
        "",
        "sd of the contrast over angles",
        None,
        None,
        Prior("lognormal", -3.5, 1.0),
    ),
    Parameter(
        "offset_mean",
        "offset, mean",
        r"\overline{\mathrm{offset}}",
        "",
        "baseline, mean over angles",
    ),
    Parameter(
        "offset_harmonics",
        "offset, harmonics",
        r"\mathrm{offset}_k",
        "",
        "cosine and sine of φ, 2φ, … in the baseline",
        None,
        None,
        _normal(0.0, 0.1),
    ),
    Parameter(
        "offset_spread",
        "offset, spread",
        r"\sigma_\mathrm{offset}",
        "",
        "sd of the baseline over angles",
        None,
        None,
        Prior("lognormal", -4.5, 1.0),
    ),
    Parameter(
        "sigma",
        "σ",
        r"\sigma",
        "",
        "scatter of one entry of c2",
        None,
        None,
        Prior("lognormal", -3.5, 1.5),
    ),
    Parameter(
        "log_D_ref",
        "log D(t_ref)",
        r"\log D(t_\mathrm{ref})",
        "log Å²/s",
        "level of the diffusion at t_ref",
        None,
        None,
        _normal(9.21, 2.0),
    ),
    Parameter(
        "D_slope", "s_D", r"s_D", "", "d log D / d log t at t_ref", None, None, _normal(0.0, 0.5)
    ),
    Parameter(
        "D_bend", "v_D", r"v_D", "", "alpha / s_D, 1 for a power law", None, None, _normal(1.0, 0.3)
    ),
    Parameter(
        "log_gamma_dot_ref",
        "log γ̇(t_ref)",
        r"\log\dot\gamma(t_\mathrm{ref})",
        "log 1/s",
        "level of the shear rate at t_ref",
        None,
        None,
        _normal(-6.91, 2.0),
    ),
    Parameter(
        "gamma_dot_slope",
        "s_γ",
        r"s_{\dot\gamma}",
        "",
        "d log γ̇ / d log t at t_ref",
        None,
        None,
        _normal(0.0, 0.5),
    ),
    Parameter(
        "gamma_dot_bend",
        "v_γ",
        r"v_{\dot\gamma}",
        "",
        "beta / s_γ, 1 for a power law",
        None,
        None,
        _normal(1.0, 0.3),
    ),
)

PARAMETERS: dict[str, Parameter] = {row.name: row for row in TABLE}
BOUNDS: dict[str, tuple[float, float]] = {r.name: r.bounds for r in TABLE if r.bounds is not None}
PRIORS: dict[str, Prior] = {row.name: row.prior for row in TABLE if row.prior is not None}
DIFFUSION: tuple[str, ...] = ("D0", "alpha", "D_offset")
SHEAR: tuple[str, ...] = ("gamma_dot_t0", "beta", "gamma_dot_t_offset", "phi0")
COORDINATES: tuple[str, ...] = (
    "log_D_ref",
    "D_slope",
    "D_bend",
    "log_gamma_dot_ref",
    "gamma_dot_slope",
    "gamma_dot_bend",
)
PER_ANGLE: tuple[str, ...] = ("contrast", "offset")
RATES: dict[str, str] = {"D": "Å²/s", "gamma_dot": "1/s"}
