"""Which pixel belongs to which glacier: by connection, and by the divides of an inventory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import expand_labels, watershed

#: Codes of the classes that are glacier: clean and debris-covered ice.
ICE = (1, 2)

#: The code of lakes.
LAKE = 3

Numbers = NDArray[np.int32]


def glacier_numbers(codes: NDArray[np.integer], divides: Numbers | None = None) -> Numbers:
    """Return for each pixel the number of its glacier ``(y, x)``, from 1 up; 0 where is no ice.

    Clean and debris-covered ice that touch along an edge of a pixel are one glacier. With
    divides, ice inside an inventory's outline is of that outline's glacier, and ice outside
    all of them of the glacier it is connected to, each pixel of the one it can be reached
    from in the fewest steps over ice; ice connected to none is by connection again.

    Parameters
    ----------
    codes
        Class codes ``(y, x)``.
    divides
        Numbers of an inventory's outlines on the same grid, 0 outside them.
    """
    ice = np.isin(codes, ICE)
    parts, _ = ndimage.label(ice)
    found: Numbers = parts.astype(np.int32)
    if divides is None or not (ice & (divides > 0)).any():
        return found
    seeds = np.where(ice, divides, 0)
    grown: Numbers = watershed(  # type: ignore[no-untyped-call]
        np.zeros(codes.shape, np.uint8), seeds, mask=ice
    )
    alone = ice & (grown == 0)
    both = np.where(alone, found + divides.max(), grown)
    # Numbers without gaps, in the order of the first pixel.
    _, first, place = np.unique(both[ice], return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    result = np.zeros(codes.shape, np.int32)
    result[ice] = order[place] + 1
    return result


def surroundings(numbers: Numbers, pixels: int) -> Numbers:
    """Return `numbers` grown by some pixels into what is no glacier, each to the nearest."""
    grown: Numbers = expand_labels(numbers, distance=pixels)  # type: ignore[no-untyped-call]
    return grown.astype(np.int32)


def lakes_of(codes: NDArray[np.integer]) -> Numbers:
    """Return for each pixel the number of its lake ``(y, x)``, from 1 up; 0 where is none."""
    found, _ = ndimage.label(codes == LAKE)
    return np.asarray(found, np.int32)


def touching(numbers: Numbers, others: Numbers) -> dict[int, NDArray[np.intp]]:
    """Return the pixels of each number that share an edge with a pixel of `others`.

    Returns
    -------
    Row and column of the pixels, ``(pixel, 2)``, by number; numbers that touch none are absent.
    """
    beside = ndimage.binary_dilation(others > 0) & (numbers > 0)
    places = np.argwhere(beside)
    owner = numbers[beside]
    return {int(number): places[owner == number] for number in np.unique(owner)}
