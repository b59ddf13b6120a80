"""Texture: how the grey levels of neighbouring pixels go together (Haralick 1973).

An image is cut into a fixed number of levels between fixed limits. Within a window around
each pixel, pairs of pixels one offset apart are counted, both ways round; p(i, j) is the
share of pairs with levels i and j. The measures summarise p:

========================  ==============================================
contrast                  Σ p (i − j)²
dissimilarity             Σ p |i − j|
homogeneity               Σ p / (1 + (i − j)²)
asm                       Σ p², the angular second moment
entropy                   −Σ p ln p
mean                      Σ p i
variance                  Σ p (i − mean)²
correlation               Σ p (i − mean)(j − mean) / variance; 1 without variance
========================  ==============================================

A pair with a missing member does not count. At the raster's edge windows shrink to what
lies inside. A window of which less than half is known is NaN.

References
----------
Haralick, Shanmugam, Dinstein 1973: Textural features for image classification, IEEE
Transactions on Systems, Man, and Cybernetics 3(6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from cryonet.errors import LayerError
from cryonet.layers.bands import in_bands
from cryonet.layers.co_occurrence import PARTS, co_occurrence, count_changes, grey_levels
from cryonet.layers.fits import TEXTURE_BAND, WINDOW, GreyFit
from cryonet.layers.spec import Array, LayerSpec

#: The measures, in the order the kernel writes them, with their long names.
MEASURES: Mapping[str, str] = {
    "contrast": "grey-level contrast",
    "dissimilarity": "grey-level dissimilarity",
    "homogeneity": "grey-level homogeneity",
    "asm": "angular second moment of the grey levels",
    "entropy": "grey-level entropy",
    "mean": "mean grey level",
    "variance": "grey-level variance",
    "correlation": "grey-level correlation",
}

#: East, north-east, north and north-west, as rows and columns.
OFFSETS = ((0, 1), (-1, 1), (-1, 0), (-1, -1))

#: Largest window: the packed sums of a pair table hold 24 bits of Σ n².
LARGEST = 31

#: Rows that are computed together.
BLOCK = 128

_UNASKED = np.empty((0, 0), np.float32)


def glcm(
    image: xr.DataArray | Array,
    *,
    limits: tuple[float, float],
    window: int = 7,
    levels: int = 32,
    offsets: Sequence[tuple[int, int]] = OFFSETS,
    measures: Sequence[str] = tuple(MEASURES),
    threads: int = 1,
) -> xr.Dataset:
    """Return co-occurrence measures around every pixel, each the mean over the offsets.

    Parameters
    ----------
    image
        Any quantity ``(y, x)``, NaN where missing.
    limits
        Values of the lowest and the highest level's outer edges, in the image's unit; what
        lies outside falls into those levels. Fit them on training data: limits of each
        tile would give one texture two values.
    window
        Side of the window in pixels, odd, 3 to 31.
    levels
        Number of grey levels, 2 to 255.
    offsets
        From i to j: rows down and columns right, shorter than the window.
    measures
        Names of `MEASURES`; without ``"asm"`` and ``"entropy"`` it is several times faster.
    threads
        Blocks of rows computed at once.

    Returns
    -------
    xr.Dataset
        One float32 variable ``(y, x)`` a measure, in grey levels.

    Raises
    ------
    LayerError
        If an argument is out of its range; named.
    """
    _check(window, levels, limits, offsets, measures)
    values = np.asarray(image.values if isinstance(image, xr.DataArray) else image)
    if values.ndim != 2:
        raise LayerError("the image is not flat", f"{values.ndim} dimensions", "Give (y, x).")
    grey = quantise(values, limits, levels)
    results = _measure(grey, window, levels, _downwards(offsets), measures, threads)
    hollow = _too_empty(grey, window, levels)
    if hollow is not None:
        for result in results.values():
            result[hollow] = np.nan
    like = image if isinstance(image, xr.DataArray) else xr.DataArray(values, dims=("y", "x"))
    return xr.Dataset(
        {
            name: like.copy(data=result).rename(name).assign_attrs(long_name=MEASURES[name])
            for name, result in results.items()
        }
    )


def quantise(values: Array, limits: tuple[float, float], levels: int) -> NDArray[np.uint8]:
    """Return grey levels 0 to `levels` − 1, and `levels` where a value is missing."""
    low, high = limits
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    out = np.empty(values.shape, np.uint8)
    grey_levels(values, float(low), levels / (high - low), levels, out)
    return out


def _check(
    window: int,
    levels: int,
    limits: tuple[float, float],
    offsets: Sequence[tuple[int, int]],
    measures: Sequence[str],
) -> None:
    if window % 2 == 0 or not 3 <= window <= LARGEST:
        raise LayerError("the window does not fit", window, f"Give an odd side, 3 to {LARGEST}.")
    if not 2 <= levels <= 255:
        raise LayerError("the number of levels does not fit", levels, "Give 2 to 255.")
    if not (np.isfinite(limits).all() and limits[0] < limits[1]):
        raise LayerError("the limits are not in order", limits, "Give the lower one first.")
    wrong = [o for o in offsets if tuple(o) == (0, 0) or max(map(abs, o)) >= window]
    if wrong or not offsets:
        rule = f"Give one or more, not (0, 0), shorter than {window} pixels."
        raise LayerError("the offsets do not fit", wrong or "none", rule)
    unknown = [name for name in measures if name not in MEASURES]
    if unknown or not measures:
        rule = f"Known are {', '.join(MEASURES)}."
        raise LayerError("there is no such measure", ", ".join(unknown) or "none", rule)


def _downwards(offsets: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    # Pairs count both ways round, so an offset and its opposite are one.
    return np.array([(r, c) if r > 0 or (r == 0 and c > 0) else (-r, -c) for r, c in offsets])


def _measure(
    grey: NDArray[np.uint8],
    window: int,
    levels: int,
    offsets: NDArray[np.int64],
    measures: Sequence[str],
    threads: int,
) -> dict[str, Array]:
    half = window // 2
    padded = np.pad(grey, half, constant_values=levels)
    table, empty = count_changes(window, levels)
    parts = np.rint(PARTS / (1 + np.arange(levels) ** 2)).astype(np.int32)
    logs = np.zeros(window * window + 1)
    logs[1:] = np.log(2.0 * np.arange(1, logs.size))
    counted = bool({"asm", "entropy"} & set(measures))
    made = {name: np.empty(grey.shape, np.float32) for name in measures}
    outs = tuple(made.get(name, _UNASKED) for name in MEASURES)

    def band(top: int, bottom: int) -> None:
        co_occurrence(
            padded, window, offsets, parts, table, empty, logs, counted, top, bottom, outs
        )

    # The kernel holds no lock while it works.
    in_bands(band, grey.shape[0], BLOCK, threads)
    return made


def _too_empty(grey: NDArray[np.uint8], window: int, levels: int) -> NDArray[np.bool_] | None:
    if (grey < levels).all():
        return None
    known = (grey < levels).astype(np.float64)
    found = ndimage.uniform_filter(known, window, mode="constant")
    inside = ndimage.uniform_filter(np.ones(grey.shape), window, mode="constant")
    return np.asarray(found < 0.5 * inside - 1e-9)


def texture_layers(
    names: Sequence[str], arrays: Mapping[str, Array], cell: float, *, fit: GreyFit
) -> list[Array]:
    """Return the textures called ``texture_contrast`` and so on, float32.

    Parameters
    ----------
    arrays
        The variable of `fit`, ``(y, x)`` float32.
    cell
        Cell size in metres; not used.
    fit
        Grey limits fitted on training scenes.
    """
    found = glcm(
        arrays[fit.variable],
        limits=(fit.low, fit.high),
        window=fit.window,
        levels=fit.levels,
        measures=[name.removeprefix("texture_") for name in names],
    )
    return [layer.values for layer in found.values()]


def _texture(arrays: Mapping[str, Array], cell: float, *, name: str, fit: GreyFit) -> Array:
    return texture_layers([name], arrays, cell, fit=fit)[0]


#: Formula, unit and smallest and largest value of each measure.
_ROWS = (
    ("contrast", "sum p (i - j)^2", "level^2", (0.0, float("inf"))),
    ("dissimilarity", "sum p abs(i - j)", "level", (0.0, float("inf"))),
    ("homogeneity", "sum p / (1 + (i - j)^2)", "1", (0.0, 1.0)),
    ("asm", "sum p^2", "1", (0.0, 1.0)),
    ("entropy", "-sum p ln p", "nat", (0.0, float("inf"))),
    ("mean", "sum p i", "level", (0.0, float("inf"))),
    ("variance", "sum p (i - mean)^2", "level^2", (0.0, float("inf"))),
    ("correlation", "sum p (i - mean)(j - mean) / variance", "1", (-1.0, 1.0)),
)

#: The texture layers.
TEXTURE = tuple(
    LayerSpec(
        name=f"texture_{measure}",
        family="texture",
        long_name=MEASURES[measure],
        formula=f"{formula}, mean of 4 directions",
        units=units,
        needs=(TEXTURE_BAND,),
        compute=partial(_texture, name=f"texture_{measure}"),
        reference="Haralick et al. 1973, IEEE Trans. Syst. Man Cybern. 3(6), 610-621",
        halo=WINDOW // 2,
        valid_range=limits,
        together=texture_layers,
        fit="texture",
    )
    for measure, formula, units, limits in _ROWS
)
