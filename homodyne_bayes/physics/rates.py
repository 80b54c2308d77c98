"""Rates of the fluid that change with time, and the laws that they may follow.

A rate is a quantity, such as D(t); a law, such as the power law, says how it changes. A law is
sampled in coordinates in which posteriors are nearly Gaussian, and reported by the parameters that
the field knows.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from homodyne_bayes.errors import InputError
from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.convention import CONVENTIONS
from homodyne_bayes.physics.integration import INTEGRATIONS, OfTime
from homodyne_bayes.physics.points import ShardGrid

DEGREES_OF_FREEDOM = 4.0  # of a prior that is Student's t
MARGIN = 1.0  # sd of the logarithm of a level, beyond half of what the window can see
_FAMILIES: dict[str, Callable[[float, float], dist.Distribution]] = {
    "normal": dist.Normal,
    "lognormal": dist.LogNormal,
    "student": partial(dist.StudentT, DEGREES_OF_FREEDOM),
    "logstudent": lambda loc, scale: dist.TransformedDistribution(
        dist.StudentT(DEGREES_OF_FREEDOM, loc, scale), dist.transforms.ExpTransform()
    ),
    "circular": lambda loc, scale: dist.Uniform(loc - scale, loc + scale),
    "logitnormal": lambda loc, scale: dist.TransformedDistribution(
        dist.Normal(loc, scale), dist.transforms.SigmoidTransform()
    ),
}


class Window(NamedTuple):
    """What an experiment can see, before anything is measured.

    Attributes
    ----------
    q : tuple of float
        Least and largest wavevector, 1/Å.
    dt, duration : float
        Time between two frames, and from the first to the last, s.
    gap : float
        Å; NaN where unknown.
    convention : str
        Meaning of the shear phase.
    """

    q: tuple[float, float]
    dt: float
    duration: float
    gap: float
    convention: str


def window_of(points: ShardGrid) -> Window:
    """Return what the experiment of some points can see."""
    first, last = float(points.time[0]), float(points.time[-1])
    q = float(points.q.min()), float(points.q.max())
    return Window(q, float(points.dt), last - first, float(points.gap), points.convention)


@dataclass(frozen=True)
class Rate:
    """A quantity that changes with time.

    Attributes
    ----------
    name, symbol, latex, unit, meaning : str
        How it is called in code, on a screen, in a paper; its unit; what it is.
    level : Prior
        Prior of the logarithm of its value at the reference time, where nothing is known of the
        experiment.
    visible : callable or None
        ``visible(window)`` is the least and the largest value that an experiment can see, between
        which the prior of the level then lies; None where it is ``level`` always.
    follows : tuple of (str, float) or None
        The powers of q, gap and dt by which its values go where these are not as stated, so that
        maps are the same (`homodyne_bayes.physics.stated`); None where that is not told.
    signed : bool
        Whether it may be negative.
    """

    name: str
    symbol: str
    latex: str
    unit: str
    meaning: str
    level: Prior
    visible: Callable[[Window], tuple[float, float]] | None = None
    follows: tuple[tuple[str, float], ...] | None = None
    signed: bool = False

    def level_in(self, window: Window) -> Prior:
        """Return the prior of the logarithm of its value at the reference time."""
        if self.visible is None:
            return self.level
        low, high = self.visible(window)
        half = 0.5 * math.log(high / low)
        ends = " to ".join(f"{float(f'{end:.2g}'):g}" for end in (low, high))
        reason = f"decays within these frames have {ends} {self.unit}"
        return Prior("normal", math.log(low) + half, half + MARGIN, reason)


def _decaying(window: Window) -> tuple[float, float]:
    """Return the D that decay by 1/e, in c2, within all frames and within two of the largest q."""
    least, most = window.q
    return 1 / (most**2 * window.duration), 1 / (least**2 * window.dt)


def _turning(window: Window) -> tuple[float, float]:
    """Return the shear rates whose phase grows to 1 within all frames and within two."""
    phase = CONVENTIONS[window.convention].phase
    least, most = (float(phase(q * window.gap)) for q in window.q)  # type: ignore[arg-type]
    return 1 / (most * window.duration), 1 / (least * window.dt)


OF_DECAY = (("q", -2.0), ("dt", -1.0))  # q² ∫D dt is what maps show
OF_PHASE = (("q", -1.0), ("gap", -1.0), ("dt", -1.0))  # q L ∫γ̇ dt, in every convention
D = Rate("D", "D", "D", "Å²/s", "diffusion", Prior("normal", 9.0, 3.0), _decaying, OF_DECAY)
GAMMA_DOT = Rate(
    "gamma_dot",
    "γ̇",
    r"\dot\gamma",
    "1/s",
    "shear rate",
    Prior("normal", -7.0, 3.0),
    _turning,
    OF_PHASE,
    signed=True,
)


@dataclass(frozen=True)
class RateLaw:
    """How a rate changes with time.

    Attributes
    ----------
    title : str
        What it is, in one line.
    reported, coordinates : callable
        Rows of the parameters of a `Rate`: those that are reported, and those that are sampled. Of
        these one is the logarithm of a level; the others do not change where the rate is multiplied
        or time is stretched, t_ref with it: they are ratios.
    to_reported, to_coordinates : callable
        From values of the one to values of the other; the second argument is t_ref in s.
    evaluate : callable
        ``evaluate(time, *reported)`` is the rate at times in s, of any shape.
    latex : callable
        ``latex(*symbols of reported)`` is the right side of the law.
    integral : callable or None
        ``integral(time, *reported)`` is its integral from the first to every one of ascending
        times, (G,). Without it the law is integrated numerically, which needs that it has no
        singularity, as a negative power has at t = 0.
    diverges : callable or None
        ``diverges(*reported)`` says whether the integral from t = 0 is infinite.
    instead : callable or None
        ``instead(rate, names)`` are the rows of what is sampled in place of the coordinates where
        something is known of reported parameters of these names. Without it nothing can be.
    complete : callable or None
        ``complete(values, t_ref)`` are all reported values by those of what is then sampled: values
        of all parameters, reported ones first, None for what is not.
    typical : callable or None
        ``typical(level)`` are reported parameters of a rate about this large, over seconds, for
        simulations.
    signed : bool
        Whether the rate may be negative.
    """

    title: str
    reported: Callable[[Rate], tuple[Parameter, ...]]
    coordinates: Callable[[Rate], tuple[Parameter, ...]]
    to_reported: Callable[[Sequence[jax.Array], jax.Array], Sequence[jax.Array]]
    to_coordinates: Callable[[Sequence[jax.Array], jax.Array], Sequence[jax.Array]]
    evaluate: Callable[..., jax.Array]
    latex: Callable[..., str]
    integral: Callable[..., jax.Array] | None = None
    diverges: Callable[..., Any] | None = None
    instead: Callable[[Rate, Collection[str]], tuple[Parameter, ...]] | None = None
    complete: Callable[[Sequence[Any], jax.Array], Sequence[jax.Array]] | None = None
    typical: Callable[[float], tuple[float, ...]] | None = None
    signed: bool = False

    def sampled(self, rate: Rate, known: Collection[str]) -> tuple[Parameter, ...]:
        """Return the rows of what is sampled where something is known of these parameters."""
        names = {row.name for row in self.reported(rate)} & {*known}
        if not names or self.instead is None:
            return self.coordinates(rate)
        return self.instead(rate, names)

    def made_of(
        self, rate: Rate, values: Mapping[str, Any], t_ref: jax.Array
    ) -> Sequence[jax.Array]:
        """Return all reported values by those of what was sampled, by name."""
        if self.complete is None:
            return self.to_reported([values[row.name] for row in self.coordinates(rate)], t_ref)
        return self.complete([values.get(row.name) for row in self.parameters(rate)], t_ref)

    def parameters(self, rate: Rate) -> tuple[Parameter, ...]:
        """Return the rows of all parameters of a rate that follows this law."""
        return (*self.reported(rate), *self.coordinates(rate))

    def clock(self, points: ShardGrid) -> jax.Array:
        """Return the times in s at which it is evaluated, (G,): not t = 0 if it diverges there."""
        return points.time if self.diverges is None else kernels.clock(points)

    def integrated(self, points: ShardGrid, reported: Sequence[jax.Array]) -> jax.Array:
        """Return the integral from the first frame to every frame, (G,), as points say how.

        ``reported`` are values of the parameters that are reported.
        """
        integral = self.integral
        return integrated(
            points,
            lambda time: self.evaluate(time, *reported),
            None if integral is None else lambda time: integral(time, *reported),
        )

    def example(self, rate: Rate) -> tuple[tuple[str, float], ...]:
        """Return reported parameters of a typical rate, by name; none if the law states none."""
        if self.typical is None:
            return ()
        names = (row.name for row in self.reported(rate))
        return tuple(zip(names, self.typical(math.exp(rate.level.loc)), strict=True))

    def level(self, rate: Rate) -> str:
        """Return the coordinate that is the logarithm of the rate at t_ref; empty if none is."""
        rows = self.coordinates(rate)
        return next((row.name for row in rows if row.prior == rate.level), "")


def integrated(points: ShardGrid, rate: OfTime, integral: OfTime | None = None) -> jax.Array:
    """Return the integral of a rate from the first frame to every frame, (G,), as points say how.

    ``rate(time)`` is the rate at times in s, of any shape, and ``integral(time)`` its integral from
    the first to every one of ascending times.
    """
    return INTEGRATIONS[points.integration].integrate(points, rate, integral)


def distribution(prior: Prior) -> dist.Distribution:
    """Return the NumPyro distribution of a prior.

    Raises
    ------
    InputError
        If the prior holds a value: `draw` then samples nothing.
    """
    if prior.fixed:
        raise InputError(
            f"a parameter {prior} has no distribution: let the model draw it by "
            "rates.draw(name, priors), or do not hold it"
        )
    if prior.family == "uniform":
        return dist.Uniform(prior.low, prior.high)
    return _truncated(prior) if prior.truncated else _FAMILIES[prior.family](prior.loc, prior.scale)


def _truncated(prior: Prior) -> dist.Distribution:
    family = prior.family.removeprefix("log") if prior.positive else prior.family
    base = dist.TruncatedDistribution(_FAMILIES[family](prior.loc, prior.scale), *_ends(prior))
    if not prior.positive:
        return base
    exp = dist.transforms.ExpTransform(domain=base.support)
    return dist.TransformedDistribution(base, exp)


def _ends(prior: Prior) -> tuple[float | None, float | None]:
    """Return where a truncated prior ends, on the line where it is stated; None for never."""
    low, high = (prior.place_of(end) for end in (prior.low, prior.high))
    return low if prior.low > -math.inf else None, high if prior.high < math.inf else None


def draw(name: str, priors: Mapping[str, Prior]) -> jax.Array:
    """Sample a parameter of this name, (), or return its value where that is held."""
    prior = priors[name]
    if prior.fixed:
        return numpyro.deterministic(name, jnp.asarray(prior.loc, float))
    return numpyro.sample(name, distribution(prior))


def log_level(rate: Rate) -> Parameter:
    """Return the row of the logarithm of a rate at t_ref, a coordinate of most laws."""
    return Parameter(
        f"log_{rate.name}_ref",
        f"log {rate.symbol}(t_ref)",
        rf"\log {rate.latex}(t_\mathrm{{ref}})",
        f"log {rate.unit}",
        f"level of the {rate.meaning} at t_ref",
        prior=rate.level,
        role="coordinate",
    )


def reference_time(points: ShardGrid) -> jax.Array:
    """Return t_ref in s, (), at which level and slope are stated: after 1/e of all frames."""
    first, last = points.time[0], points.time[-1]
    return first + (last - first) / jnp.e


def sample(
    rate: Rate, law: RateLaw, points: ShardGrid, priors: Mapping[str, Prior]
) -> kernels.History:
    """Sample a rate that follows a law: its values at the frames, in its unit, and integral.

    What has a prior is sampled: the coordinates, or what takes their place; the other reported
    parameters and the rate itself are kept as deterministic sites. Reported values that a handler
    puts in place are the ones that count, so that a truth can be stated by them.
    """
    drawn = {row.name: draw(row.name, priors) for row in law.sampled(rate, priors)}
    reported = [
        drawn[row.name] if row.name in drawn else numpyro.deterministic(row.name, value)
        for row, value in zip(
            law.reported(rate), law.made_of(rate, drawn, reference_time(points)), strict=True
        )
    ]
    values = numpyro.deterministic(rate.name, law.evaluate(law.clock(points), *reported))
    return kernels.History(values, law.integrated(points, reported))
