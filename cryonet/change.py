"""Change between two predictions: what ice and lakes gained and lost, glacier by glacier."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage

from cryonet.areas import BUFFER, CORRELATION, area_spread, buffer_area
from cryonet.classes import NODATA
from cryonet.corrections import settled_share
from cryonet.errors import GridError
from cryonet.glaciers import ICE, LAKE, Numbers, glacier_numbers, surroundings
from cryonet.grid import Window, check_same_grid, geobox_of, pixel_areas
from cryonet.outline_attributes import MARGIN


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of change on the map: its code, name and colour."""

    code: int
    name: str
    title: str
    rgb: tuple[int, int, int]


#: What a pixel of the change map can be, after Okabe & Ito (2008) for the eyes.
KINDS = (
    Kind(0, "other", "other ground in both", (230, 230, 224)),
    Kind(1, "ice_loss", "ice lost", (213, 94, 0)),
    Kind(2, "ice_gain", "ice gained", (0, 114, 178)),
    Kind(3, "lake_growth", "lake grown", (10, 61, 145)),
    Kind(4, "lake_loss", "lake lost", (204, 121, 167)),
    Kind(5, "debris_gain", "clean ice now debris-covered", (230, 159, 0)),
    Kind(6, "debris_loss", "debris-covered ice now clean", (86, 180, 233)),
    Kind(7, "ice", "ice in both, the same", (205, 222, 235)),
    Kind(8, "lake", "lake in both", (150, 165, 205)),
)


@dataclass(frozen=True, slots=True)
class IceChange:
    """What one glacier, or one area, gained and lost between two maps, km².

    Attributes
    ----------
    before, after
        Area of mapped ice.
    gain, loss
        Area mapped as ice in one map alone.
    gain_expected, gain_pm, loss_expected, loss_pm
        What the probabilities of both expect, and the standard deviation
        (`cryonet.areas.area_spread`), with errors of the two maps taken to know nothing of
        each other.
    net, net_pm_buffer
        after − before, and the buffers of both outlines added in squares (Paul et al. 2013).
    """

    before: float
    after: float
    gain: float
    gain_expected: float
    gain_pm: float
    loss: float
    loss_expected: float
    loss_pm: float
    net: float
    net_pm_buffer: float


