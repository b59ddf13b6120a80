"""Spectral indices of snow, ice, water and vegetation, computed on reflectance.

A zero denominator gives NaN. Otherwise each value is the formula's own: where noise makes
reflectance negative, a quotient can leave the limits it keeps on possible input.

Indices that repeat another one are left out, because they add no information and split
its importance: MNDWI (Xu 2006) equals NDSI; the NDSII of Keshri et al. (2009) equals
NDWI, so that NDSII here is that of Xiao et al. (2001); NDBI is NDMI with the sign changed.
NDMI is NDVI and twice S3, exactly; all three stay, as each is read on its own.

The catalogue of the package spyndex 0.12 gives the same values where it has an index of the
same meaning, but for AWEInsh: it lacks the bracket about the infrared terms of Feyisa et al.
(2014), and so adds the 2.75 swir22 that the paper subtracts. Its NDSII is that of Keshri.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from cryonet.errors import LayerError
from cryonet.layers.bands import in_bands
from cryonet.layers.indices_kernel import BANDS, NAMES, fill_indices
from cryonet.layers.spec import Array, LayerSpec

Bands = Mapping[str, Array]

_UNUSED = np.empty(0, np.float32)


def spectral_indices(
    bands: Bands, names: Sequence[str] = NAMES, *, threads: int = 1
) -> dict[str, Array]:
    """Return indices by name, all made in one pass over the bands.

    Parameters
    ----------
    bands
        Reflectance by canonical name, arrays of one shape ``(y, x)``, taken as float32; NaN
        where missing.
    names
        Names of `INDICES`, whose rows give formula and source.
    threads
        Stretches of pixels computed at once.

    Returns
    -------
    dict
        ``(y, x)`` float32 each, no unit; NaN where a band is missing or a sum is zero.

    Raises
    ------
    LayerError
        For an unknown name, a missing band, or bands that differ in shape.

    Examples
    --------
    >>> bands = {"green": np.float32([[0.12, 0]]), "swir16": np.float32([[0.25, 0]])}
    >>> spectral_indices(bands, ["ndsi"])["ndsi"].round(4)
    array([[-0.3514,     nan]], dtype=float32)
    """
    for name in names:
        if name not in NAMES:
            raise LayerError("there is no such index", name, f"Choose from {', '.join(NAMES)}.")
    needed = {band for spec in INDICES if spec.name in names for band in spec.needs}
    if not needed <= set(bands):
        lacking = ", ".join(sorted(needed - set(bands)))
        raise LayerError("a band is missing", lacking, f"Give {', '.join(sorted(needed))}.")
    shapes = {np.shape(bands[name]) for name in needed}
    if len(shapes) > 1:
        raise LayerError("the bands differ in shape", sorted(shapes), "Give one grid.")
    flat = tuple(
        np.ascontiguousarray(bands[name], np.float32).reshape(-1) if name in needed else _UNUSED
        for name in BANDS
    )
    made = {name: np.empty(shape, np.float32) for shape in shapes for name in names}
    outs = tuple(made[name].reshape(-1) if name in made else _UNUSED for name in NAMES)

    def stretch(first: int, last: int) -> None:
        fill_indices(flat, first, last, outs)

    size = max(out.size for out in outs)
    in_bands(stretch, size, max(1, -(-size // threads)), threads)
    return made


def index_layers(names: Sequence[str], arrays: Bands, cell: float) -> list[Array]:
    """Return the indices called `names`, as `spectral_indices` does."""
    made = spectral_indices(arrays, names)
    return [made[name] for name in names]


def index_layer(arrays: Bands, cell: float, *, name: str) -> Array:
    """Return one index: see `index_layers`."""
    return index_layers([name], arrays, cell)[0]


def _row(
    name: str, needs: tuple[str, ...], title: str, formula: str, reference: str,
    *, limits: tuple[float, float] = (float("-inf"), float("inf")),
) -> LayerSpec:  # fmt: skip
    return LayerSpec(
        name=name,
        family="indices",
        long_name=title,
        formula=formula,
        units="1",
        needs=needs,
        compute=partial(index_layer, name=name),
        reference=reference,
        valid_range=limits,
        together=index_layers,
    )


def _difference(name: str, first: str, second: str, title: str, reference: str) -> LayerSpec:
    formula = f"({first} - {second}) / ({first} + {second})"
    return _row(name, (first, second), title, formula, reference, limits=(-1.0, 1.0))


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
    _row(
        "band_ratio", ("red", "swir16"), "red to short-wave infrared ratio", "red / swir16",
        "Paul et al. 2016, Remote Sens. 8(7), 575", limits=(0.0, float("inf")),
    ),
    _row(
        "s3", ("red", "nir", "swir16"), "S3 snow index",
        "nir (red - swir16) / ((nir + red) (nir + swir16))",
        "Saito and Yamazaki 1999, J. Japan Soc. Hydrol. Water Resour. 12(1), 28-38",
        limits=(-1.0, 1.0),
    ),
    _row(
        "awei_sh", ("blue", "green", "nir", "swir16", "swir22"),
        "automated water extraction index, shadow",
        "blue + 2.5 green - 1.5 (nir + swir16) - 0.25 swir22", _FEYISA,
    ),
    _row(
        "awei_nsh", ("green", "nir", "swir16", "swir22"),
        "automated water extraction index, no shadow",
        "4 (green - swir16) - (0.25 nir + 2.75 swir22)", _FEYISA,
    ),
    _difference(
        "ndmi", "nir", "swir16", "normalised difference moisture index",
        "Gao 1996, Remote Sens. Environ. 58(3), 257-266",
    ),
    _row(
        "ndsi_nw", ("nir", "swir16"), "normalised difference snow index, no water",
        "(nir - swir16 - 0.05) / (nir + swir16)", "Yan et al. 2020, Water 12(5), 1339",
        limits=(float("-inf"), 1.0),
    ),
    _row(
        "iron_oxide", ("red", "blue"), "iron oxide ratio", "red / blue",
        "Segal 1982, Proc. 2nd Thematic Conf. Remote Sens. Expl. Geol., 949-951",
        limits=(0.0, float("inf")),
    ),
)  # fmt: skip
