"""Corrections: polygons drawn by hand over a map, and what they change in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio.features
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.grid import Window, pixel_areas


@dataclass(frozen=True, slots=True)
class Correction:
    """One polygon.

    Attributes
    ----------
    shape
        In the CRS of the map.
    code
        The class it gives.
    by, date, comment
        Who drew it, on which day and why, as stated; the last two may be empty.
    outside
        The share of its area that lies outside the map.
    """

    shape: Any
    code: int
    by: str
    date: str
    comment: str
    outside: float


@dataclass(frozen=True, slots=True)
class Burned:
    """What one polygon did: pixels and km² by the class that stood there, its own among them."""

    before: dict[int, tuple[int, float]]

    @property
    def pixels(self) -> int:
        """How many pixels it covers."""
        return sum(pixels for pixels, _ in self.before.values())

    @property
    def km2(self) -> float:
        """Their area."""
        return sum(area for _, area in self.before.values())


def burn_corrections(
    codes: NDArray[np.uint8],
    owners: NDArray[np.uint32],
    corrections: Sequence[Correction],
    geobox: GeoBox,
    *,
    first: int = 1,
) -> tuple[NDArray[np.uint8], NDArray[np.uint32], list[Burned]]:
    """Return the map with the polygons in it, whose pixel is whose, and what each one did.

    A pixel belongs to a polygon that holds its centre. Polygons are burned in their order, a
    later one over an earlier one, and where the map is missing as well: that they were drawn
    there is knowledge.

    Parameters
    ----------
    codes
        Class codes ``(y, x)``; not altered.
    owners
        The number of the polygon that set each pixel ``(y, x)``, 0 where it is the model's; not
        altered.
    first
        The number of the first of the polygons.
    """
    made, whose = codes.copy(), owners.copy()
    areas = pixel_areas(geobox)
    done = []
    for number, correction in enumerate(corrections, start=first):
        window = _window(correction.shape, geobox)
        inside = _inside(correction.shape, geobox, window)
        part = window.slices
        own = np.broadcast_to(areas[part[0]], inside.shape)
        stood = made[part]
        before = {
            int(code): (int((here := inside & (stood == code)).sum()), float(own[here].sum()))
            for code in np.unique(stood[inside])
        }
        made[part][inside] = correction.code
        whose[part][inside] = number
        done.append(Burned(before))
    return made, whose, done


def _window(shape: Any, geobox: GeoBox) -> Window:
    """Return the pixels that a polygon may touch."""
    west, south, east, north = shape.bounds
    corners = [~geobox.affine * at for at in ((west, south), (east, north))]
    (left, right), (top, bottom) = (sorted(axis) for axis in zip(*corners, strict=True))
    height, width = geobox.shape
    row, col = (int(np.clip(np.floor(v), 0, n)) for v, n in ((top, height), (left, width)))
    end, stop = (int(np.clip(np.ceil(v), 0, n)) for v, n in ((bottom, height), (right, width)))
    return Window(row, col, end - row, stop - col)


def _inside(shape: Any, geobox: GeoBox, window: Window) -> NDArray[np.bool_]:
    if not (window.height and window.width):
        return np.zeros((window.height, window.width), bool)
    burned = rasterio.features.rasterize(
        [shape],
        out_shape=(window.height, window.width),
        transform=geobox[window.slices].transform,
        dtype="uint8",
    )
    found: NDArray[np.bool_] = burned.astype(bool)
    return found


def hand_set(prediction: xr.Dataset) -> NDArray[np.bool_]:
    """Return where a polygon set the class of a prediction ``(y, x)``."""
    if "corrections" not in prediction:
        return np.zeros(prediction["classes"].shape, bool)
    found: NDArray[np.bool_] = np.asarray(prediction["corrections"].values) > 0
    return found


def settled_probabilities(prediction: xr.Dataset) -> NDArray[np.floating]:
    """Return the probabilities of a prediction ``(class, y, x)`` for the areas of its map.

    See `settle`.
    """
    shares = np.asarray(prediction["probabilities"].values)
    return settle(shares, np.asarray(prediction["classes"].values), hand_set(prediction))


def settled_share(prediction: xr.Dataset, codes: Sequence[int]) -> NDArray[np.floating]:
    """Return the probability of some classes together ``(y, x)``, see `settle`.

    Memory holds no probabilities of other classes.
    """
    shares = prediction["probabilities"]
    total: NDArray[np.floating] = np.array(shares[codes[0]].values)
    for code in codes[1:]:
        total += shares[code].values
    hand = hand_set(prediction)
    total[hand] = np.isin(np.asarray(prediction["classes"].values)[hand], codes)
    return total


def settle(
    probabilities: NDArray[np.floating], codes: NDArray[np.integer], hand: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """Return probabilities ``(class, y, x)`` that are certain where a hand set the class.

    The model's doubt is about what it mapped itself. Areas of pixels set by hand then have no ±
    from probabilities; the buffer along outlines holds for them as for others. Our choice. It
    says nothing of how far analysts differ, which is some 5 % of the area of clean ice and up to
    30 % of debris-covered ice.

    Parameters
    ----------
    probabilities
        As the model gave them; not altered.
    codes
        Class codes with the corrections ``(y, x)``.
    hand
        Where a polygon set them ``(y, x)``.

    References
    ----------
    Paul et al. (2013), On the accuracy of glacier outlines derived from remote-sensing data,
    Ann. Glaciol. 54(63), 171-182.
    """
    if not hand.any():
        return probabilities
    certain = probabilities.copy()
    certain[:, hand] = codes[hand] == np.arange(len(certain))[:, None]
    return certain