def common_part(first: xr.Dataset, second: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the ground that both predictions cover, pixel on pixel.

    Raises
    ------
    GridError
        If their pixels do not coincide, or they do not overlap.
    """
    one, two = geobox_of(first), geobox_of(second)
    there = ~one.affine * two.affine
    col, row = round(there.c), round(there.f)
    moved = GeoBox(two.shape, one.affine * one.affine.translation(col, row), one.crs)
    check_same_grid(moved, two, what="the pixels of the two predictions")
    top, left = max(0, row), max(0, col)
    bottom = min(one.shape[0], row + two.shape[0])
    right = min(one.shape[1], col + two.shape[1])
    if bottom <= top or right <= left:
        raise GridError(
            "the two predictions do not overlap",
            f"{tuple(one.extent.boundingbox)} / {tuple(two.extent.boundingbox)}",
            "Give two of the same ground.",
        )
    part = first.isel(y=slice(top, bottom), x=slice(left, right))
    other = second.isel(y=slice(top - row, bottom - row), x=slice(left - col, right - col))
    return part, other


def change_codes(before: NDArray[np.integer], after: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the kind of change of each pixel ``(y, x)``; 255 where one map is missing."""
    codes = np.zeros(before.shape, np.uint8)
    was, now = np.isin(before, ICE), np.isin(after, ICE)
    codes[was & now] = 7
    codes[(before == LAKE) & (after == LAKE)] = 8
    codes[(before == 2) & (after == 1)] = 6
    codes[(before == 1) & (after == 2)] = 5
    # Where a lake takes the place of ice, or ice that of a lake, the new one shows.
    codes[now & ~was] = 2
    codes[was & ~now] = 1
    codes[(before == LAKE) & (after != LAKE) & ~now] = 4
    codes[(after == LAKE) & (before != LAKE)] = 3
    codes[(before == NODATA) | (after == NODATA)] = NODATA
    return codes


def glacier_changes(
    before: xr.Dataset,
    after: xr.Dataset,
    *,
    divides: Numbers | None = None,
    correlation: float = CORRELATION,
    buffer: float = BUFFER,
) -> tuple[pd.DataFrame, Numbers]:
    """Return a row a glacier with its `IceChange`, and the number of each pixel's glacier.

    A glacier is what was connected ice in either map (`cryonet.glaciers.glacier_numbers` of
    their union), so that one that falls apart stays one row, and one that is new has one. Where
    a map is missing nothing counts.

    Parameters
    ----------
    before, after
        Predictions on one grid, from `common_part`.
    divides
        As for `glacier_numbers`.
    """
    maps = _Maps.of(before, after)
    union = np.where(maps.was | maps.now, ICE[0], 0)
    numbers = glacier_numbers(union, divides)
    rows = []
    for number, place in enumerate(ndimage.find_objects(numbers), start=1):
        if place is None:
            continue
        # Pixels of the margin may be nearer to another glacier, as far off again.
        around = _around(place, 2 * MARGIN, numbers.shape)
        own = numbers[around]
        near = surroundings(own, MARGIN) == number
        found = maps.cut(around, own == number, near).change(correlation, buffer)
        rows.append({"number": number, **asdict(found)})
    return pd.DataFrame(rows, columns=["number", *IceChange.__dataclass_fields__]), numbers


def _around(place: tuple[slice, ...], pixels: int, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return a window grown by some pixels to each side, within the raster."""
    rows, cols = place
    window = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
    return window.expand(pixels, shape).slices


def lake_changes(before: xr.Dataset, after: xr.Dataset) -> pd.DataFrame:
    """Return a row a lake of either map, km²: ``before``, ``after``, ``growth``, ``touches_ice``.

    A lake is what was connected water in either map. It touches ice if an edge of one of its
    pixels is that of a pixel of ice in the later map.
    """
    maps = _Maps.of(before, after)
    numbers, count = ndimage.label((maps.first == LAKE) | (maps.second == LAKE))
    areas = np.broadcast_to(pixel_areas(maps.geobox), numbers.shape)
    index = np.arange(1, count + 1)
    was, now = (
        np.bincount(numbers[lake], areas[lake], count + 1)[1:]
        for lake in (maps.first == LAKE, maps.second == LAKE)
    )
    touched = numbers[ndimage.binary_dilation(maps.now)]
    found = pd.DataFrame({"number": index, "before": was, "after": now})
    return found.assign(growth=now - was, touches_ice=np.isin(index, touched))


def total_change(
    before: xr.Dataset,
    after: xr.Dataset,
    *,
    correlation: float = CORRELATION,
    buffer: float = BUFFER,
) -> IceChange:
    """Return the change of all ice."""
    maps = _Maps.of(before, after)
    whole = (slice(None), slice(None))
    every = np.ones(maps.first.shape, bool)
    return maps.cut(whole, every, every).change(correlation, buffer)


@dataclass(frozen=True, slots=True)
class _Maps:
    """Two maps on one grid: classes, ice, and how likely it is ice; the same pixels known."""

    geobox: GeoBox
    first: NDArray[np.integer]
    second: NDArray[np.integer]
    was: NDArray[np.bool_]
    now: NDArray[np.bool_]
    likely_was: NDArray[np.floating]
    likely_now: NDArray[np.floating]

    @classmethod
    def of(cls, before: xr.Dataset, after: xr.Dataset) -> _Maps:
        codes = [np.asarray(data["classes"].values) for data in (before, after)]
        known = (codes[0] != NODATA) & (codes[1] != NODATA)
        first, second = (np.where(known, c, NODATA) for c in codes)
        likely = [np.where(known, settled_share(data, ICE), np.nan) for data in (before, after)]
        ice = [np.isin(c, ICE) for c in (first, second)]
        return cls(geobox_of(before), first, second, ice[0], ice[1], likely[0], likely[1])

    def cut(
        self,
        place: tuple[slice, slice],
        inside: NDArray[np.bool_],
        near: NDArray[np.bool_],
    ) -> _Part:
        """Return a part: ice counts `inside`, probabilities `near`."""
        return _Part(
            self.geobox[place],
            self.was[place] & inside,
            self.now[place] & inside,
            np.where(near, self.likely_was[place], np.nan),
            np.where(near, self.likely_now[place], np.nan),
            near & (self.first[place] != NODATA),
        )


@dataclass(frozen=True, slots=True)
class _Part:
    geobox: GeoBox
    was: NDArray[np.bool_]
    now: NDArray[np.bool_]
    likely_was: NDArray[np.floating]
    likely_now: NDArray[np.floating]
    known: NDArray[np.bool_]

    def change(self, correlation: float, buffer: float) -> IceChange:
        areas = pixel_areas(self.geobox)
        before, after, gain, loss = (
            float(mask.sum(axis=1) @ areas[:, 0])
            for mask in (self.was, self.now, self.now & ~self.was, self.was & ~self.now)
        )
        gained = self.likely_now * (1 - self.likely_was)
        lost = self.likely_was * (1 - self.likely_now)
        (gain_mean, gain_pm), (loss_mean, loss_pm) = (
            area_spread(share, self.geobox, correlation=correlation) for share in (gained, lost)
        )
        first, second = (
            buffer_area(mask, self.geobox, width=buffer, known=self.known)
            for mask in (self.was, self.now)
        )
        return IceChange(
            before=before, after=after, gain=gain, gain_expected=gain_mean, gain_pm=gain_pm,
            loss=loss, loss_expected=loss_mean, loss_pm=loss_pm, net=after - before,
            net_pm_buffer=float(np.hypot(first, second)),
        )  # fmt: skip
