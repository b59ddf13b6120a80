"""Spectral indices of snow, ice, water and vegetation, computed on reflectance.

A zero denominator gives NaN. Otherwise each value is the formula's own: where noise makes
reflectance negative, a quotient can leave the limits it keeps on possible input.

Indices that repeat another one are left out, because they add no information and split
its importance: MNDWI (Xu 2006) equals NDSI; the NDSII of Keshri et al. (2009) equals
NDWI, so that NDSII here is that of Xiao et al. (2001); NDBI is NDMI with the sign changed.
NDMI is NDVI and twice S3, exactly; all three stay, as each is read on its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numba import vectorize

from cryonet.layers.spec import Array, Compute, LayerSpec

Bands = Mapping[str, Array]


# One pass over the bands for each index. What is not finite minus itself is not zero.
@vectorize(["float32(float32, float32)"], cache=True)  # type: ignore[no-untyped-call]
def _quotient(a, b):  # type: ignore[no-untyped-def]
    value = a / b
    return value if value - value == 0 else np.float32(np.nan)


@vectorize(["float32(float32, float32, float32)"], cache=True)  # type: ignore[no-untyped-call]
def _shifted_difference(a, b, shift):  # type: ignore[no-untyped-def]
    value = (a - b - shift) / (a + b)
    return value if value - value == 0 else np.float32(np.nan)


@vectorize(["float32(float32, float32, float32)"], cache=True)  # type: ignore[no-untyped-call]
def _s3(nir, red, swir16):  # type: ignore[no-untyped-def]
    value = nir * (red - swir16) / ((nir + red) * (nir + swir16))
    return value if value - value == 0 else np.float32(np.nan)


@vectorize(["float32(float32, float32, float32, float32, float32)"], cache=True)  # type: ignore[no-untyped-call]
def _awei_sh(blue, green, nir, swir16, swir22):  # type: ignore[no-untyped-def]
    infrared = np.float32(1.5) * (nir + swir16) + np.float32(0.25) * swir22
    return blue + np.float32(2.5) * green - infrared


@vectorize(["float32(float32, float32, float32, float32)"], cache=True)  # type: ignore[no-untyped-call]
def _awei_nsh(green, nir, swir16, swir22):  # type: ignore[no-untyped-def]
    infrared = np.float32(0.25) * nir + np.float32(2.75) * swir22
    return np.float32(4) * (green - swir16) - infrared


def _call(ufunc: Any, *operands: Any) -> Array:
    # Noise may divide by zero: the result says so, a warning need not.
    with np.errstate(all="ignore"):
        result: Array = ufunc(*operands)
    return result


def normalised_difference(bands: Bands, cell: float, *, first: str, second: str) -> Array:
    """Return (first - second) / (first + second), float32, NaN where the sum is zero.

    Examples
    --------
    >>> bands = {"green": np.float32([[0.12, 0]]), "swir16": np.float32([[0.25, 0]])}
    >>> normalised_difference(bands, 10.0, first="green", second="swir16").round(4)
    array([[-0.3514,     nan]], dtype=float32)
    """
    return _call(_shifted_difference, bands[first], bands[second], np.float32(0))


def band_ratio(bands: Bands, cell: float) -> Array:
    """Return red / swir16: high on ice and snow, low on rock and vegetation.

    References
    ----------
    Paul et al. 2016, Remote Sens. 8(7), 575.
    """
    return _call(_quotient, bands["red"], bands["swir16"])


def iron_oxide(bands: Bands, cell: float) -> Array:
    """Return the iron oxide ratio, red / blue, high on rock rich in ferric iron."""
    return _call(_quotient, bands["red"], bands["blue"])


def s3(bands: Bands, cell: float) -> Array:
    """Return the S3 snow index, which tells snow among vegetation.

    References
    ----------
    Saito and Yamazaki 1999, J. Japan Soc. Hydrol. Water Resour. 12(1), 28-38.
    """
    return _call(_s3, *(bands[name] for name in ("nir", "red", "swir16")))


def awei_sh(bands: Bands, cell: float) -> Array:
    """Return the automated water extraction index for ground with shadow.

    References
    ----------
    Feyisa et al. 2014, Remote Sens. Environ. 140, 23-35.
    """
    return _call(_awei_sh, *(bands[n] for n in ("blue", "green", "nir", "swir16", "swir22")))


def awei_nsh(bands: Bands, cell: float) -> Array:
    """Return the automated water extraction index for ground without shadow.

    References
    ----------
    Feyisa et al. 2014, Remote Sens. Environ. 140, 23-35.
    """
    return _call(_awei_nsh, *(bands[n] for n in ("green", "nir", "swir16", "swir22")))


def ndsi_nw(bands: Bands, cell: float) -> Array:
    """Return the snow index without water: (nir - swir16 - 0.05) / (nir + swir16).

    References
    ----------
    Yan et al. 2020, Water 12(5), 1339.
    """
    return _call(_shifted_difference, bands["nir"], bands["swir16"], np.float32(0.05))


def _difference(name: str, first: str, second: str, title: str, reference: str) -> LayerSpec:
    return LayerSpec(
        name=name,
        family="indices",
        long_name=title,
        formula=f"({first} - {second}) / ({first} + {second})",
        units="1",
        needs=(first, second),
        compute=partial(normalised_difference, first=first, second=second),
        reference=reference,
        valid_range=(-1.0, 1.0),
    )


def _formula(
    compute: Compute, needs: tuple[str, ...], title: str, formula: str, reference: str,
    *, name: str, limits: tuple[float, float] = (float("-inf"), float("inf")),
) -> LayerSpec:  # fmt: skip
    return LayerSpec(
        name=name,
        family="indices",
        long_name=title,
        formula=formula,
        units="1",
        needs=needs,
        compute=compute,
        reference=reference,
        valid_range=limits,
    )


_FEYISA = "Feyisa et al. 2014, Remote Sens. Environ. 140, 23-35"

#: The spectral indices.
INDICES = (
    _difference(
        "ndsi", "green", "swir16", "normalised difference snow index",
        "Hall et al. 1995, Remote Sens. Environ. 54(2), 127-140",
    ),
    _difference(
        "ndwi", "green", "nir", "normalised difference water index",
        "McFeeters 1996, Int. J. Remote Sens. 17(7), 1425-1432",
    ),
    _difference(
        "ndvi", "nir", "red", "normalised difference vegetation index",
        "Rouse et al. 1974, NASA SP-351, 309-317",
    ),
    _difference(
        "ndgi", "green", "red", "normalised difference glacier index",
        "Keshri et al. 2009, Int. J. Remote Sens. 30(2), 519-524",
    ),
    _difference(
        "ndsii", "red", "swir16", "normalised difference snow and ice index",
        "Xiao et al. 2001, Int. J. Remote Sens. 22(13), 2479-2487",
    ),
    _formula(
        band_ratio, ("red", "swir16"), "red to short-wave infrared ratio", "red / swir16",
        "Paul et al. 2016, Remote Sens. 8(7), 575", name="band_ratio", limits=(0.0, float("inf")),
    ),
    _formula(
        s3, ("red", "nir", "swir16"), "S3 snow index",
        "nir (red - swir16) / ((nir + red) (nir + swir16))",
        "Saito and Yamazaki 1999, J. Japan Soc. Hydrol. Water Resour. 12(1), 28-38",
        name="s3", limits=(-1.0, 1.0),
    ),
    _formula(
        awei_sh, ("blue", "green", "nir", "swir16", "swir22"),
        "automated water extraction index, shadow",
        "blue + 2.5 green - 1.5 (nir + swir16) - 0.25 swir22", _FEYISA, name="awei_sh",
    ),
    _formula(
        awei_nsh, ("green", "nir", "swir16", "swir22"),
        "automated water extraction index, no shadow",
        "4 (green - swir16) - (0.25 nir + 2.75 swir22)", _FEYISA, name="awei_nsh",
    ),
    _difference(
        "ndmi", "nir", "swir16", "normalised difference moisture index",
        "Gao 1996, Remote Sens. Environ. 58(3), 257-266",
    ),
    _formula(
        ndsi_nw, ("nir", "swir16"), "normalised difference snow index, no water",
        "(nir - swir16 - 0.05) / (nir + swir16)", "Yan et al. 2020, Water 12(5), 1339",
        name="ndsi_nw", limits=(float("-inf"), 1.0),
    ),
    _formula(
        iron_oxide, ("red", "blue"), "iron oxide ratio", "red / blue",
        "Segal 1982, Proc. 2nd Thematic Conf. Remote Sens. Expl. Geol., 949-951",
        name="iron_oxide", limits=(0.0, float("inf")),
    ),
)  # fmt: skip
