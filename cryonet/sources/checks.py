"""Whether the numbers of a raster can be what they are offered as."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cryonet.errors import SceneError
from cryonet.scene import VARIABLES

Array = NDArray[np.float32]

#: Share of pixels outside a variable's limits above which its units must be wrong.
NOTABLE = 0.01

#: Reflectance below which, or above which all of it, dark ground cannot lie.
TOO_DARK, TOO_BRIGHT = -0.05, 0.09


def check_reflectance(values: Array, *, name: str, file: str) -> list[str]:
    """Return remarks on `values` offered as the reflectance of band `name`.

    Raises
    ------
    SceneError
        If over 1 % of them cannot be reflectance.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return [f"{name}: {file} holds no valid pixel on the scene's grid"]
    low, high = VARIABLES[name].limits
    share = float(np.mean((known < low) | (known > high)))
    if share > NOTABLE:
        span = f"{known.min():g} to {known.max():g}"
        raise SceneError(
            f"{name} in {file} is not reflectance",
            f"{span}, {share:.1%} outside {low:g} to {high:g}",
            "State scale and offset so that value = number × scale + offset is 0 to 1.",
        )
    remarks = []
    if share:
        remarks.append(f"{name}: {share:.3%} of pixels lie outside {low:g} to {high:g}")
    dark = float(np.quantile(known, 0.001))
    if dark < TOO_DARK:
        remarks.append(f"{name}: dark pixels reach {dark:.3f}; was an offset applied twice?")
    return remarks


def remark_on_floor(darkest: dict[str, float]) -> list[str]:
    """Return a remark if no band has dark pixels: the sign of an offset left out."""
    if len(darkest) < 2 or min(darkest.values()) < TOO_BRIGHT:
        return []
    floor = min(darkest.values())
    return [f"no band has pixels darker than {floor:.3f}; was an offset of -0.1 left out?"]


def check_elevation(values: Array, *, file: str, unit: str) -> None:
    """Refuse numbers that cannot be elevations in metres.

    Raises
    ------
    SceneError
        If the file states another unit, or any value lies outside the limits.
    """
    if unit and unit.lower() not in ("m", "metre", "meter", "metres", "meters"):
        raise SceneError("the DEM is not in metres", f"{file}: {unit}", "Convert it to metres.")
    low, high = VARIABLES["elevation"].limits
    known = values[np.isfinite(values)]
    if known.size and (known.min() < low or known.max() > high):
        raise SceneError(
            f"{file} holds numbers that are no elevations",
            f"{known.min():g} to {known.max():g} m",
            f"Elevations lie from {low:g} to {high:g} m; name the nodata number if it is one.",
        )


def check_coherence(values: Array, *, file: str) -> Array:
    """Return coherence, with excess by rounding (up to 1e-6) cut.

    Raises
    ------
    SceneError
        If any value lies outside 0 to 1.
    """
    known = values[np.isfinite(values)]
    if known.size and (known.min() < -1e-6 or known.max() > 1 + 1e-6):
        raise SceneError(
            f"{file} is not coherence",
            f"{known.min():g} to {known.max():g}",
            "Coherence lies from 0 to 1; give the file a scale, or its nodata number.",
        )
    return np.clip(values, 0.0, 1.0)


def wrap_phase(values: Array) -> tuple[Array, bool]:
    """Return phase in −π to π, and whether any of it had to be wrapped.

    Wrapping an unwrapped phase loses only the number of turns: it is exact.
    """
    known = values[np.isfinite(values)]
    if not known.size or np.abs(known).max() <= np.pi + 1e-4:
        return np.clip(values, np.float32(-np.pi), np.float32(np.pi)), False
    # In double precision: a phase of many turns has few digits left for the angle.
    phase = values.astype("float64")
    return (phase - 2 * np.pi * np.rint(phase / (2 * np.pi))).astype("float32"), True
