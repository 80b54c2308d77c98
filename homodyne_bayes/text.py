"""How places and numbers are written."""

import xarray as xr


def degrees(phi: float, digits: int = 4) -> str:
    """Return an azimuth as text."""
    return f"{phi:.{digits}g}°".replace("-", "−")


def place(phi: xr.DataArray, digits: int = 4) -> str:
    """Return the azimuth of one map as text, with its wavevector where these differ."""
    if phi.dtype.kind in "OU":
        return str(phi.item())
    q = f", {float(phi.coords['q']):.{digits}g} 1/Å" if "q" in phi.coords else ""
    return degrees(float(phi), digits) + q
