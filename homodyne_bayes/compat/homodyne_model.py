"""The model of one experiment, made from a configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from homodyne_bayes.compat import formula
from homodyne_bayes.compat.bounds import UPSTREAM_DEFAULTS, check_mode, parameter_names
from homodyne_bayes.compat.factors import create_physics_factors_from_config_dict, setting
from homodyne_bayes.compat.geometry import Geometry
from homodyne_bayes.compat.modes import Parameters, create_model
from homodyne_bayes.data.axes import check_azimuths
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path
from homodyne_bayes.results.figures_of_maps import image, panels
from homodyne_bayes.text import degrees

CONTRAST, OFFSET = UPSTREAM_DEFAULTS["contrast"], UPSTREAM_DEFAULTS["offset"]


class HomodyneModel:
    """Maps of one experiment, described by a configuration as homodyne documents it.

    Parameters
    ----------
    config : Mapping
        ``analyzer_parameters`` holds ``temporal`` (``dt`` in s, ``start_frame`` and ``end_frame``,
        both included), ``scattering.wavevector_q`` (1/Å) and ``geometry.stator_rotor_gap`` (Å).
        ``analysis_settings`` (``static_mode``, ``isotropic_mode``) or ``analysis_mode`` choose the
        mode; without either it is laminar_flow.
    convention : {"upstream", "gap-average"}
        Meaning of the shear phase, see `homodyne_bayes.physics.kernels`.

    Attributes
    ----------
    physics_factors : PhysicsFactors
        q, L and dt, and what follows from them.
    model : CombinedModel
        The model of the mode.
    time_array : numpy.ndarray
        (G,) frame times from 0, s.
    analysis_mode : str
        The mode.
    start_frame, end_frame : int
        First and last frame.

    Raises
    ------
    InputError
        If something is missing or cannot be; the message names the key.
    """

    def __init__(self, config: Mapping[str, Any], convention: str = "upstream") -> None:
        self.physics_factors = create_physics_factors_from_config_dict(config)
        self.start_frame, self.end_frame = (
            _frame(config, f"analyzer_parameters.temporal.{name}")
            for name in ("start_frame", "end_frame")
        )
        if self.end_frame <= self.start_frame:
            raise InputError(
                f"end_frame must come after start_frame = {self.start_frame}, found "
                f"{self.end_frame}; pass the last frame of the data"
            )
        self.analysis_mode = mode_of(config)
        self.convention = convention
        self.model = create_model(self.analysis_mode)
        self.time_array = self.dt * np.arange(self.end_frame - self.start_frame + 1)

    @property
    def dt(self) -> float:
        """Return the time between frames, s."""
        return self.physics_factors.dt

    @property
    def wavevector_q(self) -> float:
        """Return q, 1/Å."""
        return self.physics_factors.wavevector_q

    @property
    def stator_rotor_gap(self) -> float:
        """Return L, Å."""
        return self.physics_factors.stator_rotor_gap

    @property
    def config_summary(self) -> dict[str, Any]:
        """Return what the configuration came to."""
        return {
            "dt": self.dt,
            "time_length": len(self.time_array),
            "time_range": [0.0, float(self.time_array[-1])],
            "wavevector_q": self.wavevector_q,
            "stator_rotor_gap": self.stator_rotor_gap,
            "analysis_mode": self.analysis_mode,
            "convention": self.convention,
            "physics_factors": self.physics_factors.to_dict(),
            "start_frame": self.start_frame,
            "end_frame": self.end_frame,
        }

    def compute_c2(
        self,
        params: Parameters,
        phi_angles: ArrayLike,
        contrast: ArrayLike = CONTRAST,
        offset: ArrayLike = OFFSET,
    ) -> np.ndarray:
        """Return c2 of every angle, (P, G, G).

        Parameters
        ----------
        params : array_like or Mapping
            (3,) or (7,) parameters of the mode.
        phi_angles : array_like
            (P,) azimuths, degree.
        contrast, offset : array_like
            One value, or (P,).
        """
        t, factors = self.time_array, self.physics_factors
        q, L, dt = factors.wavevector_q, factors.stator_rotor_gap, factors.dt
        where = Geometry(t, t, phi_angles, q, L, dt, convention=self.convention)
        return np.asarray(formula.g2(self.model.parameters(params), where, contrast, offset))

    def compute_c2_single_angle(
        self,
        params: Parameters,
        phi: float,
        contrast: float = CONTRAST,
        offset: float = OFFSET,
    ) -> np.ndarray:
        """Return c2 of one angle in degree, (G, G); parameters as in `compute_c2`."""
        return self.compute_c2(params, [phi], contrast, offset)[0]

    def plot_simulated_data(
        self,
        params: Parameters,
        phi_angles: ArrayLike,
        output_dir: str | Path = "./simulated_data",
        contrast: ArrayLike = CONTRAST,
        offset: ArrayLike = OFFSET,
        generate_plots: bool = True,
    ) -> tuple[np.ndarray, Path]:
        """Write c2 as c2_simulated_data.npz and as one heat map for every angle.

        Parameters
        ----------
        params, phi_angles, contrast, offset
            As in `compute_c2`; angles must differ.
        output_dir : str or Path
            Folder to write to; made where it does not exist.
        generate_plots : bool
            Whether to draw the heat maps, c2_simulated_phi_<angle>deg.png.

        Returns
        -------
        c2 : numpy.ndarray
            (P, G, G).
        path : Path
            The NPZ file, which holds c2_data, phi_angles, time_array, params, contrast, offset,
            dt, convention and the physics factors.

        Raises
        ------
        InputError
            If two angles are the same, or the folder cannot be written to.
        """
        phi = np.atleast_1d(np.asarray(phi_angles, float))
        check_azimuths(phi, phi.size)
        c2 = self.compute_c2(params, phi, contrast, offset)
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "c2_simulated_data.npz"
        factors = self.physics_factors.to_dict()
        written: dict[str, Any] = {
            "c2_data": c2,
            "phi_angles": phi,
            "time_array": self.time_array,
            "params": np.asarray(self.model.parameters(params)),
            "contrast": np.asarray(contrast),
            "offset": np.asarray(offset),
            "dt": self.dt,
            "convention": self.convention,
            **{f"pf_{name}": value for name, value in factors.items()},
        }
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, **written)
        if generate_plots:
            _heat_maps(c2, phi, self.time_array, folder)
        return c2, path


def _frame(config: Mapping[str, Any], path: str) -> int:
    """Return the index of a frame from a configuration, at a dotted path."""
    value = setting(config, path)
    if not isinstance(value, int | np.integer) or value < 0:
        raise InputError(
            f"{path} must be the index of a frame, 0 or more, found {value!r}; pass "
            "the frame itself"
        )
    return int(value)


def mode_of(config: Mapping[str, Any]) -> str:
    """Return the mode of analysis that a configuration chooses."""
    settings, named = config.get("analysis_settings"), config.get("analysis_mode")
    if not settings:
        return check_mode(named) if named else "laminar_flow"
    isotropic = "static_isotropic" if settings.get("isotropic_mode") else "static_anisotropic"
    mode = isotropic if settings.get("static_mode") else "laminar_flow"
    if named and parameter_names(check_mode(named)) != parameter_names(mode):
        raise InputError(
            f"analysis_settings choose {mode}, but analysis_mode is {named!r}; leave "
            "one of them out"
        )
    return mode


def _heat_maps(c2: np.ndarray, phi: np.ndarray, time: np.ndarray, folder: Path) -> None:
    """Draw the maps (P, G, G) of azimuths (P,) over times (G,) in s on one colour scale, as PNG."""
    limits = (float(c2.min()), float(c2.max()))
    coords = {"t1": time, "t2": time}
    for values, angle in zip(c2, phi, strict=True):
        fig, (ax,) = panels(1, 1, 5.0, 4.0)
        c2_of_angle = xr.DataArray(values, coords, ("t1", "t2"))
        image(ax, c2_of_angle, limits, "viridis", f"φ = {degrees(angle)}")
        fig.colorbar(ax.images[0], ax=ax, label=r"$c_2$")
        with atomic_path(folder / f"c2_simulated_phi_{angle:.6g}deg.png") as temporary:
            fig.savefig(temporary, dpi=150)
