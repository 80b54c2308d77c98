"""Models by name: which parameters they have, and g1 and g2 from them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.compat.bounds import (
    MODES,
    check_mode,
    get_default_parameters,
    has_flow,
    parameter_bounds,
    parameter_names,
)
from homodyne_bayes.compat.functions import (
    compute_chi_squared,
    compute_g1_total,
    compute_g2_scaled,
)
from homodyne_bayes.environment import require_x64
from homodyne_bayes.errors import InputError, suggest

Parameters = ArrayLike | Mapping[str, Any]


class PhysicsModel:
    """What the three models share; parameters are an array in order, or a mapping by name.

    Attributes
    ----------
    name : str
        What the model is called.
    kind : str
        What its parameters are called in `homodyne_bayes.compat.bounds`.
    """

    name: str
    kind: str

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Return the n parameters in order."""
        return parameter_names(self.kind)

    @property
    def n_params(self) -> int:
        """Return n, the number of parameters."""
        return len(self.parameter_names)

    def compute_g1(self, params: Parameters, *experiment: Any, **options: Any) -> jax.Array:
        """Return g1, floored at 1e-10, (P, n1, n2), or (N,) with ``paired=True``.

        Parameters
        ----------
        params : array_like or Mapping
            (n,) parameters.
        *experiment, **options
            ``t1, t2, phi, q, L, dt`` and more as `compute_g1_total` takes them.
        """
        return compute_g1_total(self.parameters(params), *experiment, **options)

    def compute_g1_batch(self, params: Parameters, *experiment: Any, **options: Any) -> jax.Array:
        """Return g1 of triples (t1, t2, phi), (N,); arguments of `compute_g1`."""
        return self.compute_g1(params, *experiment, **options, paired=True)

    def compute_g2(self, params: Parameters, *experiment: Any, **options: Any) -> jax.Array:
        """Return g2 = offset + contrast g1², (P, n1, n2), or (N,) with ``paired=True``.

        Parameters
        ----------
        params : array_like or Mapping
            (n,) parameters.
        *experiment, **options
            ``t1, t2, phi, q, L, contrast, offset, dt`` and more as `compute_g2_scaled` takes them.
        """
        return compute_g2_scaled(self.parameters(params), *experiment, **options)

    def compute_g2_batch(self, params: Parameters, *experiment: Any, **options: Any) -> jax.Array:
        """Return g2 of triples (t1, t2, phi), (N,); arguments of `compute_g2`."""
        return self.compute_g2(params, *experiment, **options, paired=True)

    def compute_chi_squared(
        self, params: Parameters, *experiment: Any, **options: Any
    ) -> jax.Array:
        """Return chi² of (n,) parameters; arguments of `functions.compute_chi_squared`."""
        return compute_chi_squared(self.parameters(params), *experiment, **options)

    def get_parameter_bounds(self) -> list[tuple[float, float]]:
        """Return the bounds of the parameters in order."""
        return parameter_bounds(self.kind)

    def get_default_parameters(self) -> np.ndarray:
        """Return the default parameters, (n,)."""
        return get_default_parameters(self.kind)

    def get_parameter_dict(self, params: Parameters) -> dict[str, Any]:
        """Return the (n,) parameters by name."""
        return dict(zip(self.parameter_names, self.parameters(params).tolist(), strict=True))

    def parameters(self, params: Parameters) -> jax.Array:
        """Return parameters given in order or by name as an array, (n,).

        Raises
        ------
        InputError
            For a name that is unknown or missing, or another number of them.
        """
        require_x64()
        if isinstance(params, Mapping):
            params = jnp.stack([jnp.asarray(value, float) for value in self._ordered(params)])
        theta = jnp.asarray(params, dtype=float)
        if theta.shape != (self.n_params,):
            raise InputError(
                f"{self.name} has {self.n_params} parameters, "
                f"{', '.join(self.parameter_names)}, found shape {theta.shape}; pass "
                "one value of each"
            )
        return theta

    def _ordered(self, params: Mapping[str, Any]) -> list[Any]:
        """Return n values given by name, in order."""
        names = self.parameter_names
        for name in params:
            if name not in names:
                raise InputError(f"{name!r} is no parameter of {self.name}; {suggest(name, names)}")
        missing = [name for name in names if name not in params]
        if missing:
            raise InputError(
                f"parameters must hold {', '.join(names)}; missing: {', '.join(missing)}"
            )
        return [params[name] for name in names]


class DiffusionModel(PhysicsModel):
    """Anomalous diffusion, D(t) = D0 t^alpha + D_offset; the same at every azimuth."""

    name = "anomalous_diffusion"
    kind = "diffusion"


class ShearModel(PhysicsModel):
    """A shear rate γ̇(t) = gamma_dot_t0 t^beta + gamma_dot_t_offset along phi0, nothing else."""

    name = "time_dependent_shear"
    kind = "shear"


class CombinedModel(PhysicsModel):
    """Diffusion and, in mode laminar_flow, shear.

    Parameters
    ----------
    analysis_mode : str
        A key of `homodyne_bayes.compat.bounds.MODES`.

    Raises
    ------
    InputError
        For another mode; the message names the nearest.
    """

    def __init__(self, analysis_mode: str = "laminar_flow") -> None:
        self.kind = self.analysis_mode = check_mode(analysis_mode)
        flow = has_flow(self.kind)
        self.name = "laminar_flow_complete" if flow else "static_diffusion"


def create_model(analysis_mode: str) -> CombinedModel:
    """Return the model of a mode of analysis.

    Raises
    ------
    InputError
        If there is no such mode; the message names the nearest.
    """
    return CombinedModel(analysis_mode)


def get_available_models() -> list[str]:
    """Return the modes of analysis."""
    return list(MODES)
