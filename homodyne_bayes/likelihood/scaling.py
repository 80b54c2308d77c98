"""How contrast and offset vary from angle to angle: a table of scalings.

c2 is linear in contrast and offset and their priors are Normal, so that they can be integrated
exactly: then only the physical parameters are sampled, see `homodyne_bayes.likelihood.marginal`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from homodyne_bayes.likelihood.marginal import NormalPrior
from homodyne_bayes.parameters import PER_ANGLE, Parameter, Prior
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rates import DEGREES_OF_FREEDOM, distribution

DEFAULT_ORDER = 2  # of the harmonics, where none is named


@dataclass(frozen=True)
class Scaling:
    """One way in which contrast and offset vary.

    Attributes
    ----------
    title : str
        What it is, in one line.
    sample : callable
        ``sample(points, priors, name, order)`` samples contrast or offset, ``name``, of every
        angle, (P,); their `NormalPrior` where they are integrated.
    parameters : tuple of Parameter
        Rows of all that is sampled or reported of contrast and offset.
    order : int
        Number of harmonics of the azimuth.
    integrated : bool
        Whether contrast and offset are integrated out exactly instead of being sampled.
    prior_of : str
        Ending of the name of what the prior of ``contrast`` and ``offset`` is that of.
    held : bool
        Whether contrast and offset are held at the centres of their priors.
    per_angle : bool
        Whether what is sampled is contrast and offset of every angle.
    warning : str
        What a reader must know before using the intervals; empty where there is nothing.
    """

    title: str
    sample: Callable[[ShardGrid, Mapping[str, Prior], str, int], Any]
    parameters: tuple[Parameter, ...]
    order: int = 0
    integrated: bool = False
    prior_of: str = ""
    held: bool = False
    per_angle: bool = False
    warning: str = ""

    def stated(self, priors: Mapping[str, Prior]) -> dict[str, str]:
        """Return priors in words, those of contrast and offset by what they are priors of."""
        table = {name: str(prior) for name, prior in priors.items()}
        for name in PER_ANGLE:
            if self.held:
                table[name] = f"fixed at {priors[name].loc:.5g}"
            elif self.prior_of:
                table[f"{name}{self.prior_of}"] = table.pop(name)
        return table


CONTRAST = Parameter(
    "contrast",
    "contrast",
    r"\mathrm{contrast}",
    "",
    "speckle contrast, per angle",
    (0.0, 1.0),
    0.5,
    Prior("logstudent", -2.3, 1.0, "0.01 to 1, by beam, pixel and distance"),
    "scaling",
)
OFFSET = Parameter(
    "offset",
    "offset",
    r"\mathrm{offset}",
    "",
    "baseline, per angle",
    (0.5, 1.5),
    1.0,
    Prior("student", 1.0, 0.005, "1 of normalised maps, unless the beam or the bin is uneven"),
    "scaling",
)
NORMAL = (  # where they are integrated in closed form, or held
    replace(CONTRAST, prior=Prior("normal", 0.25, 0.25, "0.01 to 1, as a Normal can say it")),
    replace(OFFSET, prior=Prior("normal", 1.0, 0.01, "1 of normalised maps")),
)
SPREAD = {"contrast": 0.03, "offset": 0.4}  # over angles: of the value; of the prior's scale


def _of_all_angles(
    ending: str, latex: str, meaning: str, priors: tuple[Prior | None, Prior | None]
) -> tuple[Parameter, ...]:
    """Return the rows with this ending of contrast and of offset, whose priors these are."""
    return tuple(
        Parameter(
            f"{name}_{ending}",
            f"{name}, {ending}",
            latex.replace("NAME", rf"\mathrm{{{name}}}"),
            "",
            meaning.format(word),
            prior=prior,
            role="scaling",
        )
        for name, word, prior in zip(PER_ANGLE, ("contrast", "baseline"), priors, strict=True)
    )


MEANS = _of_all_angles("mean", r"\overline{NAME}", "{}, mean over angles", (None, None))
HARMONICS = _of_all_angles(
    "harmonics",
    "NAME_k",
    "cosine and sine of φ, 2φ, … in the {}",
    (Prior("normal", 0.0, 0.1), Prior("normal", 0.0, 0.1)),
)
SPREADS = _of_all_angles(
    "spread",
    r"\sigma_NAME",
    "sd of the {} over angles",
    (Prior("lognormal", -3.5, 1.0), Prior("lognormal", -4.5, 1.0)),
)


def harmonics(phi: jax.Array, order: int) -> jax.Array:
    """Return cosines and sines of phi, 2 phi, ... of azimuths (P,) in degree, (P, 2 order)."""
    angle = jnp.deg2rad(phi)[:, None] * jnp.arange(1, order + 1)
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=1)


def _individual(
    points: ShardGrid, priors: Mapping[str, Prior], name: str, _order: int
) -> jax.Array:
    with numpyro.plate("phi", points.phi.shape[0]):
        return numpyro.sample(name, distribution(priors[name]))


def _shared(points: ShardGrid, priors: Mapping[str, Prior], name: str, _order: int) -> jax.Array:
    """Sample values that lie about one that all angles share.

    Where the prior is Student's t it is that of all values jointly, so that level and spread are as
    large as all angles together say. The prior of what is positive is that of its logarithm.
    """
    prior, ones = priors[name], np.ones(points.phi.shape[0])
    spread = SPREAD[name] * (1.0 if prior.positive else prior.scale)
    scale = prior.scale**2 * np.outer(ones, ones) + spread**2 * np.diag(ones)
    centre, root = prior.loc * ones, np.linalg.cholesky(scale)
    joint = dist.MultivariateNormal(centre, scale_tril=root)
    if prior.heavy:
        joint = dist.MultivariateStudentT(DEGREES_OF_FREEDOM, centre, root)
    if prior.positive:
        joint = dist.TransformedDistribution(joint, dist.transforms.ExpTransform())
    return numpyro.sample(name, joint)


def _constant(points: ShardGrid, priors: Mapping[str, Prior], name: str, _order: int) -> jax.Array:
    return jnp.full_like(points.phi, priors[name].loc)


def _fourier(points: ShardGrid, priors: Mapping[str, Prior], name: str, order: int) -> jax.Array:
    mean = numpyro.sample(f"{name}_mean", distribution(priors[name]))
    value = jnp.broadcast_to(mean, points.phi.shape)
    waves = harmonics(points.phi, order)
    if waves.shape[1]:
        wave = distribution(priors[f"{name}_harmonics"]).expand(waves.shape[1:])
        value += waves @ numpyro.sample(f"{name}_harmonics", wave.to_event(1))
    return numpyro.deterministic(name, value)


def _hierarchical(
    _points: ShardGrid, priors: Mapping[str, Prior], name: str, _order: int
) -> NormalPrior:
    mean = numpyro.sample(f"{name}_mean", distribution(priors[name]))
    spread = distribution(priors[f"{name}_spread"])
    return NormalPrior(mean, numpyro.sample(f"{name}_spread", spread))


def _marginal(
    _points: ShardGrid, priors: Mapping[str, Prior], name: str, _order: int
) -> NormalPrior:
    return NormalPrior(jnp.asarray(priors[name].loc), jnp.asarray(priors[name].scale))


SHARED = Scaling(
    "every angle has its own, about one value that all share",
    _shared,
    (CONTRAST, OFFSET),
    per_angle=True,
)
SCALINGS: dict[str, Scaling] = {
    "shared": SHARED,
    "individual": Scaling(
        "every angle has its own, with the same prior",
        _individual,
        (CONTRAST, OFFSET),
        per_angle=True,
    ),
    "averaged": Scaling(
        "all angles have the same", _fourier, (CONTRAST, OFFSET, *MEANS), prior_of="_mean"
    ),
    "constant": Scaling(
        "all angles have the same, held at the centres of the priors",
        _constant,
        NORMAL,
        held=True,
        warning="Contrast and offset were held fixed, and the intervals ignore that they are "
        "uncertain; quantiles misjudge them where the maps do not decay to their baseline.",
    ),
    "fourier": Scaling(
        "a mean and K harmonics of the azimuth, fourier:K",
        _fourier,
        (CONTRAST, OFFSET, *MEANS, *HARMONICS),
        order=DEFAULT_ORDER,
        prior_of="_mean",
    ),
    "hierarchical": Scaling(
        "every angle has its own; their mean and spread are sampled, they are integrated",
        _hierarchical,
        (*NORMAL, *MEANS, *SPREADS),
        integrated=True,
        prior_of="_mean",
    ),
    "marginal": Scaling(
        "every angle has its own, with the same prior; they are integrated",
        _marginal,
        NORMAL,
        integrated=True,
    ),
}


def scaling_of(name: str) -> Scaling:
    """Return a scaling by name; ``fourier:3`` has three harmonics.

    Raises
    ------
    KeyError
        If there is none of this name.
    ValueError
        If the number of harmonics is no number, or of a scaling that has none.
    """
    name, colon, order = name.partition(":")
    scaling = SCALINGS[name]
    if not colon:
        return scaling
    if not scaling.order or not order.isdecimal():
        raise ValueError(name)
    return replace(scaling, order=int(order))
