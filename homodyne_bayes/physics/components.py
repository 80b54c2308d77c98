"""Rates of two components of a fluid, each of which scatters: a reference and a sample.

Maps are nearly the same where the two exchange their names: the reference is what has the larger
amplitude at t_ref. The share of the sample is one of the amplitude, not of the intensity.
"""

import math
from dataclasses import replace

from homodyne_bayes.parameters import Prior
from homodyne_bayes.physics.model import Formula
from homodyne_bayes.physics.rate_laws.growth import GROWTH
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import D, Rate, Window

HALF = math.log(0.5)


def _drifting(window: Window) -> tuple[float, float]:
    """Return the velocities whose phase q∫v dt grows to 1 within all frames and within two."""
    least, most = window.q
    return 1 / (most * window.duration), 1 / (least * window.dt)


D_REFERENCE = replace(
    D,
    name="D_reference",
    symbol="D_r",
    latex=r"D_\mathrm{r}",
    meaning="diffusion of the reference",
    level=Prior("normal", 7.0, 3.0),
)
D_SAMPLE = replace(
    D,
    name="D_sample",
    symbol="D_s",
    latex=r"D_\mathrm{s}",
    meaning="diffusion of the sample",
)
VELOCITY = Rate(
    "velocity",
    "v",
    "v",
    "Å/s",
    "velocity of the sample against the reference",
    level=Prior("normal", 6.9, 3.0),
    visible=_drifting,
    follows=(("q", -1.0), ("dt", -1.0)),
)
SHARE = Rate(
    "share",
    "x_s",
    r"x_\mathrm{s}",
    "",
    "share of the sample in the amplitude",
    level=Prior(
        *("normal", -1.2, 0.7, "a tenth to a half: the reference is the larger part at t_ref"),
        high=HALF,
    ),
    follows=(),
)
REST = ((D_REFERENCE, POWER_LAW), (D_SAMPLE, POWER_LAW), (SHARE, GROWTH))
EXAMPLE = (
    *(("D0_ref", 1e3), ("alpha_ref", -0.2), ("D_offset_ref", 50.0)),
    *(("D0_sample", 1e4), ("alpha_sample", -0.3), ("D_offset_sample", 500.0)),
    *(("v0", 1e3), ("beta", 0.1), ("v_offset", 50.0)),
    *(("f0", 0.2), ("f1", 0.1), ("f3", 0.15), ("phi0", 3.0)),
)
FORMULA = Formula(
    "g₁ = |x_r x_r′ exp(−½ q² ∫D_r dt) + x_s x_s′ exp(−½ q² ∫D_s dt + i q cos(φ₀ − φ) ∫v dt)| / "
    "√[(x_r² + x_s²)(x_r′² + x_s′²)], x_r = 1 − x_s, the same in both conventions",
    r"g_1 = \frac{|x_\mathrm{r} x_\mathrm{r}' e^{-\frac{1}{2} q^2 \int D_\mathrm{r} \mathrm{d}t}"
    r" + x_\mathrm{s} x_\mathrm{s}' e^{-\frac{1}{2} q^2 \int D_\mathrm{s} \mathrm{d}t + i q \cos("
    r"\phi_0 - \phi) \int v\,\mathrm{d}t}|}{\sqrt{(x_\mathrm{r}^2 + x_\mathrm{s}^2)"
    r"(x_\mathrm{r}'^2 + x_\mathrm{s}'^2)}}",
    (
        "where $D_\\mathrm{r}$ and $D_\\mathrm{s}$ are transport coefficients, twice the diffusion "
        "coefficients of Brownian particles",
        r"$x_\mathrm{s}$ and $x_\mathrm{r} = 1 - x_\mathrm{s}$ are shares of the amplitude",
    ),
)
