"""Coherence and interferometric phase of two co-registered complex radar images.

Coherence is |sum s1 conj(s2) exp(-j ref)| / sqrt(sum |s1|^2 sum |s2|^2), with each sum over
all samples of a window or block; it is never an average of coherences. Phase is the angle
of the same complex sum.

The estimate is biased: over ground without any coherence, L independent samples still give
`expected_coherence_at_zero` (L) on average, .20 for 20 of them, and the bias fades as
the true coherence or L grow. Coherences of different windows therefore differ over the same
ground; `looks` is written into the attributes so that nobody compares them unawares.
Neighbouring samples of an image are correlated where it was oversampled: fewer than `looks`
are then independent, and the bias is larger.

A sample is missing where either image is NaN or 0 + 0j, the fill beyond a swath, or the
reference phase is NaN. Missing samples do not count; a result of which less than half of the
samples are known is NaN.

References
----------
Touzi, Lopes, Bruniquel, Vachon 1999: Coherence estimation for SAR imagery, IEEE TGRS 37.
Zebker, Villasenor 1992: Decorrelation in interferometric radar echoes, IEEE TGRS 30.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from cryonet.errors import LayerError
from cryonet.grid import check_same_grid, pixel_side
from cryonet.layers.bands import in_bands
from cryonet.layers.coherence_kernel import window_rows
from cryonet.layers.multilook_kernel import block_rows
from cryonet.layers.spec import Array

Complex = NDArray[np.complex64]
Image = xr.DataArray | NDArray[np.complexfloating]
Phase = xr.DataArray | NDArray[np.floating]

#: Rows that one thread computes at a time, and the largest side of a window.
_BAND, _LARGEST = 256, 1024

_TITLES = {
    "coherence": ("interferometric coherence", "1"),
    "phase": ("wrapped interferometric phase", "rad"),
    "phase_cos": ("cosine of the interferometric phase", "1"),
    "phase_sin": ("sine of the interferometric phase", "1"),
}


def expected_coherence_at_zero(looks: int) -> float:
    """Return the mean estimated coherence of `looks` independent samples that share nothing.

    It is sqrt(pi) / 2 * gamma(L) / gamma(L + 1/2), the value at zero coherence of the mean
    that Touzi et al. (1999) give for any.

    Parameters
    ----------
    looks
        Independent samples of a window or block, 1 or more.

    Raises
    ------
    LayerError
        If `looks` is below 1.

    Examples
    --------
    >>> [round(expected_coherence_at_zero(looks), 4) for looks in (4, 9, 20, 25, 80)]
    [0.4571, 0.2995, 0.1994, 0.1781, 0.0992]
    """
    if not looks >= 1:
        raise LayerError("the number of looks does not fit", looks, "Give 1 or more.")
    # Logarithms: the gamma function itself leaves the range of numbers at 172 looks.
    return math.sqrt(math.pi) / 2 * math.exp(math.lgamma(looks) - math.lgamma(looks + 0.5))


def coherence(
    primary: Image,
    secondary: Image,
    *,
    window: tuple[int, int],
    reference_phase: Phase | None = None,
    threads: int = 1,
) -> xr.DataArray:
    """Return the coherence in a window around every pixel, 0 to 1, float32 ``(y, x)``.

    Windows end at the image's edges, where fewer samples make the bias larger.

    Parameters
    ----------
    primary, secondary
        Complex images ``(y, x)`` on one grid; amplitudes from 1e-16 to 1e16 count.
    window
        Rows and columns, 2 samples or more. Of an even side the larger half lies above, or
        to the left.
    reference_phase
        Phase ``(y, x)`` in radians that is taken off first, as that of the terrain. A phase
        that turns within the window lowers the coherence.
    threads
        Bands of rows computed at once.

    Returns
    -------
    xr.DataArray
        With the attributes ``looks`` (samples of a whole window) and, on a known grid,
        ``native_resolution`` (side of a square as large as the window, m).

    Raises
    ------
    LayerError
        If an argument does not fit; named.
    GridError
        If two georeferenced inputs lie on different grids.

    References
    ----------
    Touzi, Lopes, Bruniquel, Vachon 1999: Coherence estimation for SAR imagery, IEEE TGRS 37.
    """
    _check_sides("window", window, least=2)
    one, two, grid = _pair(primary, secondary, reference_phase)
    out = _windows(one, two, window, ["coherence"], threads)[0]
    return _labelled("coherence", out, grid, _attrs(window, grid))


def interferogram(
    primary: Image,
    secondary: Image,
    *,
    looks: tuple[int, int],
    every_pixel: bool = False,
    reference_phase: Phase | None = None,
    threads: int = 1,
) -> xr.Dataset:
    """Return coherence and wrapped phase of blocks of samples, or of windows.

    Blocks do not overlap. Rows and columns left over at the bottom and on the right make no
    block and are dropped: so every pixel has the same number of looks, and with it the same
    bias.

    Parameters
    ----------
    primary, secondary
        Complex images ``(y, x)`` on one grid; amplitudes from 1e-16 to 1e16 count.
    looks
        Rows and columns of a block. A single sample always has a coherence of 1.
    every_pixel
        Give a value for the window around every pixel instead, as `coherence` does. Values
        of neighbours then share samples; nothing is any finer than the window.
    reference_phase
        Phase ``(y, x)`` in radians that is taken off first, as that of the terrain.
    threads
        Bands of rows computed at once.

    Returns
    -------
    xr.Dataset
        float32 ``(y, x)``: ``coherence``; ``phase`` in radians, between -pi and pi; and
        ``phase_cos`` and ``phase_sin``, which are what to resample and to learn from. Each
        has the attributes ``looks`` (samples of a block) and, on a known grid,
        ``native_resolution`` (side of a square as large as a block, m).

    Raises
    ------
    LayerError
        If an argument does not fit; named.
    GridError
        If two georeferenced inputs lie on different grids.

    References
    ----------
    Zebker, Villasenor 1992: Decorrelation in interferometric radar echoes, IEEE TGRS 30.
    """
    _check_sides("number of looks", looks, least=2 if every_pixel else 1)
    one, two, grid = _pair(primary, secondary, reference_phase)
    if every_pixel:
        windows = _windows(one, two, looks, list(_TITLES), threads)
        return _dataset(windows, grid, _attrs(looks, grid))
    rows, cols = (int(side) for side in looks)
    shape = (one.shape[0] // rows, one.shape[1] // cols)
    if 0 in shape:
        rule = f"The images have {one.shape[0]} rows and {one.shape[1]} columns."
        raise LayerError("a block is larger than the image", tuple(looks), rule)
    out = np.empty((4, *shape), np.float32)
    first, second = one.view(np.float32), two.view(np.float32)

    def band(top: int, bottom: int) -> None:
        block_rows(first, second, (rows, cols), top, bottom, out)

    in_bands(band, shape[0], max(1, _BAND // rows), threads)
    coarse = grid and GeoBox(shape, grid.affine * Affine.scale(cols, rows), grid.crs)
    return _dataset(out, coarse, _attrs(looks, grid))


def _windows(
    one: Complex, two: Complex, window: tuple[int, int], names: Sequence[str], threads: int
) -> list[Array]:
    """Return what `names` says of the windows of two images, in the order of `_TITLES`."""
    unasked = np.empty((0, 0), np.float32)
    outs = tuple(np.empty(one.shape, np.float32) if n in names else unasked for n in _TITLES)
    first, second = one.view(np.float32), two.view(np.float32)
    sides = (int(window[0]), int(window[1]))

    def band(top: int, bottom: int) -> None:
        # Most images have no hole, and counting samples takes a quarter longer.
        for holes in (False, True):
            if window_rows(first, second, sides, top, bottom, holes, outs):
                return

    in_bands(band, one.shape[0], _BAND, threads)
    return [out for out in outs if out is not unasked]


def _dataset(values: Iterable[Array], grid: GeoBox | None, attrs: Mapping[str, Any]) -> xr.Dataset:
    pairs = zip(_TITLES, values, strict=True)
    return xr.Dataset({name: _labelled(name, data, grid, attrs) for name, data in pairs})


def _check_sides(what: str, sides: tuple[int, int], *, least: int) -> None:
    whole = [isinstance(n, (int, np.integer)) and 1 <= n <= _LARGEST for n in sides]
    if len(whole) != 2 or not all(whole) or math.prod(sides) < least:
        rule = f"Give rows and columns, 1 to {_LARGEST}, {least} samples or more."
        raise LayerError(f"the {what} does not fit", sides, rule)


def _pair(
    primary: Image, secondary: Image, reference: Phase | None
) -> tuple[Complex, Complex, GeoBox | None]:
    """Return two images in one memory layout, the reference taken off, and their grid."""
    given: dict[str, Any] = {"primary": primary, "secondary": secondary}
    if reference is not None:
        given["reference phase"] = reference
    found = {name: np.asarray(image) for name, image in given.items()}
    for name, values in found.items():
        kind = np.floating if name == "reference phase" else np.complexfloating
        if not np.issubdtype(values.dtype, kind):
            rule = f"Give {'radians' if kind is np.floating else 'complex numbers'}."
            raise LayerError(f"the {name} is of another type", str(values.dtype), rule)
        if values.ndim != 2 or 0 in values.shape:
            raise LayerError(f"the {name} is not an image", values.shape, "Give (y, x).")
        if values.shape != found["primary"].shape:
            pair = f"{name} {values.shape}, primary {found['primary'].shape}"
            raise LayerError("the images differ in size", pair, "Co-register them first.")
    one, two = found["primary"], found["secondary"]
    if reference is not None:
        # conj(s2 e^(j ref)) is conj(s2) e^(-j ref). In double precision, as many turns as
        # a terrain has would leave few digits for the angle.
        two = two * np.exp(1j * found["reference phase"].astype(np.float64))
    one, two = (np.require(image, np.complex64, ["C", "W", "A"]) for image in (one, two))
    return one, two, _common_grid(given)


def _common_grid(given: Mapping[str, Any]) -> GeoBox | None:
    common: GeoBox | None = None
    for image in given.values():
        grid = image.odc.geobox if isinstance(image, xr.DataArray) else None
        if not isinstance(grid, GeoBox) or grid.crs is None:
            continue
        if common is not None:
            check_same_grid(common, grid, what="the two images")
        common = grid
    return common


def _attrs(sides: tuple[int, int], grid: GeoBox | None) -> dict[str, Any]:
    attrs: dict[str, Any] = {"looks": int(math.prod(sides))}
    if grid is not None:
        side = pixel_side(grid) * math.sqrt(math.prod(sides))
        attrs["native_resolution"] = round(side, 3)
    return attrs


def _labelled(
    name: str, values: Array, grid: GeoBox | None, attrs: Mapping[str, Any]
) -> xr.DataArray:
    data = xr.DataArray(values, dims=("y", "x")) if grid is None else wrap_xr(values, grid)
    title, units = _TITLES[name]
    return data.rename(name).assign_attrs(long_name=title, units=units, **attrs)
