"""Mosaic: maps laid over one another, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cryonet.classes import NODATA
from cryonet.grid import Window

#: A prediction's rasters by name, ``(band, y, x)``, as they are stored: bytes, 255 for missing.
Rasters = Mapping[str, NDArray[np.uint8]]

#: How it is told which of several maps a pixel is of; our choice.
RULE = "the map with the higher confidence; of equals the first"


def empty_rasters(bands: Mapping[str, int], shape: tuple[int, int]) -> dict[str, NDArray[np.uint8]]:
    """Return rasters of so many bands each, with no pixel known."""
    return {name: np.full((count, *shape), NODATA, np.uint8) for name, count in bands.items()}


def lay(below: Rasters, above: Rasters, where: Window) -> None:
    """Lay a map over a part of another, in place: at each pixel the surer of the two stays.

    All rasters of a pixel are of one map, so that class, probabilities and confidence go
    together. What is missing above changes nothing.

    Parameters
    ----------
    below, above
        With the same names, ``classes`` and ``confidence`` among them.
    where
        The pixels of `below` that `above` covers.
    """
    rows, cols = where.slices
    under = {name: values[:, rows, cols] for name, values in below.items()}
    unknown = under["classes"][0] == NODATA
    surer = unknown | (above["confidence"][0] > under["confidence"][0])
    taken = surer & (above["classes"][0] != NODATA)
    for name, values in under.items():
        np.copyto(values, above[name], where=taken)
